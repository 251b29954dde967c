"""What guides are for, by their names: controls told apart, genes with similar names left alone."""

from __future__ import annotations

import pytest

from fatebias.preparation.kinds import NON_TARGETING, POSITIVE, SAFE, TARGETING, UNCLEAR, kind_of

NAMES = {
    NON_TARGETING: [
        "non-targeting",
        "Non-Targeting",
        "nontargeting_12",
        "NON_TARGETING",
        "no-target",
        "NTC",
        "NTC-1",
        "ntc_007",
        "NT",
        "NT_3",
        "NT5",
        "neg_ctrl",
        "negative control",
        "NegCtrl2",
        "scrambled",
        "scramble_1",
    ],
    SAFE: [
        "safe-targeting",
        "SAFE_1",
        "safe_harbor",
        "safe-harbour-2",
        "Safe_cutting",
        "AAVS1",
        "sgAAVS1-1",
        "ROSA26",
    ],
    UNCLEAR: ["control", "CTRL", "LacZ", "EGFP", "luciferase", "mCherry"],
    TARGETING: [
        "NTN1",
        "NT5E",
        "NTRK1",
        "NEGR1",
        "SCRIB",
        "SCRT1",
        "SAFB",
        "SAFB2",
        "TARGET1",
        "CTRL1P",
        "MES",
        "NTCP2",
    ],
}


@pytest.mark.parametrize(("kind", "gene"), [(kind, gene) for kind, genes in NAMES.items() for gene in genes])
def test_by_the_name_of_the_gene(kind, gene):
    assert kind_of("sg1", gene, "", "", "") == kind


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (("NTC_1", "", "", "", ""), NON_TARGETING),  # a guide without a gene goes by its own name
        (("NTC_1", "GATA1", "", "", ""), TARGETING),
        (("x1", "chr1_334", "", "1", ""), NON_TARGETING),  # a flag alone
        (("x1", "chr1_334", "", "yes", ""), NON_TARGETING),
        (("x1", "chr1_334", "safe-targeting", "true", ""), SAFE),  # words before flags
        (("x1", "GATA1", "positive control", "", "TRUE"), POSITIVE),
        (("x1", "chr1_334", "", "", "FALSE"), NON_TARGETING),
        (("safe_12", "non-targeting", "", "1", ""), SAFE),
        (("x1", "GATA1", "targeting", "0", "TRUE"), TARGETING),
    ],
)
def test_by_all_that_a_library_says(fields, kind):
    assert kind_of(*fields) == kind
