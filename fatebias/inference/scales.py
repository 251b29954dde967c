"""The search for the scales: variational Bayes updates, Anderson mixing, checked by the evidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

START_SCALE = 0.3
SCALE_TOLERANCE = 0.01  # relative
EVIDENCE_TOLERANCE = 0.3  # nats
LONGEST_MOVE = 2.0  # of a log precision: a scale moves by a factor of e at most
MEMORY = 6


def scale_update(squares: Array, counts: Array, widths: Array) -> Array:
    """Return the mode in log s of ``s^-n exp(-S / 2 s^2 - s^2 / 2 h^2)`` as variances s^2, (F*, D + 1).

    Setting the derivative in log s of ``-(n - 1) log s - S / 2 s^2 - s^2 / 2 h^2`` to zero gives a quadratic
    in s^2, solved in the form that does not cancel when h is broad. S, (F*, D + 1), is the posterior
    expectation of the sum of squares behind each scale; n and h, (D + 1,), are counts and widths.
    """
    free = counts - 1
    return 2 * squares / (free + np.sqrt(free**2 + 4 * squares / widths**2))


def log_hyperprior(log_precision: Array, widths: Array) -> float:
    """Return the log density of the HalfNormal scales in log s, given ``-2 log s``, summed."""
    scale = np.exp(-log_precision / 2)
    return float(
        np.sum(0.5 * np.log(2 / np.pi) - np.log(widths) - scale**2 / (2 * widths**2) + np.log(scale))
    )


class ScaleSearch:
    """Finds the scales: variational Bayes updates, sped up by Anderson mixing, checked by the evidence.

    The fixed point of the updates is where the log evidence in log s is highest. Mixing may overshoot, most
    of all towards zero, where an update hardly moves a scale although it is far from its best: a mixed point
    at which the evidence has fallen is dropped, and the search continues from the best one with a plain
    update.
    """

    def __init__(self, n_effects: int, n_scales: int) -> None:
        self.point: Array = np.full((n_effects, n_scales), -2 * np.log(START_SCALE))
        self.image = self.point
        self.gain = np.inf
        self.best = (-np.inf, self.point, self.point)
        self.plain = True
        self.points: list[Array] = []
        self.moves: list[Array] = []
        self.held: NDArray[np.bool_] = np.zeros((n_effects, n_scales), dtype=bool)

    def begin_at(self, point: Array, held: NDArray[np.bool_] | None) -> None:
        """Start from known log precisions, of which those in `held` do not move."""
        self.point = self.image = point
        self.best = (-np.inf, point, point)
        if held is not None:
            self.held = held

    def seen(self, evidence: float, image: Array) -> None:
        """Take in what a round found at `point`: its log evidence and its update."""
        self.image = image = np.where(self.held, self.point, image)
        self.gain = evidence - self.best[0]
        # Where a plain update lowers the evidence, to go back would only repeat it: the updates' fixed point
        # is not quite the highest point of an evidence that is itself approximate.
        if self.gain > 0 or self.plain:
            self.best = (evidence, self.point, image)

    @property
    def change(self) -> float:
        """Largest relative change of a scale that a plain update would make."""
        return float(np.abs(self.image - self.point).max() / 2)

    @property
    def settled(self) -> bool:
        """Whether both the scales and the evidence have stopped moving."""
        return self.change < SCALE_TOLERANCE and abs(self.gain) < EVIDENCE_TOLERANCE

    def move(self) -> None:
        """Choose the next point."""
        if self.held.all():
            return
        if self.gain < -EVIDENCE_TOLERANCE and not self.plain:
            _, self.point, self.image = self.best
            self.points, self.moves = [], []
        self.points = [*self.points, self.point.ravel()][-MEMORY:]
        self.moves = [*self.moves, (self.image - self.point).ravel()][-MEMORY:]
        self.plain = len(self.points) == 1
        if self.plain:
            self.point = self.image
            return
        points = np.diff(np.stack(self.points, axis=1), axis=1)
        moves = np.diff(np.stack(self.moves, axis=1), axis=1)
        ridge = 1e-10 * np.trace(moves.T @ moves) * np.eye(moves.shape[1])
        share = np.linalg.solve(moves.T @ moves + ridge, moves.T @ self.moves[-1])
        step = (self.moves[-1] - (points + moves) @ share).reshape(self.point.shape)
        self.point = self.point + np.clip(step, -LONGEST_MOVE, LONGEST_MOVE)
