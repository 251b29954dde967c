"""Do processes over time, or another weight of the null, find more? ``python -m benchmarks.ordered``.

Estimates are drawn at once, without a screen: 100 genes, a quarter of them active, standard errors of 0.12
logits that are correlated between days by 0.8. Each prior is fitted to each table. A call (lfsr < 0.05) on a
true zero or of the wrong sign is false, ``promised`` is what the lfsr of the calls add up to. A last table
asks FASH's own question, which effects change over time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.functional import Estimates, adjusted_weights, fash_components, smooth_patterns, wiener
from fatebias.data.simulation.truth import COURSES
from fatebias.mash.covariances import Components, canonical, day_patterns, normalised, select_scales
from fatebias.mash.mixture import penalised_weights

Array = NDArray[np.float64]
Course = Callable[[Array, np.random.Generator], Array]  # from the days' times to an effect of size 1

ACTIVE_SHARE, SE, CORRELATION, LEVEL = 0.25, 0.12, 0.8, 0.05
WEAK, STRONG = (0.1, 0.35), (0.3, 0.8)  # sizes of effects, logits
ADJUSTED = 0.0  # in place of a nullweight: the null's weight by Bayes factors


def _ramp(times: Array, rng: np.random.Generator) -> Array:
    """Rise from zero on the first day, or fall to zero on the last, in proportion to time."""
    passed = (times - times[0]) / (times[-1] - times[0])
    return passed if rng.random() < 0.5 else 1 - passed


def _curve(times: Array, rng: np.random.Generator) -> Array:
    """Draw a level and an integrated Wiener process of order 2: what FASH of that order assumes."""
    process = wiener(times / (times[-1] - times[0]), 2)
    root = np.linalg.cholesky(process[1:, 1:])
    drawn = rng.standard_normal() + np.append(0.0, 3 * root @ rng.standard_normal(len(root)))
    return np.asarray(drawn / np.abs(drawn).max())


def _simulated(name: str) -> Course:
    """Return a course of the simulator's."""
    [course] = COURSES[name]
    return lambda times, rng: course(len(times), rng)


EFFECTS: dict[str, tuple[Course | None, tuple[float, float]]] = {
    "all days, weak": (_simulated("persistent"), WEAK),
    "last two days, weak": (_simulated("late"), WEAK),
    "first two days, weak": (_simulated("early"), WEAK),
    "one day, weak": (_simulated("single_day"), WEAK),
    "sign flips, weak": (_simulated("sign_flip"), WEAK),
    "rise or fall, weak": (_ramp, WEAK),
    "smooth curve, weak": (_curve, WEAK),
    "last two days": (_simulated("late"), STRONG),
    "one day": (_simulated("single_day"), STRONG),
    "sign flips": (_simulated("sign_flip"), STRONG),
    "rise or fall": (_ramp, STRONG),
    "smooth curve": (_curve, STRONG),
    "none": (None, WEAK),
}


def draw_table(design: str, times: Array, seed: int, n_genes: int = 100) -> tuple[Estimates, Array]:
    """Return estimates and true effects, (L, D)."""
    course, (low, high) = EFFECTS[design]
    rng = np.random.default_rng([0x0DE5, list(EFFECTS).index(design), seed])
    theta = np.zeros((n_genes, len(times)))
    if course is not None:
        for gene in range(round(ACTIVE_SHARE * n_genes)):
            theta[gene] = rng.choice([-1.0, 1.0]) * rng.uniform(low, high) * course(times, rng)
    v = CORRELATION + (1 - CORRELATION) * np.eye(len(times))
    error = SE * rng.standard_normal(theta.shape) @ np.linalg.cholesky(v).T
    return Estimates(theta + error, np.full(theta.shape, SE), v), theta


@dataclass(frozen=True)
class PriorFamily:
    """Components that a prior may weigh, and which of them are effects that do not change over time."""

    components: Array  # (P, D, D), the null first
    constant: NDArray[np.bool_]  # (P,)

    @classmethod
    def of_patterns(cls, patterns: dict[str, Array], data: Estimates) -> PriorFamily:
        """Return mash's components: no effect, and each pattern at each scale."""
        made = Components(normalised(patterns), select_scales(data.bhat, data.shat))
        equal = [name.startswith(("null", "equal_effects.")) for name in made.names]
        return cls(made.covariances, np.array(equal))


def family_of(name: str, times: Array, data: Estimates) -> PriorFamily:
    """Return the components of mash with these patterns, or of FASH."""
    if name.startswith("fash"):
        components = fash_components(times, order=int(name.removeprefix("fash ")))
        return PriorFamily(components, np.arange(len(components)) == 0)
    patterns = {
        "canonical": canonical(len(times)),
        "days": day_patterns(len(times)),
        "smooth": smooth_patterns(times),
        "days and smooth": day_patterns(len(times)) | smooth_patterns(times),
    }[name]
    return PriorFamily.of_patterns(patterns, data)


# Patterns and the weight of the null.
PRIORS: dict[str, tuple[str, float]] = {
    "canonical": ("canonical", 10.0),
    "days": ("days", 10.0),
    "smooth": ("smooth", 10.0),
    "days and smooth": ("days and smooth", 10.0),
    "smooth, Bayes factors": ("smooth", ADJUSTED),
    "fash, order 1": ("fash 1", ADJUSTED),
    "fash, order 2": ("fash 2", ADJUSTED),
    "days, nullweight 3": ("days", 3.0),
    "days, nullweight 2": ("days", 2.0),
    "days, nullweight 1": ("days", 1.0),
    "days, Bayes factors": ("days", ADJUSTED),
    # for the second table alone
    "fash, order 1, not adjusted": ("fash 1", 1.0),
    "fash, order 2, not adjusted": ("fash 2", 1.0),
}
BY_PATTERNS = (
    "canonical", "days", "smooth", "smooth, Bayes factors", "days and smooth", "fash, order 1",
    "fash, order 2",
)  # fmt: skip
BY_NULL = ("days", "days, nullweight 3", "days, nullweight 2", "days, nullweight 1", "days, Bayes factors")
OF_CHANGE = (
    "days", "smooth", "fash, order 1, not adjusted", "fash, order 1", "fash, order 2, not adjusted",
    "fash, order 2",
)  # fmt: skip


@dataclass
class Count:
    """Calls summed over tables."""

    true: int = 0  # effects that there are
    called: int = 0
    right: int = 0
    promised: float = 0.0  # false calls that the lfsr of the calls add up to

    def add(self, there: NDArray[np.bool_], called: NDArray[np.bool_], right: Array, doubt: Array) -> None:
        """Take in a table: what there is, what is called, whether rightly, and each call's own doubt."""
        self.true += int(there.sum())
        self.called += int(called.sum())
        self.right += int((called & right.astype(bool)).sum())
        self.promised += float(doubt[called].sum())

    @property
    def cell(self) -> str:
        """Text for a table: false / called (promised), power."""
        figures = f"{self.called - self.right}/{self.called} ({self.promised:.2g})"
        return f"{figures} {self.right / self.true:.2f}" if self.true else figures


@dataclass
class Score:
    """Calls of effects by gene and day, and of genes whose effect changes over time."""

    effects: Count = field(default_factory=Count)
    change: Count = field(default_factory=Count)

    def add(self, data: Estimates, theta: Array, family: PriorFamily, log_lik: Array, weights: Array) -> None:
        """Take in one table under one fitted prior."""
        fitted = data.posterior(family.components, weights)
        lfsr, (mean, _) = np.exp(fitted.log_lfsr), fitted.moments()
        self.effects.add(theta != 0, lfsr < LEVEL, np.sign(mean) == np.sign(theta), lfsr)
        changes = np.ptp(theta, axis=1) > 0
        with np.errstate(divide="ignore"):
            joint = log_lik + np.log(weights)
        member = np.exp(joint - joint.max(axis=1, keepdims=True))
        unchanging = (member[:, family.constant].sum(axis=1)) / member.sum(axis=1)
        self.change.add(changes, tail_rate(unchanging) < LEVEL, changes, unchanging)


def tail_rate(lfdr: Array) -> Array:
    """Average the local false discovery rates of all genes at least as sure, (L,), as ``fdr_control``."""
    order = lfdr.argsort(kind="stable")
    rate = np.empty_like(lfdr)
    rate[order] = lfdr[order].cumsum() / np.arange(1, len(lfdr) + 1)
    return rate


def score(
    designs: Sequence[str], times: Array, n_tables: int, n_genes: int = 100
) -> dict[str, dict[str, Score]]:
    """Fit every prior to every table; return the sums by design and prior."""
    found = {design: {prior: Score() for prior in PRIORS} for design in designs}
    for design in designs:
        for seed in range(n_tables):
            data, theta = draw_table(design, times, seed, n_genes)
            families = {name: family_of(name, times, data) for name, _ in PRIORS.values()}
            log_lik = {name: data.log_likelihoods(each.components) for name, each in families.items()}
            for prior, (name, null_weight) in PRIORS.items():
                weights = fit_weights(log_lik[name], null_weight)
                found[design][prior].add(data, theta, families[name], log_lik[name], weights)
    return found


def fit_weights(log_lik: Array, null_weight: float) -> Array:
    """Return the weights of components, (P,), the null weighed by a penalty or by Bayes factors."""
    return adjusted_weights(log_lik) if null_weight == ADJUSTED else penalised_weights(log_lik, null_weight)


def markdown(cells: dict[str, dict[str, str]]) -> str:
    """Return a table with a row for each design."""
    columns = ["effects, logits", *next(iter(cells.values()))]
    rows = [columns, ["---"] * len(columns), *([name, *row.values()] for name, row in cells.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20, help="of each design, with seeds from 0 (20)")
    parser.add_argument("--times", type=_times, default=_times("0,1,2,3"), help="of the days (0,1,2,3)")
    parser.add_argument("--genes", type=int, default=100, help="of each table (100)")
    asked = parser.parse_args()
    found = score(list(EFFECTS), asked.times, asked.tables, asked.genes)
    print("Gene-days: false / called (promised), power")
    for priors in (BY_PATTERNS, BY_NULL):
        cells = {design: {p: each[p].effects.cell for p in priors} for design, each in found.items()}
        print(f"\n{markdown(cells)}")
    print("\nGenes whose effect changes over time: false / called (promised), power")
    cells = {design: {p: each[p].change.cell for p in OF_CHANGE} for design, each in found.items()}
    print(f"\n{markdown(cells)}")


def _times(word: str) -> Array:
    times = np.array([float(part) for part in word.split(",")])
    if len(times) < 2 or (np.diff(times) <= 0).any():
        raise argparse.ArgumentTypeError(f"{word}: two or more times in order")
    return times


if __name__ == "__main__":
    main()
