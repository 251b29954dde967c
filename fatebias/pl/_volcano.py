"""All genes at once: effect against certainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 12
LONG = 8  # letters of a name that is written towards the middle
WIDTH, HEIGHT = 0.2, 0.035  # that a name takes, as shares of the Axes


def volcano(
    hits: Any,
    *,
    day: str | int | None = None,
    ax: Axes | None = None,
    named: int = NAMED,
    least: float | None = None,
    **keywords: Any,
) -> Axes:
    """Draw the effect of each gene against its lfsr and return the Axes.

    Certainty is spread by log(1 - log10 lfsr), so that 0.05, 1e-10 and 1e-100 are told apart on one axis.

    Parameters
    ----------
    hits
        What `fatebias.pl.hits` takes: a ranked table of L genes, or a result that has one.
    day
        Label or number of a day; by default each gene on its surest day.
    ax
        Where to draw; a new figure by default. Give several Axes the same limits to compare days.
    named
        How many of the surest calls carry their gene's name.
    least
        The lfsr at which the axis ends, for several days on one scale; by default the least one drawn.
    **keywords
        ``day_labels``, ``contrast``, ``rule``, ``rule_text`` as in `fatebias.pl.hits`.

    Returns
    -------
    matplotlib.axes.Axes
        One dot a gene: vermilion where it is called up, blue where down, grey where it is not called.

    Raises
    ------
    ValueError
        For a day that is none of the labels.
    TypeError
        When it is given something else than a ranking.

    Examples
    --------
    >>> import pandas as pd
    >>> from fatebias import pl
    >>> table = pd.DataFrame(
    ...     {"gene": ["PAX6", "SOX2"], "postmean_d0": [-1.0, 0.1], "lfsr_d0": [1e-6, 0.6], "best_day": [0, 0]}
    ... )
    >>> ax = pl.volcano(table, day="d0")
    >>> [text.get_text() for text in ax.texts]
    ['PAX6']
    """
    import numpy as np

    from fatebias import names
    from fatebias.pl._ranking import DOWN, MISS, UP, lfsr_ticks, ranking, sureness
    from fatebias.pl.save import named as shown_name
    from fatebias.pl.save import new_axes, without_frame

    found = ranking(hits, "volcano", **keywords)
    labels = [str(label) for label in found.day_labels]
    if day is None:
        chosen = found.best_day()
    else:
        at = day if isinstance(day, int) else labels.index(day) if day in labels else -1
        if not 0 <= at < len(labels):
            raise ValueError(f"there is no day {day!r}; the days are {', '.join(labels)}")
        chosen = np.full(len(found.table), at)
    genes = np.arange(len(found.table))
    effect, lfsr = (found.values(prefix)[genes, chosen] for prefix in (names.POSTMEAN, names.LFSR))
    called = found.called()[genes, chosen]
    ax = new_axes(4.6, 3.8) if ax is None else ax
    for kind, colour in ((~called, MISS), (called & (effect > 0), UP), (called & (effect < 0), DOWN)):
        ax.scatter(effect[kind], sureness(lfsr[kind]), s=16, color=colour, linewidths=0)
    limit = 1.15 * float(np.abs(effect).max(initial=0.1))
    least = float(lfsr.min(initial=0.5)) if least is None else least
    height = float(sureness(min(least, 0.5)))  # also where nothing is sure
    written: list[tuple[float, float]] = []
    for g in [g for g in np.argsort(lfsr, kind="stable") if called[g]][:named]:
        x, y = float(effect[g]) / (2 * limit), float(sureness(lfsr[g])) / height
        if any(abs(x - other) < WIDTH and abs(y - above) < HEIGHT for other, above in written):
            continue  # it would be written over another name
        written.append((x, y))
        name = shown_name(found.table[names.GENE].iloc[g])
        inwards = effect[g] > 0 and len(name) > LONG  # else it would leave the panel
        ax.annotate(
            name,
            (effect[g], sureness(lfsr[g])),
            xytext=(-4 if inwards else 4, 0),
            textcoords="offset points",
            fontsize=7,
            ha="right" if inwards else "left",
            va="center",
        )
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-0.04 * height, 1.06 * height)
    lfsr_ticks(ax, least)
    ax.set_xlabel(found.effect_label())
    ax.set_title(
        shown_name(labels[chosen[0]]) if day is not None else "each gene on its surest day",
        fontsize=10,
        loc="left",
    )
    without_frame(ax)
    return ax
