"""What the guides of a library are for, told from their names and from what the library says of them."""

from __future__ import annotations

import re

from fatebias.data.reading.guide_map import TRUTH
from fatebias.data.reading.labels import means_missing

TARGETING, NON_TARGETING, SAFE, POSITIVE = "targeting", "non-targeting", "safe-targeting", "positive control"
UNCLEAR = "control"  # named as a control, without saying of which kind
CONTROLS = (NON_TARGETING, SAFE)
FLAGS = {**TRUTH, "yes": True, "no": False, "y": True, "n": False, "t": True, "f": False}

# Whole words: NTN1, NEGR1, SCRIB and SAFB are genes.
SAFE_NAME = re.compile(
    r"(?<![a-z])safe([-_ .]?(target\w*|harbou?r|cut\w*|seq\w*)|(?![a-z]))"
    r"|(?<![a-z])(sg|g)?(aavs1|rosa26|clybl)(?![a-z])"
)
NON_TARGETING_NAME = re.compile(
    r"(?<![a-z])(no|non)[-_ .]?target\w*|(?<![a-z0-9])ntc?(?![a-z])(?!\d+[a-z])"
    r"|(?<![a-z])neg(ative)?[-_ .]?(control|ctrl|ctl)s?|(?<![a-z])scrambled?(?![a-z])"
)
UNCLEAR_NAME = re.compile(
    r"(?<![a-z])(controls?|ctrl|ctl|lacz|e?gfp|rfp|mcherry|luc(iferase)?|mock|empty)(?![a-z])"
)


def kind_of(guide: str, gene: str, said: str, is_control: str, is_targeting: str) -> str:
    """Return the kind of a guide by its name, its gene and the library's own columns, blank where absent.

    What the library says in words comes first, then the name of the gene, then the name of a guide without a
    gene; a flag alone says non-targeting.
    """
    words = said.strip().casefold()
    named = gene.strip().casefold()
    if not named or means_missing(named):
        named = guide.strip().casefold()
    elif SAFE_NAME.search(guide.casefold()) and _flagged(is_control, is_targeting):
        named = f"{named} {guide.casefold()}"  # the gene of all controls may read "non-targeting"
    for text in (words, named):
        if SAFE_NAME.search(text):
            return SAFE
        if NON_TARGETING_NAME.search(text):
            return NON_TARGETING
    if "positive" in words:
        return POSITIVE
    if _flagged(is_control, is_targeting):
        return NON_TARGETING
    return UNCLEAR if UNCLEAR_NAME.fullmatch(named) or UNCLEAR_NAME.search(words) else TARGETING


def _flagged(is_control: str, is_targeting: str) -> bool:
    return FLAGS.get(is_control.strip().lower(), False) or not FLAGS.get(is_targeting.strip().lower(), True)
