"""Simulated screens with known truth: cells, their guides, and soft labels drawn around the model's pi."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import gammaln, lambertw

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.reading.build import build_screen
from fatebias.data.reading.guide_map import GuideMap
from fatebias.data.reading.raw import RawScreen
from fatebias.data.screen import Screen, centre_burden
from fatebias.data.simulation.truth import Truth, draw_truth, numbered
from fatebias.errors import ConfigError

# SD of the log abundance of guides in the library.
ABUNDANCE_SD = 0.3
# SD of the shift that orders cells of equal pi.
TIE_SHIFT = 1e-6
# Cells whose neighbours are held in memory at once.
CELLS_AT_ONCE = 50_000


def simulate_screen(simulate: SimulateConfig, data: DataConfig, priors: PriorsConfig) -> tuple[Screen, Truth]:
    """Return a simulated screen and its truth; the screen equals the one read back from a file.

    Guides and genes have the same order in both, but a gene without any cell (in tiny screens) is in the
    truth alone.
    """
    raw, truth = simulate_raw(simulate, data, priors)
    return build_screen(raw, data), truth


def simulate_raw(
    simulate: SimulateConfig,
    data: DataConfig,
    priors: PriorsConfig,
    *,
    gene_names: tuple[str, ...] | None = None,
    day_labels: tuple[str, ...] | None = None,
) -> tuple[RawScreen, Truth]:
    """Simulate what the file of a screen holds; all draws come from one generator of ``simulate.seed``.

    Every cell holds at least one guide, as cells that pass selection do: the number is Poisson given that it
    is not zero, with mean `moi` (one guide in every cell for a `moi` of 1 or less). Guides, NTC included, are
    drawn by an abundance that varies log-normally. Soft labels are Dirichlet(c pi), pi being the softmax of
    the model; c near 0 gives single draws of a fate. With `neighbours` above 1 a cell's label is the mean
    over that many cells of its day and replicate that are nearest in pi, itself included, so that similar
    cells share their noise. `gene_names` must be sorted.
    """
    import pandas as pd

    n = simulate.n_cells
    if n < simulate.n_days * simulate.n_replicates:
        raise ConfigError(
            "too few cells to fill every day and replicate",
            where="data.simulate.n_cells",
            found=n,
            allowed=f"{simulate.n_days * simulate.n_replicates} or more",
            fix=f"data.simulate.n_cells={100 * simulate.n_days * simulate.n_replicates}",
        )
    rng = np.random.default_rng(simulate.seed)
    truth = draw_truth(simulate, data, priors, rng, gene_names)
    ntc = tuple(f"NTC_{name}" for name in numbered("sg", simulate.n_ntc_guides))
    guides = (*truth.guide_names, *ntc)
    day, rep = _balanced(n, simulate.n_days, simulate.n_replicates, rng)
    cell, rank = _hand_out(n, len(guides), simulate.moi, rng)
    held = np.bincount(cell, minlength=n)
    pi = _fate_probabilities(truth, cell, rank, day, rep, centre_burden(held, day))
    p = _soft_labels(pi, simulate.concentration, rng)
    graph = None
    if simulate.neighbours > 1:
        graph = _nearest(pi, day * simulate.n_replicates + rep, simulate.neighbours, rng)
        p = graph @ p

    days = day_labels or numbered("d", simulate.n_days, start=0)
    reps = numbered("rep", simulate.n_replicates)
    genes = [truth.gene_names[g - 1] for g in truth.gene_of_guide] + ["NTC"] * len(ntc)
    indptr = np.concatenate([[0], np.cumsum(held)])
    matrix = csr_matrix((np.ones(cell.size, dtype=np.int8), rank, indptr), shape=(n, len(guides)))
    raw = RawScreen(
        source="simulated screen",
        cells=np.array([f"cell{i}" for i in range(n)], dtype=object),
        fate_values=p,
        fate_names=(("the simulator", truth.fates),),
        terminal=None,
        terminal_key="",
        guides=matrix,
        guides_at="the simulator",
        guide_columns=guides,
        guide_columns_from="the simulator",
        day=pd.Series(pd.Categorical.from_codes(day, pd.Index(days, dtype=object))),
        rep=pd.Series(pd.Categorical.from_codes(rep, pd.Index(reps, dtype=object))),
        rep_at="the simulator",
        weight=None,
        guide_map=GuideMap("simulated guide map", dict(zip(guides, genes, strict=True)), frozenset(ntc)),
        graph=graph,
    )
    return raw, truth


def _balanced(
    n_cells: int, n_days: int, n_reps: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Assign cells evenly to days and replicates, in random order."""
    place = rng.permutation(n_cells)
    return (place % n_days).astype(np.int32), (place // n_days % n_reps).astype(np.int32)


def _hand_out(
    n_cells: int, n_guides: int, moi: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw different guides for each cell; return cell and guide of each assignment, sorted by cell."""
    wanted = np.minimum(_positive_poisson(n_cells, moi, rng), n_guides)
    ladder = np.cumsum(rng.lognormal(0.0, ABUNDANCE_SD, n_guides))
    ladder /= ladder[-1]
    pairs = np.empty(0, dtype=np.int64)
    cell = np.repeat(np.arange(n_cells, dtype=np.int64), wanted)
    while cell.size:
        guide = np.searchsorted(ladder, rng.random(cell.size), side="right")
        pairs = np.sort(np.concatenate([pairs, cell * n_guides + guide]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # a guide drawn twice counts once; draw another
        lacking = wanted - np.bincount(pairs // n_guides, minlength=n_cells)
        cell = np.repeat(np.arange(n_cells, dtype=np.int64), lacking)
    return pairs // n_guides, pairs % n_guides


def _positive_poisson(n_cells: int, mean: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw from a Poisson conditioned on at least 1, with this mean after conditioning."""
    if mean <= 1:
        return np.ones(n_cells, dtype=np.int64)
    # rate / (1 - exp(-rate)) = mean, solved by Lambert's W.
    rate = mean + np.real(lambertw(-mean * np.exp(-mean)))
    count = np.arange(1, int(mean + 12 * np.sqrt(mean)) + 20)
    ladder = np.cumsum(np.exp(count * np.log(rate) - rate - gammaln(count + 1)))
    return 1 + np.searchsorted(ladder[:-1] / ladder[-1], rng.random(n_cells), side="right")


def _fate_probabilities(
    truth: Truth,
    cell: NDArray[np.int64],
    rank: NDArray[np.int64],
    day: NDArray[np.int32],
    rep: NDArray[np.int32],
    k_centered: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the model's pi = softmax(alpha + b + gamma k + effects of the guides), (N, F)."""
    n_cells = day.size
    effects = truth.guide_effects()
    targets = rank < len(truth.guide_names)
    cell, rank = cell[targets], rank[targets]
    eta = np.zeros((n_cells, len(truth.fates)))
    for f in range(len(truth.fates) - 1):
        eta[:, f + 1] = (
            truth.alpha[f, day]
            + truth.b[f, rep]
            + truth.gamma[f] * k_centered
            + np.bincount(cell, effects[rank, f, day[cell]], minlength=n_cells)
        )
    eta = np.exp(eta - eta.max(axis=1, keepdims=True))
    return eta / eta.sum(axis=1, keepdims=True)


def _soft_labels(
    pi: NDArray[np.float64], concentration: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw Dirichlet(c pi) in logs: Gamma(a) = Gamma(a + 1) U^(1/a) does not underflow for small a."""
    shape = concentration * pi
    log_gamma = np.log(rng.standard_gamma(shape + 1.0)) + np.log1p(-rng.random(pi.shape)) / shape
    drawn = np.exp(log_gamma - log_gamma.max(axis=1, keepdims=True))
    return drawn / drawn.sum(axis=1, keepdims=True)


def _nearest(
    pi: NDArray[np.float64], group: NDArray[np.int32], neighbours: int, rng: np.random.Generator
) -> csr_matrix:
    """Link each cell to the `neighbours` cells of its group nearest in pi, itself included; rows sum to 1.

    By true pi, so that the mean label keeps its expectation; a tiny random shift orders cells of equal pi, so
    that in a screen without effects neighbours are random.
    """
    from scipy.spatial import cKDTree

    place = pi[:, 1:] + rng.normal(0.0, TIE_SHIFT, pi[:, 1:].shape)
    row, column, share = [], [], []
    for g in range(int(group.max()) + 1):
        members = np.flatnonzero(group == g)
        if not members.size:
            continue
        tree = cKDTree(place[members])
        count = min(neighbours, members.size)
        for start in range(0, members.size, CELLS_AT_ONCE):
            block = members[start : start + CELLS_AT_ONCE]
            nearest = tree.query(place[block], k=np.arange(1, count + 1))[1]  # (cells, neighbours)
            row.append(np.repeat(block, count))
            column.append(members[nearest].ravel())
            share.append(np.full(block.size * count, 1 / count))
    parts = [np.concatenate(each) for each in (share, row, column)]
    return csr_matrix((parts[0], (parts[1], parts[2])), shape=(len(pi), len(pi)))
