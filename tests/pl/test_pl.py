"""Pictures: what is drawn, on which Axes, and that nothing global changes."""

from __future__ import annotations

import doctest
import logging
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from fatebias import pl
from fatebias.discovery.ranking import CallRule
from fatebias.names import short, versus
from fatebias.pl._composition import CORNERS, beside, compositions, in_triangle
from fatebias.pl._ranking import DOWN
from fatebias.pl.save import FORMATS, _installed, save_figure, save_png

TABLE = pd.DataFrame(
    {
        "gene": ["a$b$", "B", "C"],
        "postmean_d0": [-1.0, 0.5, 0.1],
        "postmean_d1": [0.2, 0.8, 0.0],
        "lfsr_d0": [1e-12, 0.2, 0.6],
        "lfsr_d1": [0.03, 0.04, 0.9],
        "lfsr_min": [1e-12, 0.04, 0.6],
        "best_day": [0, 1, 0],
        "hit_anyday": [True, True, False],
    }
)
STABILITY = pd.DataFrame({"gene": ["a$b$", "B", "C"], "hit_share": [1.0, 1.0, 0.0]})
TRACE = pd.DataFrame({"step": range(5), "loss": [9.0, np.nan, 3.0, 2.0, 2.0]})
SIZES = [{"size": 0.4, "days": "all", "power": 0.5, "power_low": 0.1, "power_high": 0.9}]

FULL = TABLE.assign(
    **{f"{name}{d}": TABLE[f"postmean_d{d}"] if name == "betahat_d" else 0.1 for d in (0, 1)
       for name in ("betahat_d", "se_d", "postsd_d")}
)  # fmt: skip

OF_GUIDES = pd.DataFrame(
    {
        "gene": ["B", "B", "C"],
        "betahat_d0": [0.4, -0.1, 0.0],
        "betahat_d1": [0.9, -0.2, 0.0],
        "p_inactive": [0.1, 0.9, 0.1],
    }
)
OF_REPLICATES = pd.DataFrame({"gene": ["B", "B"], "betahat_d0": [0.4, np.nan], "betahat_d1": [0.9, 0.7]})


def summary(fates, genes, shares, cells=40):
    """Mean fate probabilities of genes on one day, as screen_summary.json has them."""
    entries = {
        gene: {
            "cells": cells,
            "cells_by_day": [cells],
            "mean_probability": {fate: [p] for fate, p in zip(fates, row, strict=True)},
        }
        for gene, row in zip(genes, shares, strict=True)
    }
    means = dict.fromkeys(fates, 1 / len(fates))
    return {"fates": {"mean_probability": means}, "genes": {"guides_and_cells": entries}}


THREE = summary("XYZ", ["a$b$", "B", "C"], [[0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.3, 0.4, 0.3]])
FOUR = summary("WXYZ", ["a$b$", "B"], [[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.2, 0.3]])
WEIGHT = {"estimates": {"dispersion": {"weight": 20.0, "low": 15.0, "high": 30.0}}, "by_day": {"d0": 18.0}}

DRAW = {
    "composition": lambda **ax: pl.composition(THREE, TABLE, **ax),
    "guides": lambda **ax: pl.guides(FULL, OF_GUIDES, **ax),
    "weight": lambda **ax: pl.weight(WEIGHT, 1.0, **ax),
    "volcano": lambda **ax: pl.volcano(TABLE, **ax),
    "heatmap": lambda **ax: pl.heatmap(TABLE, **ax),
    "gene": lambda **ax: pl.gene(FULL, "B", **ax),
    "hits": lambda **ax: pl.hits(TABLE, **ax),
    "loss": lambda **ax: pl.loss(TRACE, **ax),
    "controls": lambda **ax: pl.controls(np.linspace(-2, 2, 9), **ax),
    "spike_in": lambda **ax: pl.spike_in(SIZES, **ax),
    "sweep": lambda **ax: pl.sweep(STABILITY, {"one": TABLE, "two": TABLE}, **ax),
}


def test_each_picture_is_listed():
    assert sorted(DRAW) == pl.__all__
    assert set(pl.__all__) <= set(dir(pl))
    with pytest.raises(AttributeError, match="no attribute 'violin'"):
        _ = pl.violin


@pytest.mark.parametrize("name", sorted(DRAW))
def test_a_picture_goes_on_the_axes_given_or_on_its_own_and_can_be_saved(name, tmp_path):
    before = dict(matplotlib.rcParams)
    own = DRAW[name]()
    assert isinstance(own, Axes)
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert DRAW[name](ax=left) is left
    assert not right.has_data()
    for drawn in (own, figure):
        save_png(drawn, tmp_path / "p.png")
        assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", pl.__all__)
def test_the_example_in_the_docstring_runs(name):
    module = import_module(f"fatebias.pl._{name}")
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_pictures_need_no_pyplot_and_importing_pl_needs_no_matplotlib():
    words = (
        "import sys; from fatebias import pl\n"
        "assert not {'matplotlib', 'pandas', 'numpy'} & set(sys.modules)\n"
        "pl.controls([0.1, -0.3, 1.0]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", words], check=True, timeout=600)


def test_hits_takes_a_result_and_keywords_before_its_attributes():
    result = SimpleNamespace(
        table=TABLE, day_labels=("day 2", "day 4"), contrast=("neuron", "glia"), rule=CallRule(lfsr=0.01)
    )
    ax = pl.hits(result, top=2)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["day 2", "day 4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [r"a\$b\$", "B"]
    assert ax.get_title(loc="left") == "2 of 3 genes are hits (lfsr < 0.01 on a day)"
    assert ax.figure.axes[1].get_ylabel() == "effect, logit neuron against glia"
    rings = ax.collections[1].get_offsets()
    assert rings.tolist() == [[0, 0]]
    again = pl.hits(result, day_labels=("x", "y"), rule=CallRule(), rule_text="as I say")
    assert [label.get_text() for label in again.get_xticklabels()] == ["x", "y"]
    assert again.get_title(loc="left") == "2 of 3 genes are hits (as I say on a day)"
    assert again.collections[1].get_offsets().tolist() == [[0, 0], [1, 0], [1, 1]]


def test_compositions_are_weighted_by_cells_and_leave_out_genes_with_hardly_any():
    found = summary("XY", ["A", "B"], [[0.2, 0.8], [0.5, 0.5]])
    entry = found["genes"]["guides_and_cells"]["A"]
    entry |= {"cells": 40, "cells_by_day": [30, 10, 0], "mean_probability": {"X": [0.2, 0.6, None]}}
    entry["mean_probability"]["Y"] = [0.8, 0.4, None]
    found["genes"]["guides_and_cells"]["B"]["cells"] = 9
    means = compositions(found)
    assert means.genes == ("A",)
    np.testing.assert_allclose(means.share, [[0.3, 0.7]])
    del entry["mean_probability"]
    assert compositions(found) is None
    with pytest.raises(ValueError, match="no mean probabilities"):
        pl.composition(found)


def test_corners_of_the_triangle_are_fates_and_its_part_holds_all_genes():
    np.testing.assert_allclose(in_triangle(np.eye(3), np.zeros(3), 1.0), CORNERS)
    np.testing.assert_allclose(in_triangle(np.full(3, 1 / 3), np.zeros(3), 1.0), [CORNERS.mean(axis=0)])
    share = np.random.default_rng(0).dirichlet([3, 3, 3], 20)
    least, side = compositions(summary("XYZ", [f"g{k}" for k in range(20)], share)).corner(share)
    places = in_triangle(share, least, side)
    inside = np.linalg.solve(np.vstack([CORNERS.T, np.ones(3)]), np.vstack([places.T, np.ones(20)]))
    assert inside.min() > 0
    np.testing.assert_allclose(inside.T * side + least, share)


def test_more_than_three_fates_are_rows_of_percent_from_all_cells():
    ax = pl.composition(FOUR, ["B"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all cells", "B"]
    assert [text.get_text() for text in ax.texts] == ["25", "25", "25", "25", "25", "25", "20", "30"]
    np.testing.assert_allclose(ax.images[0].get_array()[1], [0, 0, -5, 5], atol=1e-9)


def test_guides_against_their_gene_and_those_that_do_nothing_are_marked():
    ax = pl.guides(FULL, OF_GUIDES, top=2)
    marks = [(c.get_offsets().tolist(), len(c.get_facecolors()) and c.get_facecolors()[0, :3].tolist())
             for c in ax.collections if len(c.get_offsets())]  # fmt: skip
    assert [at for at, _ in marks] == [[[0.9, 1.0]], [[-0.2, 1.0]]]  # B's surest day is d1
    assert marks[0][1] == list(to_rgb(DOWN))  # with its gene
    assert marks[1][1] == [1.0, 1.0, 1.0]  # probably does nothing: hollow
    bars = [patch.get_x() + patch.get_width() / 2 for patch in ax.patches]
    np.testing.assert_allclose(bars, [-1.0, 0.8])


def test_a_weight_without_any_is_refused_and_its_interval_is_drawn():
    with pytest.raises(ValueError, match="no weight"):
        pl.weight({"estimates": {}, "by_day": None})
    ax = pl.weight(WEIGHT, used=1.0)
    assert list(ax.lines[0].get_xdata()) == [15.0, 30.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dispersion", "d0"]


def test_panels_share_their_genes_colours_and_the_end_of_their_axis():
    ax = pl.heatmap(FULL, genes=["C", "B"], limit=2.0, bar=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["C", "B"]
    assert (len(ax.figure.axes), ax.images[0].get_clim()) == (1, (-2.0, 2.0))
    with pytest.raises(ValueError, match="no gene 'Z'"):
        pl.heatmap(FULL, genes=["Z"])
    one, other = (pl.volcano(TABLE, day=d, least=1e-40).get_ylim() for d in (0, 1))
    assert one == other


def test_replicates_stand_beside_the_effect_of_each_day():
    ax = pl.gene(FULL, "B", replicates=OF_REPLICATES)
    drawn = [line.get_ydata() for line in ax.lines if line.get_marker() == "<"]
    np.testing.assert_array_equal(drawn, [[0.4, np.nan], [0.9, 0.7]])


def test_print_has_300_dots_an_inch_text_that_stays_text_and_the_same_bytes_each_time(tmp_path):
    for kind in FORMATS:
        for name in ("one", "two"):
            save_figure(pl.weight(WEIGHT), tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert b"/FontFile2" in (tmp_path / "one.pdf").read_bytes()  # TrueType, not outlines
    assert "dispersion</text>" in (tmp_path / "one.svg").read_text()


def test_print_leaves_no_word_of_fonts_in_the_log_and_takes_letters_from_another_font(
    tmp_path, caplog, recwarn
):
    caplog.set_level(logging.INFO)  # as in a run
    drawn = pl.hits(TABLE.assign(gene=["基因", "B", "\U00012000"]))
    for kind in FORMATS:
        save_figure(drawn, tmp_path / f"one.{kind}")
    assert not [record for record in caplog.records if record.name.startswith("fontTools")]
    assert not [str(each.message) for each in recwarn if "Glyph" in str(each.message)]
    families = [label.get_fontfamily() for label in drawn.get_yticklabels()]
    assert families[1] == ["sans-serif"]
    assert families[0] == ["sans-serif", *_installed()]
    assert set(_installed()) <= {font.name for font in fontManager.ttflist}


def test_long_names_are_cut_and_their_ends_are_kept():
    assert short("TBXT") == "TBXT"
    assert short("L" * 24) == "L" * 24
    assert len(short("L" * 200)) == 24
    assert short("Mesenchymal stem-like (late)") == "Mesenchymal stem…(late)"
    assert versus("MES", "EC", 30) == "MES against EC"
    cut = versus("Mesenchymal stem-like (late)", "Early endothelial cells", 42)
    assert len(cut) <= 42
    assert cut.count("…") == 2
    assert versus("Neuro", "Early endothelial cells", 42) == "Neuro against Early endothelial cells"
    ax = pl.hits(TABLE, contrast=("Mesenchymal stem-like (late)", "Early endothelial cells"))
    label = "effect, logit\nMesenchymal stem…(late)\nagainst Early endothelial cells"
    assert ax.figure.axes[1].get_ylabel() == label


def test_a_loss_that_is_not_finite_is_left_out():
    assert pl.loss(TRACE).lines[0].get_xdata().tolist() == [0, 2, 3, 4]
    assert pl.loss(TRACE, tail=True).lines[0].get_xdata().tolist() == [3, 4]


def test_scores_are_drawn_in_order_whatever_their_shape():
    ax = pl.controls([[2.0, -1.0], [0.5, 0.0]])
    assert ax.lines[1].get_ydata().tolist() == [-1.0, 0.0, 0.5, 2.0]


def test_power_takes_a_table_and_draws_the_patterns_that_it_has():
    ax = pl.spike_in(pd.DataFrame(SIZES))
    assert [curve.get_label() for curve in ax.containers] == ["on all days: called on any"]


def test_a_sweep_shows_hits_alone_coloured_by_direction_and_leaves_absent_genes_white():
    ax = pl.sweep(STABILITY, {"one": TABLE, "two": TABLE.iloc[:1]})
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    sure, unsure = (np.log1p(-np.log10(lfsr)) for lfsr in (1e-12, 0.04))
    np.testing.assert_allclose(shown, [[-sure, -sure], [unsure, np.nan]])
    assert ax.collections[-1].get_offsets().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert len(pl.sweep(STABILITY.assign(hit_share=0), {"one": TABLE}).get_yticklabels()) == 3


def test_a_gene_that_is_sure_of_both_directions_has_both_colours():
    both = TABLE.assign(postmean_d0=[-1.0, -0.5, 0.1], lfsr_d0=[1e-12, 1e-4, 0.9])
    ax = pl.sweep(STABILITY, {"one": both})
    towards, away = (each.get_facecolor() for each in ax.collections[:2])
    assert len(towards) == len(away) == 2
    assert all(towards[:, 0] > towards[:, 2])  # more red than blue
    assert all(away[:, 2] > away[:, 0])


def test_dots_grow_with_certainty_without_end_and_the_legend_shows_it():
    sure = TABLE.assign(lfsr_d0=[1e-40, 1e-10, 1e-4])
    ax = pl.hits(sure)
    at = ax.collections[0].get_sizes().reshape(3, 2)[:, 0]
    assert at[0] > 1.3 * at[1] > 1.3 * 1.3 * at[2]
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "0.5",
        "0.05",
        "0.001",
        "1e-06",
        "1e-10",
        "1e-30",
    ]


def test_genes_that_are_no_hits_fill_no_more_than_ten_rows():
    many = pd.concat([TABLE] * 10, ignore_index=True).assign(hit_anyday=[True] * 12 + [False] * 18)
    assert len(pl.hits(many).get_yticklabels()) == 12
    assert len(pl.hits(many.assign(hit_anyday=False)).get_yticklabels()) == 10
    assert len(pl.heatmap(many, top=5).get_yticklabels()) == 5


def test_settings_stand_below_the_title():
    drawn = pl.hits(TABLE, settings="weight 21.3", contrast=("neuron", "glia"))
    assert drawn.get_title(loc="left").splitlines()[1] == "neuron against glia, weight 21.3"
    assert pl.hits(TABLE, settings="weight 1").get_title(loc="left").splitlines()[1] == "weight 1"


def test_a_volcano_of_genes_without_any_effect_keeps_its_axis():
    nothing = TABLE.assign(**{name: 1.0 for name in TABLE if name.startswith("lfsr_d")})
    low, high = pl.volcano(nothing, day="d0", least=1.0).get_ylim()
    assert low < 0 < high


def test_a_volcano_puts_the_surest_on_top_and_colours_calls_by_direction():
    ax = pl.volcano(TABLE, day="d0")
    missed, up, down = (each.get_offsets() for each in ax.collections)
    assert down[:, 0].tolist() == [-1.0]
    assert sorted(missed[:, 0]) == [0.1, 0.5]
    assert not len(up)
    assert down[0, 1] > missed[:, 1].max()
    surest = pl.volcano(TABLE)  # B on its second day, where it is called
    assert surest.collections[1].get_offsets()[:, 0].tolist() == [0.8]
    with pytest.raises(ValueError, match="there is no day 'd7'; the days are d0, d1"):
        pl.volcano(TABLE, day="d7")


def test_a_volcano_finds_surest_days_by_their_labels():
    labelled = TABLE.assign(best_day=["day 2", "day 4", "day 2"])
    result = SimpleNamespace(table=labelled, day_labels=("day 2", "day 4"), contrast=None, rule=CallRule())
    by_label, by_number = (
        np.concatenate([dots.get_offsets() for dots in pl.volcano(each).collections])
        for each in (result, TABLE)
    )
    np.testing.assert_array_equal(by_label, by_number)


def test_a_heatmap_shows_effects_and_marks_calls():
    ax = pl.heatmap(TABLE)
    assert ax.images[0].get_array().tolist() == TABLE[["postmean_d0", "postmean_d1"]].to_numpy().tolist()
    assert ax.collections[0].get_offsets().tolist() == [[0, 0], [1, 0], [1, 1]]


def test_a_gene_is_drawn_before_and_after_with_its_guides():
    guides = pd.DataFrame({"gene": ["B", "B", "C"], "betahat_d0": [0.4, 0.6, 9], "betahat_d1": [0.7, 0.9, 9]})
    ax = pl.gene(FULL, "B", guides=guides)
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert [0.5, 0.8] in drawn
    assert [0.4, 0.6] in drawn
    assert [0.7, 0.9] in drawn
    with pytest.raises(ValueError, match="no gene 'Z'"):
        pl.gene(FULL, "Z")
    with pytest.raises(TypeError, match="gene takes a ranking, not int"):
        pl.gene(3, "B")


def test_names_in_the_triangle_are_on_no_dot_no_cross_and_no_other_name():
    places = np.array([[0.5, 0.5], [0.54, 0.5], [0.2, 0.2], [0.8, 0.2]])
    lengths = [0.1] * 4
    cross = np.array([0.83, 0.2])
    assert beside(places, lengths, 0.02, 0.03, [cross]) == [-1, 1, 1, -1]
    assert beside(places, lengths, 0.02, 0.03, [cross], [True, False, True, True]) == [-1, 0, 1, -1]
    assert beside(places[:1], [0.1], 0.02, 0.03, [np.array([0.46, 0.5]), np.array([0.54, 0.5])]) == [0]
    near = np.array([[0.3, 0.5], [0.45, 0.5]])  # between the name of the first and the cross is no room
    assert beside(near, [0.1, 0.1], 0.02, 0.03, [np.array([0.5, 0.5])]) == [1, 0]


def test_the_name_of_a_hit_in_the_triangle_is_on_no_other_hit():
    def gene(*share):
        return {
            "cells": 50,
            "cells_by_day": [50],
            "mean_probability": dict(zip("EMN", ([p] for p in share), strict=True)),
        }

    genes = {"guides_and_cells": {"AA": gene(0.3, 0.4, 0.3), "BB": gene(0.298, 0.402, 0.3)}}
    summary = {
        "fates": {"mean_probability": dict(zip("EMN", (0.25, 0.45, 0.3), strict=True))},
        "genes": genes,
    }
    for hits, side in ((["AA", "BB"], "right"), (["AA"], "left")):
        ax = pl.composition(summary, hits, named=1)
        (name,) = [text for text in ax.texts if text.get_text() == "AA"]
        assert name.get_ha() == side
