"""Contrasts between fates by name: a fate against the reference, or one against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fatebias.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Contrast:
    """A difference of logits.

    Parameters
    ----------
    name
        As the user wrote it.
    fate, against
        The logit of `fate` less that of `against`.
    """

    name: str
    fate: str
    against: str

    def weights(self, fates: Sequence[str]) -> NDArray[np.float64]:
        """Give what effects on the non-reference fates are multiplied with.

        Parameters
        ----------
        fates
            The reference first.

        Returns
        -------
        ndarray
            (F*,).
        """
        import numpy as np  # the config reads contrasts, and is to be quick

        both = np.array([float(each == self.fate) - float(each == self.against) for each in fates])
        return both[1:]


def parse_contrast(word: str, fates: Sequence[str], reference: str) -> Contrast:
    """Read ``FATE`` (against the reference) or ``FATE-FATE``.

    Parameters
    ----------
    word
        What the user wrote; fates may have hyphens in their own names.
    fates
        All fates.
    reference
        What a fate alone is held against.

    Returns
    -------
    Contrast
        Of two different fates.

    Raises
    ------
    ConfigError
        When it is no contrast of two different fates, or could be read in two ways.
    """
    pairs = [(word, reference)] if word in fates else []
    for at in (i for i, sign in enumerate(word) if sign == "-"):
        if word[:at] in fates and word[at + 1 :] in fates:
            pairs.append((word[:at], word[at + 1 :]))
    if len(pairs) != 1 or pairs[0][0] == pairs[0][1]:
        others = [fate for fate in fates if fate != reference]
        raise ConfigError(
            "no contrast of two different fates" if len(pairs) < 2 else "this can be read in two ways",
            where="discovery.contrasts",
            found=word,
            allowed=[*others, *(f"{a}-{b}" for a in others for b in others if a != b)],
        )
    return Contrast(word, *pairs[0])


def parse_contrasts(words: Sequence[str], fates: Sequence[str], reference: str, own: str) -> list[Contrast]:
    """Read several, none of them twice nor the screen's own.

    Parameters
    ----------
    words
        As in `parse_contrast`.
    fates, reference
        Of the screen.
    own
        The fate whose contrast with the reference the run is about.

    Returns
    -------
    list of Contrast
        In the order of `words`.

    Raises
    ------
    ConfigError
        As `parse_contrast`, or when one stands there twice or is the screen's own.
    """
    found = [parse_contrast(word, fates, reference) for word in words]
    seen = {(own, reference): "the screen's own contrast, which stands in out_dir itself"}
    for contrast in found:
        pair = (contrast.fate, contrast.against)
        if pair in seen:
            raise ConfigError(
                f"this is {seen[pair]}", where="discovery.contrasts", found=contrast.name, fix="leave it out"
            )
        seen[pair] = f"the same as {contrast.name}"
    return found
