"""Contrasts between fates by name: a fate against the reference, or one against another; ``all`` of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from fatebias.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ALL = "all"  # each fate against the reference, but for the screen's own contrast


@dataclass(frozen=True)
class Contrast:
    """A difference of logits: that of `fate` minus that of `against`."""

    name: str  # as the user wrote it
    fate: str
    against: str

    def weights(self, fates: Sequence[str]) -> NDArray[np.float64]:
        """Return factors of the effects on the non-reference fates, (F*,); `fates`: reference first."""
        import numpy as np  # here, since config imports this module and must be quick

        both = np.array([float(each == self.fate) - float(each == self.against) for each in fates])
        return both[1:]


def parse_contrast(word: str, fates: Sequence[str], reference: str) -> Contrast:
    """Return the contrast that ``FATE`` (against the reference) or ``FATE-FATE`` names.

    Fates may have hyphens in their names. Raises ConfigError when it names no two different fates, or can be
    read in two ways.
    """
    pairs = [(word, reference)] if word in fates else []
    for at in (i for i, sign in enumerate(word) if sign == "-"):
        if word[:at] in fates and word[at + 1 :] in fates:
            pairs.append((word[:at], word[at + 1 :]))
    if len(pairs) != 1 or pairs[0][0] == pairs[0][1]:
        others = [fate for fate in fates if fate != reference]
        raise ConfigError(
            "this is not a contrast of two different fates"
            if len(pairs) < 2
            else "this can be read in two ways",
            where="discovery.contrasts",
            found=word,
            allowed=f"{', '.join([*others, *pairs_of(others, reference)])}; pairs either way round",
        )
    return Contrast(word, *pairs[0])


def pairs_of(others: Sequence[str], reference: str) -> list[str]:
    """List the names of every pair of fates once, those with the reference last."""
    return [f"{a}-{b}" for a, b in combinations(others, 2)] + [f"{each}-{reference}" for each in others]


def parse_contrasts(words: Sequence[str], fates: Sequence[str], reference: str, own: str) -> list[Contrast]:
    """Return the contrasts besides the screen's `own`, those that ``all`` names first.

    Raises ConfigError for one named twice and for the screen's own.
    """
    found = [parse_contrast(word, fates, reference) for word in words if word != ALL]
    seen = {(own, reference): "the screen's own contrast, whose files are in out_dir itself"}
    for contrast in found:
        pair = (contrast.fate, contrast.against)
        if pair in seen:
            raise ConfigError(
                f"this is {seen[pair]}", where="discovery.contrasts", found=contrast.name, fix="leave it out"
            )
        seen[pair] = f"the same as {contrast.name}"
    if ALL not in words:
        return found
    left = [fate for fate in fates if fate != reference and (fate, reference) not in seen]
    return [Contrast(fate, fate, reference) for fate in left] + found
