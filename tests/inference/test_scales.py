"""The search for the scales, on updates and evidences made for it."""

import numpy as np
import pytest

from fatebias.inference.scales import ScaleSearch


def search(update, evidence, most=60):
    """Return the points that a search visits until it has settled."""
    found = ScaleSearch(1, 2)
    visited = []
    for _ in range(most):
        visited.append(found.point.ravel())
        found.seen(evidence(found.point), update(found.point))
        if found.settled:
            return np.array(visited)
        found.move()
    pytest.fail(f"not settled; the last points: {np.round(visited[-4:], 4).tolist()}")


@pytest.mark.parametrize("speed", [0.3, 0.6, 0.95])
def test_it_ends_at_the_fixed_point(speed):
    goal = np.array([[1.0, 4.0]])
    visited = search(lambda x: goal + speed * (x - goal), lambda x: -((x - goal) ** 2).sum())
    np.testing.assert_allclose(visited[-1], goal[0], atol=0.5)
    assert len(visited) < 12


def test_a_plain_update_that_lowers_the_evidence_is_not_repeated():
    """As with many weak effects: the updates end a little beside the highest evidence."""
    found = ScaleSearch(1, 2)
    visited = []
    for evidence in (-20.0, -10.0, -11.4, -10.4, -11.4, -10.4, -11.4, -10.4):
        visited.append(tuple(found.point.ravel()))
        found.seen(evidence, 0.9 * found.point + np.array([[0.1, 0.3]]))
        found.move()
    assert len(set(visited)) == len(visited)
