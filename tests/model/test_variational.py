import numpy as np
import pyro
import pytest
import torch

from fatebias.data.collapse import collapse
from fatebias.model.design_matrix import DesignMatrix, walk_steps
from fatebias.model.variational import StructuredFamily, VariationalInit, cold_init
from tests.screens import small_screen, with_covariates


@pytest.fixture(autouse=True)
def fresh_store():
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


class Coloured:
    """Noise by the Cholesky factor of its precision."""

    device = torch.device("cpu")

    def __init__(self, factor):
        self.factor, self.log_volume = factor, float(factor.diagonal().log().sum())

    def colour(self, normal):
        return torch.linalg.solve_triangular(self.factor.T, normal, upper=True)


def family_of(n_days=3, seed=0, more=False):
    """A family whose starting normal has correlations between all effects."""
    screen = small_screen(300, n_days=n_days)
    design = DesignMatrix(collapse(with_covariates(screen) if more else screen))
    rng = np.random.default_rng(seed)
    root = 0.05 * rng.normal(size=(design.size, design.size)) + np.eye(design.size)
    covariance = 0.04 * root @ root.T
    factor = np.linalg.cholesky(np.linalg.inv(covariance))
    start = VariationalInit(
        mean=rng.normal(size=design.size),
        noise=Coloured(torch.from_numpy(factor)),
        sd=np.sqrt(np.diag(covariance)),
        scale_precision=np.full((2, n_days + 1), 4.0),
    )
    return (
        design,
        start,
        covariance,
        StructuredFamily(design, start, torch.Generator().manual_seed(1)),
    )


def disturb(family):
    """Move every parameter away from its start."""
    generator = torch.Generator().manual_seed(7)
    for value in family.parameters():
        with torch.no_grad():
            value.add_(0.1 * torch.randn(value.shape, dtype=value.dtype, generator=generator))


def test_the_start_is_the_starting_normal():
    design, start, covariance, family = family_of()
    flat, scales = family.draw(40_000)
    np.testing.assert_allclose(flat.mean(dim=0), start.mean, atol=0.01)
    np.testing.assert_allclose(np.cov(flat.numpy().T), covariance, atol=0.006)
    np.testing.assert_allclose((1 / scales**2).mean(dim=0), start.scale_precision, rtol=0.05)


@pytest.mark.parametrize("n_days", [1, 3])
@pytest.mark.parametrize("more", [False, True], ids=["plain", "covariates"])
def test_log_density_is_that_of_the_transformed_normal(n_days, more):
    """What Pyro sums up for one draw against the density worked out from scratch."""
    design, start, covariance, family = family_of(n_days, more=more)
    disturb(family)
    trace = pyro.poutine.trace(family).get_trace()
    site = {name: node["value"].detach() for name, node in trace.nodes.items() if node["type"] == "sample"}

    theta = [site["tau"] * site["z0"]]
    for d in range(n_days - 1):
        theta.append(theta[-1] + site["sigma_time"][:, d] * site["eps"][:, :, d])
    flat = np.empty(design.size)
    flat[design.theta_index] = torch.stack(theta, dim=-1).numpy()
    flat[design.delta_index] = (site["sigma_guide"] * site["u"]).numpy()
    covar = [site["covar"]] if more else []
    shared = torch.cat([site["alpha"], site["b"], site["gamma"][:, None], *covar], dim=1)
    flat[design.shared_index] = shared.T.numpy()

    loc, _, raw_shared, scale_loc, scale_log_sd = (value.detach() for value in family.parameters())
    mean, transform, _ = family.block_moments()
    whole = np.zeros((design.size, design.size))
    for block, matrix in zip(design.block_index, transform, strict=True):
        whole[np.ix_(block, block)] = matrix
    common = design.shared_index.ravel()
    lower = np.tril(raw_shared.numpy(), -1) + np.diag(np.exp(np.diag(raw_shared.numpy())))
    whole[np.ix_(common, common)] = start.sd[common][:, None] * lower / start.sd[common]
    moved = torch.from_numpy(whole @ covariance @ whole.T)
    expected = torch.distributions.MultivariateNormal(torch.from_numpy(mean), moved).log_prob(
        torch.from_numpy(flat)
    )

    scales = [site["tau"][:, None], site["sigma_guide"][:, None]]
    if n_days > 1:
        scales.insert(1, site["sigma_time"])
    scales = torch.cat(scales, dim=1)
    expected += torch.distributions.LogNormal(scale_loc, scale_log_sd.exp()).log_prob(scales).sum()
    counts = torch.tensor([6.0] * n_days + [18.0])
    expected += (counts * scales.log()).sum()  # from effects to standard normals
    assert float(trace.log_prob_sum().detach()) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.slow
def test_draws_and_pyros_own_samples_are_of_one_distribution():
    design, _, _, family = family_of()
    disturb(family)
    flat, _ = family.draw(20_000)
    walk = torch.from_numpy(walk_steps(3))
    theta = flat[:, torch.from_numpy(design.theta_index)]
    sampled = []
    for _ in range(4000):
        nodes = pyro.poutine.trace(family).get_trace().nodes
        sampled.append(nodes["tau"]["value"] * nodes["z0"]["value"])
    sampled = torch.stack(sampled).detach()
    first = (theta @ walk.T)[..., 0]
    np.testing.assert_allclose(sampled.mean(dim=0), first.mean(dim=0), atol=0.02)
    np.testing.assert_allclose(sampled.std(dim=0), first.std(dim=0), rtol=0.06)


def test_genes_with_fewer_guides_are_padded_without_a_trace():
    screen = small_screen(300)
    design = DesignMatrix(collapse(screen))
    rows = design.rows
    gene = rows.guide_gene.copy()
    gene[-1] = 0  # one guide moves to the first gene, which then has four while others have three or two
    object.__setattr__(rows, "guide_gene", gene)
    uneven = DesignMatrix(rows)
    family = StructuredFamily(uneven, cold_init(uneven), torch.Generator().manual_seed(0))
    assert (uneven.block_index == uneven.size).sum() == 2 * (6 * 4 - 18)
    trace = pyro.poutine.trace(family).get_trace()
    assert torch.isfinite(trace.log_prob_sum().detach())
    np.testing.assert_allclose(family.draw(20_000)[0].std(dim=0), 0.1, rtol=0.05)


def test_every_second_draw_mirrors_the_one_before():
    _, start, _, family = family_of()
    one, other = (pyro.poutine.trace(family).get_trace().nodes["q.noise"]["value"] for _ in range(2))
    torch.testing.assert_close(one, -other)
