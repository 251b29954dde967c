import pytest
import torch

from fatebias.model.effects import (
    centre_within_genes,
    gene_effects,
    guide_day_table,
    guide_deviations,
    soft_cross_entropy,
)

DRAWS, GENES, FATES, DAYS = 5, 4, 2, 3


def normals(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def test_gene_effects_walk_from_day_to_day():
    tau, z0 = normals(DRAWS, FATES).exp(), normals(DRAWS, GENES, FATES)
    sigma, eps = normals(DRAWS, FATES, DAYS - 1).exp(), normals(DRAWS, GENES, FATES, DAYS - 1)
    theta = gene_effects(tau, z0, sigma, eps)
    assert theta.shape == (DRAWS, GENES, FATES, DAYS)
    for s in range(DRAWS):
        for gene in range(GENES):
            for f in range(FATES):
                value = tau[s, f] * z0[s, gene, f]
                assert theta[s, gene, f, 0] == pytest.approx(float(value))
                for d in range(1, DAYS):
                    value = value + sigma[s, f, d - 1] * eps[s, gene, f, d - 1]
                    assert theta[s, gene, f, d] == pytest.approx(float(value))


def test_one_day_has_no_walk():
    theta = gene_effects(torch.tensor([2.0]), torch.tensor([[3.0]]), None, None)
    assert theta.tolist() == [[[6.0]]]


def test_centred_deviations_sum_to_zero_within_each_gene():
    gene = torch.tensor([0, 0, 1, 1, 1, 2])
    delta = guide_deviations(torch.tensor([1.0, 3.0], dtype=torch.float64), normals(6, FATES), gene)
    sums = torch.zeros(3, FATES, dtype=torch.float64).index_add(0, gene, delta)
    torch.testing.assert_close(sums, torch.zeros_like(sums))
    assert delta[5].tolist() == [0.0, 0.0]  # a gene's only guide is its mean
    assert delta[:5].abs().min() > 0


def test_centring_takes_leading_dimensions():
    gene = torch.tensor([0, 1, 1])
    many = normals(4, 3, FATES)
    torch.testing.assert_close(centre_within_genes(many, gene)[2], centre_within_genes(many[2], gene))


def test_guide_table_adds_gene_and_guide_on_every_day():
    theta, delta, gene = normals(GENES, FATES, DAYS), normals(5, FATES), torch.tensor([0, 0, 1, 2, 3])
    table = guide_day_table(theta, delta, gene)
    assert table.shape == (5 * DAYS, FATES)
    for g in range(5):
        for d in range(DAYS):
            torch.testing.assert_close(table[g * DAYS + d], theta[gene[g], :, d] + delta[g])


@pytest.mark.parametrize("far", [1.0, 50.0])
def test_soft_cross_entropy_is_the_weighted_log_softmax(far):
    eta = far * normals(FATES, 7)
    p = normals(FATES + 1, 7).abs()
    logits = torch.cat([torch.zeros_like(eta[:1]), eta])  # the reference fate's logit is zero
    expected = (p * torch.log_softmax(logits, dim=0)).sum()
    torch.testing.assert_close(soft_cross_entropy(eta, p, p.sum(dim=0)), expected)


def test_soft_cross_entropy_gradient_is_that_of_its_value():
    p = normals(FATES + 1, 6).abs()
    eta = normals(FATES, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, p, p.sum(dim=0)), (eta,))
