"""The figures of a run, from its files alone."""

import shutil

import pytest
from matplotlib.text import Text

from fatebias.config import Config
from fatebias.errors import ConfigError
from fatebias.files.paths import RunPaths, safe_name
from fatebias.report.figures import settings_line, write_figures
from fatebias.report.judged import loss_verdict
from fatebias.report.run_files import read_run
from tests.report.folders import change, write_run

ALL = [
    "composition", "controls", "gene_01_A", "gene_02_B", "guides", "heatmap", "hits_MES",
    "hits_NEU", "loss", "volcano_MES", "volcano_NEU", "weight",
]  # fmt: skip


@pytest.mark.slow
def test_each_figure_is_there_and_those_of_an_earlier_run_are_not(tmp_path):
    folder = write_run(tmp_path, genes=list("ABCD"), days=("d0", "d2"))
    run = read_run(folder)
    own = folder / "figures" / "panel_of_mine.png"
    for name in ("gene_09_OLD.pdf", "panel_of_mine.png"):
        own.parent.mkdir(exist_ok=True)
        (own.parent / name).touch()
    written = write_figures(run, ["svg"])
    assert sorted(path.stem for path in written) == ALL
    texts = {path.stem: path.read_text() for path in written}
    line = settings_line(run)
    assert line == "default settings, likelihood_weight 1"
    assert all(line in text for text in texts.values())
    for name, title in (
        ("hits_NEU", "NEU against EC"),
        ("volcano_MES", "MES against EC"),
        ("gene_02_B", "B, "),
    ):
        assert title in texts[name]
    assert "Judged after 200 steps" in texts["loss"]
    assert not (own.parent / "gene_09_OLD.pdf").exists()
    before = sorted(own.parent.iterdir())
    assert own in before
    assert write_figures(run, []) == []
    assert sorted(own.parent.iterdir()) == before  # where none is asked for, all stay


@pytest.mark.slow
def test_names_from_files_are_no_paths_and_nothing_but_hits_is_needed(tmp_path):
    folder = write_run(tmp_path, genes=["../../x y", "b", "c", "d"], contrasts=())
    for name in ("guide_summary.csv", "screen_summary.json", "calibration.json", "loss_trace.csv",
                 "controls.csv", "replicate_effects.csv"):  # fmt: skip
        (folder / name).unlink()
    written = write_figures(read_run(folder), ["svg"])
    assert {path.parent for path in written} == {folder / "figures"}
    assert sorted(path.name for path in written) == [
        f"gene_01_{safe_name('../../x y')}.svg", "gene_02_b.svg", "heatmap.svg", "hits_MES.svg",
        "volcano_MES.svg",
    ]  # fmt: skip


def texts_of(figure):
    """Words of a drawn figure with their boxes in pixels; numbers are labels of ticks, some out of view."""
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip(" \N{MINUS SIGN}.0123456789"):
            yield text.get_text(), text.get_window_extent()


@pytest.mark.slow
def test_long_names_are_neither_cut_nor_written_over_each_other(tmp_path, monkeypatch):
    fates = ("Early endothelial cells", "Mesenchymal stem-like (late)", "Neuro")
    genes = ["L" * 200, "TBXT", "C", "D"]
    folder = write_run(tmp_path, genes=genes, days=("d0", "d2"), fates=fates, contrasts=("Neuro",))
    drawn = {}
    monkeypatch.setattr(
        "fatebias.report.figures.save_figure", lambda figure, path: drawn.setdefault(path.stem, figure)
    )
    write_figures(read_run(folder), ["png"])
    assert len(drawn) == len(ALL)
    for name, figure in drawn.items():
        found = list(texts_of(figure))
        width, height = figure.bbox.size
        cut = [words for words, box in found if box.x0 < -1 or box.y0 < -1
               or box.x1 > width + 1 or box.y1 > height + 1]  # fmt: skip
        assert not cut, name
        heads = [(words, box) for words, box in found if "against" in words or words in fates]
        over = [(one, other) for k, (one, box) in enumerate(heads) for other, below in heads[:k]
                if box.overlaps(below)]  # fmt: skip
        assert not over, name
        assert not any("L" * 25 in words for words, _ in found), name


def test_the_loss_says_when_and_why_it_was_judged(tmp_path):
    folder = write_run(tmp_path)
    change(folder, "run.json", stages__fit__diagnostics={"loss_drift": 0.4, "loss_drift_error": 0.12})
    told = loss_verdict(read_run(folder))
    assert told.startswith("Judged after 200 steps; ")
    assert "0.4 \N{PLUS-MINUS SIGN} 0.12 nats below" in told
    assert told.endswith("converged.")
    change(folder, "run.json", stages__fit__warnings=["SVI has not settled"])
    assert loss_verdict(read_run(folder)).endswith("not converged, see the notes.")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(True, ["png"]), (False, []), ([], []), ("pdf", ["pdf"]), (["svg", "png", "svg"], ["svg", "png"])],
)
def test_formats_are_true_false_or_a_list(given, kept):
    assert Config(plots=given).plots == kept


@pytest.mark.parametrize("given", ["jpg", ["png", "eps"], 3, None])
def test_other_formats_are_refused(given):
    with pytest.raises(ConfigError, match=r"plots[\s\S]*list of png, pdf, svg"):
        Config(plots=given)


@pytest.mark.slow
def test_fates_that_would_become_one_name_have_figures_named_as_their_folders_are(tmp_path):
    fates = ("EC", "MES", "F/1", "F:1")
    folder = write_run(tmp_path, genes=list("ABCD"), days=("d0",), fates=fates, contrasts=())
    for fate in fates[2:]:
        shutil.copytree(
            write_run(tmp_path / "other", genes=list("ABCD"), days=("d0",)),
            RunPaths(folder).contrast(fate).root,
        )
    change(folder, "run.json", stages__discover__report__contrasts={fate: {} for fate in fates[2:]})
    written = {path.stem for path in write_figures(read_run(folder), ["svg"])}
    assert {f"hits_{safe_name(fate)}" for fate in fates[1:]} <= written
    assert len({safe_name(fate) for fate in fates}) == 4
