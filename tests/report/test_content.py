"""What the report says, against the tables that it says it of."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest

from fatebias.errors import DataError
from fatebias.files.tables import read_table
from fatebias.pl._composition import Compositions
from fatebias.report import text
from fatebias.report.advice import what_next
from fatebias.report.cards import cards_json
from fatebias.report.charts import checks, composition
from fatebias.report.command import again, changed, discover_again
from fatebias.report.genes import all_genes
from fatebias.report.hits import rows
from fatebias.report.methods import methods
from fatebias.report.page import page_of, render
from fatebias.report.resampled import shuffle_verdict
from fatebias.report.results import all_contrasts, day_labels
from fatebias.report.run_files import read_run
from fatebias.report.verdict import calls_table, facts, sentence
from tests.report.folders import HOSTILE, change, write_run


def gathered(folder):
    run = read_run(folder)
    contrasts = all_contrasts(run)
    return run, contrasts, all_genes(run, contrasts), day_labels(run)


def advice(folder):
    return what_next(*gathered(folder))


def edited(folder, file, **columns):
    table = pd.read_csv(folder / file, keep_default_na=False)
    table.assign(**columns).to_csv(folder / file, index=False)


def test_effects_are_those_of_the_tables_and_calls_those_of_the_run(run_folder):
    _, (own, further), _, days = gathered(run_folder)
    ranked = read_table(run_folder / "hits_ranked.csv")
    assert days == ("d0", "d2", "d4", "d6")
    assert (own.title, further.title) == ("MES against EC", "NEU against EC")
    assert own.postmean.shape == (6, 4)
    assert own.postmean[:, 2].tolist() == ranked["postmean_d2"].tolist()
    assert own.called.tolist() == [[True] * 4] * 3 + [[False] * 4] * 3
    assert own.expected_false == pytest.approx(ranked.filter(like="lfsr_d").to_numpy()[:3].sum())
    assert (
        further.postmean[0, 0] == read_table(run_folder / "contrasts/NEU/hits_ranked.csv")["postmean_d0"][0]
    )
    assert further.change[0, 0] == read_table(run_folder / "marginal_effects.csv")["ame_NEU_d0"][0]


def test_a_call_on_some_days_alone_is_a_call_on_those(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    edited(folder, "gene_calls.csv", active_days=["d0", "d2;d6", "d4", "", "", ""])
    _, (own,), _, _ = gathered(folder)
    assert own.called.astype(int).tolist()[:3] == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_the_verdict_counts_each_hit_once_by_its_direction(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    means = {f"postmean_d{d}": [1.0, -1.0, 1.0 if d < 2 else -1.0, 0, 0, 0] for d in range(4)}
    edited(folder, "hits_ranked.csv", **means)
    _, contrasts, _, days = gathered(folder)
    assert sentence(contrasts[0]) == (
        "3 of 6 genes move cells between EC and MES when knocked down: "
        "1 towards MES, 1 towards EC and 1 one way on some days and the other way on others."
    )
    table = calls_table(contrasts, days)
    assert [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in table.rows[0]][:6] == [
        "MES against EC", "3", "2 ▲ 1 ▼", "2 ▲ 1 ▼", "1 ▲ 2 ▼", "1 ▲ 2 ▼",
    ]  # fmt: skip


def test_no_hits_is_said_as_such(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    edited(folder, "gene_calls.csv", active_days=[""] * 6)
    assert sentence(gathered(folder)[1][0]).startswith("None of 6 genes is called")
    page = page_of(read_run(folder))
    assert page.facts[0].value == "no calls"
    assert not page.overview.charts[0].folded  # a closed picture would leave its place empty
    assert '<figure class="wide">\n<details>' in render(page)
    assert "No gene is called." in render(page)
    assert "No gene is called." not in render(page_of(read_run(write_run(tmp_path / "hits"))))


def test_facts_tell_the_weight_the_controls_and_convergence(tmp_path):
    folder = write_run(tmp_path, warnings=["the loss still falls"])
    run, contrasts, _, _ = gathered(folder)
    found = {fact.label: fact for fact in facts(run, contrasts, "the lfsr is below 0.05")}
    assert found["Weight of soft labels"].value == "1 used, 20 suggested by the data"
    assert "4 pseudo-genes say little" in found["Negative controls"].words
    assert found["Weight of soft labels"].bad
    assert found["Negative controls"].value == "0 of 4 called"
    assert found["Fit"].value == "not converged"
    assert found["Fit"].words == "The loss still falls."
    assert found["Expected false"].value.endswith("of 24 calls")


def test_a_weight_that_is_wrong_comes_with_the_command_that_mends_it(tmp_path):
    command = ("run.py", "data.day_order=[a,b c]", "likelihood_weight=1", "out_dir=my results")
    told = advice(write_run(tmp_path, command=command))
    assert told[0].why.startswith("Soft labels count 20 times too little")
    assert shlex.split(told[0].command) == [
        "python", "run.py", "data.day_order=[a,b c]", "experiment=calibrated",
        'out_dir="my results_calibrated"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("weight", "told"), [(1.0, "20 times too little"), (400.0, "too much"), (18.0, None)]
)
def test_a_weight_is_advised_on_only_where_it_is_off(tmp_path, weight, told):
    found = [each.why for each in advice(write_run(tmp_path, weight=weight)) if "Soft labels" in each.why]
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_fates_that_were_not_judged_are_named_with_the_command_that_judges_them(tmp_path):
    folder = write_run(tmp_path / "two words", contrasts=())
    (folder / "posterior.npz").touch()
    (found,) = [each for each in advice(folder) if "not judged" in each.why]
    assert found.why.startswith("NEU against EC was not judged")
    assert shlex.split(found.command)[2:] == [
        "stages=[discover,controls]", f'out_dir="{folder.absolute()}"', "discovery.contrasts=[NEU]",
    ]  # fmt: skip
    (folder / "contrasts").mkdir(exist_ok=True)
    assert not [each for each in advice(write_run(tmp_path / "all")) if "not judged" in each.why]


def test_few_cells_no_ntc_one_replicate_and_scattering_controls_are_told(tmp_path):
    folder = write_run(tmp_path, ntc=0, weight=20.0)
    counts = {
        gene: {"guides": 3, "cells": 100, "cells_by_day": [29 if gene < "C" else 30, 30, 30, 5]}
        for gene in "ABCDEF"
    }
    change(folder, "screen_summary.json", genes__guides_and_cells=counts)
    change(
        folder, "run.json", stages__fit__screen__rep_labels=["rep1"], stages__controls__report__z_sd_low=1.2
    )
    told = " ".join(each.why for each in advice(folder))
    assert "2 genes on d0 and 6 genes on d6" in told
    assert "no NTC guides" in told
    assert "one replicate" in told
    assert "scatter more than their standard errors say" in told


@pytest.mark.parametrize(
    ("called", "told"), [(0, ""), (1, "1 of 4 NTC pseudo-genes is called"), (3, "3 of 4")]
)
def test_controls_that_are_called_are_told(tmp_path, called, told):
    folder = write_run(tmp_path, weight=20.0)
    change(folder, "run.json", stages__controls__report__called=called)
    found = [each.why for each in advice(folder) if "calls of genes may be false" in each.why]
    assert len(found) == (called > 0)
    assert not found or found[0].startswith(told)


def test_a_run_that_nothing_speaks_against_gets_no_advice(tmp_path):
    folder = write_run(tmp_path, weight=20.0)
    change(folder, "screen_summary.json", genes__guides_and_cells={})
    assert advice(folder) == ()


def test_rows_have_the_surest_day_its_points_and_what_to_look_at(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    edited(folder, "hits_ranked.csv", best_day=["d6", *["d0"] * 5], postmean_d3=[0.8] + [0.1] * 5)
    guides = {f"betahat_d{d}": [-0.9, 0.5, 0.5] + [0.1] * 15 for d in range(4)}
    edited(folder, "guide_summary.csv", **guides, p_inactive=[0.9] + [0.1] * 17)
    run, contrasts, genes, days = gathered(folder)
    first = rows(contrasts, genes, days)[0]
    assert (first.gene, first.effect, first.at) == ("A", 0.8, "0-0")
    assert first.change == pytest.approx(100 * run.marginal["ame_d3"][0])
    assert (first.agree, first.guides) == (2, 3)
    flags = dict(first.flags)
    assert flags["guides disagree"] == "surely the other way: A_sg1"
    assert flags["flips"].startswith("the direction changes between days: d0-d6")
    assert flags["inactive guides"].startswith("1 of 3")
    assert "k-hat 0.9" in flags["not normal"]


def test_guides_and_replicates_are_told_for_every_fate_and_for_pairs_not(tmp_path):
    folder = write_run(tmp_path, contrasts=("NEU", "MES-NEU"))
    _, contrasts, genes, days = gathered(folder)
    assert [each.title for each in contrasts] == ["MES against EC", "NEU against EC", "MES against NEU"]
    for kind in ("guides", "replicates"):
        for part in json.loads(cards_json(contrasts, genes, days))["genes"]["B"][kind]:
            own, further, pair = part["estimates"]
            assert further["betahat"] == pytest.approx([value / 2 for value in own["betahat"]], rel=1e-3)
            assert further["se"] == own["se"]
            assert pair is None
    found = {row.contrast: row for row in rows(contrasts, genes, days) if row.gene == "B"}
    signs = [
        guide.of(contrasts[1]).betahat[0] * found["NEU against EC"].effect for guide in genes["B"].guides
    ]
    assert found["NEU against EC"].agree == sum(each > 0 for each in signs)
    assert found["MES against NEU"].agree is None
    for name in ("guides_other_fates.csv", "replicates_other_fates.csv"):
        (folder / name).unlink()  # a run of an earlier version
    _, contrasts, genes, days = gathered(folder)
    assert genes["B"].guides[0].of(contrasts[0]) is not None
    assert genes["B"].guides[0].of(contrasts[1]) is None
    page_of(read_run(folder))


def test_cards_have_each_replicate_and_means_with_and_without_the_gene(tmp_path):
    folder = write_run(tmp_path)
    summary = json.loads((folder / "screen_summary.json").read_text())
    entry = summary["genes"]["guides_and_cells"]["A"]
    entry |= {"cells_by_day": [500, 0, 40, 40]}
    entry["mean_probability"]["MES"] = [0.5, None, 0.4, 0.4]
    change(folder, "screen_summary.json", genes__guides_and_cells={"A": entry})
    _, contrasts, genes, days = gathered(folder)
    gene = json.loads(cards_json(contrasts, genes, days))["genes"]["A"]
    assert [each["name"] for each in gene["replicates"]] == ["rep1", "rep2"]
    assert gene["replicates"][0]["estimates"][0]["betahat"][0] is None
    own, rest = gene["mean"]["MES"]
    assert own == [0.5, None, 0.4, 0.4]
    # of 2,000 cells a day with a third on average: what is left without those of the gene
    assert rest[:2] == pytest.approx([(2000 / 3 - 250) / 1500, 1 / 3], abs=1e-4)


def test_pictures_of_means_guides_and_the_threshold_are_there(tmp_path, run_folder):
    page = page_of(read_run(run_folder))
    titles = [chart.title for chart in page.overview.charts]
    assert any(title.startswith("Mean fate probabilities") for title in titles)
    assert "Do the guides of a gene agree?" in titles
    screen = next(each for each in page.sections if each.anchor == "screen")
    threshold = next(chart for chart in screen.charts if "threshold" in chart.title)
    assert "present above 4" in threshold.reading
    assert threshold.panels[0].count("<rect") == 6
    four = write_run(tmp_path, fates=("EC", "MES", "NEU", "HSC"), contrasts=())
    change(four, "screen_summary.json", guide_counts=None)
    page = page_of(read_run(four))
    assert page.overview.tables[0].columns == ("", "cells", "EC", "MES", "NEU", "HSC")
    assert [row[0] for row in page.overview.tables[0].rows] == ["all cells", "A", "B", "C"]
    assert not any("threshold" in chart.title for section in page.sections for chart in section.charts)


def test_commands_are_those_that_were_typed(tmp_path):
    run = read_run(write_run(tmp_path, command=("/usr/bin/fatebias", "data.fates=[A,B]", "a=it's")))
    assert shlex.split(again(run)) == ["fatebias", "data.fates=[A,B]", "a=it's"]
    assert (
        shlex.split(changed(run, ("likelihood_weight", "auto"), folder="auto"))[-1]
        == "likelihood_weight=auto"
    )
    assert discover_again(run).startswith("fatebias ")
    sweep = read_run(write_run(tmp_path / "s", command=("run.py", "-m", "priors=weak,tight")))
    assert changed(sweep, ("likelihood_weight", "auto"), folder="auto") == (
        "python run.py -m priors=weak,tight likelihood_weight=auto"
    )


def test_methods_name_the_settings_of_this_run(run_folder):
    run, contrasts, _, _ = gathered(run_folder)
    found = methods(run, contrasts, "the lfsr is below 0.05")
    for words in ("8,000 cells", "4 days", "2 replicates", "18 guides for 6 genes", "20 non-targeting guides",
                  "EC as the reference", "MES against EC and NEU against EC", "below 0.05"):  # fmt: skip
        assert words in found.paragraph
    assert any("s41588-018-0268-8" in each for each in found.references)


def test_methods_tell_how_errors_were_taken_to_be_correlated(tmp_path):
    folder = write_run(tmp_path)
    change(folder, "config.yaml", discovery__null_correlation="simple")

    def told(v):
        change(folder, "run.json", stages__discover__report__V=v)
        run, contrasts, _, _ = gathered(folder)
        return methods(run, contrasts, "the lfsr is below 0.05").paragraph

    assert "error correlation between days estimated from genes without effect" in told(
        [[1.0, 0.3], [0.3, 1.0]]
    )
    assert "errors taken as independent between days" in told([[1.0, 0.0], [0.0, 1.0]])  # too few such genes


def test_cards_survive_any_name(hostile_folder):
    _, contrasts, genes, days = gathered(hostile_folder)
    written = cards_json(contrasts, genes, days)
    assert not set("<>&\u2028") & set(written)
    read = json.loads(written)
    assert read["contrasts"][0]["genes"] == list(HOSTILE)
    assert list(read["genes"]) == list(HOSTILE)
    assert read["days"] == ["d<0>", "d&2"]
    assert read["contrasts"][0]["mde"][0] == [None, None]


def test_a_folder_without_a_fit_is_reported_by_what_it_has(tmp_path):
    folder = write_run(tmp_path, contrasts=())
    for name in ("screen_summary.json", "calibration.json", "guide_summary.csv", "marginal_effects.csv",
                 "controls.csv", "loss_trace.csv"):  # fmt: skip
        (folder / name).unlink()
    stages = json.loads((folder / "run.json").read_text())["stages"]
    change(folder, "run.json", stages={"discover": stages["discover"]})
    page = page_of(read_run(folder))
    assert page.day_labels == ("d0", "d1", "d2", "d3")
    assert page.sections == ()
    assert page.rows[0].change is None
    assert page.rows[0].cells is None


def test_one_day_is_reported(tmp_path):
    folder = write_run(tmp_path, days=("d0",))
    edited(folder, "gene_calls.csv", p_peak=1.0)
    page = page_of(read_run(folder))
    assert page.calls.columns[2] == "d0"
    assert (
        {row.course for row in page.rows} == {row.peak for row in page.rows} == {""}
    )  # neither is a finding
    written = render(page)
    headings = re.findall(r'<button type="button" data-kind="[a-z]+">(.*?)</button>', written)
    assert headings == [
        "gene", "contrast", "effect", "points", "lfsr d0", "cells", "guides agree", "look at",
    ]  # fmt: skip
    assert "The time course is" not in written


def test_what_cannot_be_reported_is_said(tmp_path):
    with pytest.raises(DataError, match="no finished discovery"):
        read_run(tmp_path)
    folder = write_run(tmp_path / "run")
    (folder / "contrasts" / "NEU" / "gene_calls.csv").unlink()
    with pytest.raises(DataError, match=r"gene_calls.csv is gone"):
        page_of(read_run(folder))
    write_run(folder)
    pd.read_csv(folder / "gene_calls.csv").drop(columns="p_any").to_csv(folder / "gene_calls.csv")
    with pytest.raises(DataError, match="lacks the column p_any"):
        page_of(read_run(folder))
    (folder / "calibration.json").write_text("{")
    with pytest.raises(DataError, match="calibration.json cannot be read"):
        read_run(folder)


def test_numbers_are_written_as_they_are_read():
    assert [text.lfsr(value) for value in (0.0, 3.2e-17, 0.0042, 0.31, 1.0)] == [
        "< 1e−300", "3e−17", "0.004", "0.31", "1.00",
    ]  # fmt: skip
    assert [text.signed(value) for value in (1.238, -0.5, 0.001, float("nan"))] == [
        "+1.24",
        "−0.50",
        "0.00",
        "–",
    ]
    assert [text.expected(value) for value in (2e-6, 0.32, 14.2)] == ["fewer than 0.01", "0.32", "14"]
    assert [text.chance(value) for value in (0.0001, 0.5, 0.9999)] == ["< 0.01", "0.50", "> 0.99"]
    assert [text.plain(value) for value in (21.26, 1234.0, -0.5, 1e-9, None)] == [
        "21.3",
        "1,234",
        "−0.5",
        "1e−9",
        "–",
    ]
    assert text.listed(["a"]) == "a"
    assert text.listed(list("abc")) == "a, b and c"
    assert text.listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_a_fit_that_was_too_short_comes_with_the_command_for_a_longer_one(tmp_path):
    folder = write_run(tmp_path, warnings=["SVI has not settled; raise inference.num_steps", "odd"])
    change(folder, "run.json", stages__fit__settings__inference={"method": "svi", "num_steps": 500})
    told = advice(folder)[0]
    assert told.then == "SVI has not settled; raise inference.num_steps. Odd."
    assert shlex.split(told.command) == [
        "python", "run.py", "inference.num_steps=1000", "out_dir=results_longer",
    ]  # fmt: skip


def test_what_effects_are_counted_from_is_told(tmp_path):
    folder = write_run(tmp_path)
    value = {fact.label: fact for fact in page_of(read_run(folder)).facts}["Effects are against"].value
    assert value == "cells with NTC guides"
    note = "effects are against the average of the 22 of 26 genes that differ least"
    change(
        folder,
        "run.json",
        stages__fit__notes=[note],
        stages__fit__baseline="genes",
        stages__fit__settings__export={"estimates": "unshrunken"},
    )
    page = page_of(read_run(folder))
    fact = {each.label: each for each in page.facts}["Effects are against"]
    assert fact.value == "the average gene"
    assert "Effects are against the average gene." in page.methods.paragraph
    assert note in next(each for each in page.sections if each.anchor == "convergence").notes


def shuffles(**columns):
    rows = {
        "settings": ["", ""], "lfsr": [0.05, 0.01], "hits": [10, 0], "shuffles": [20, 20],
        "hits_in_shuffles": [0.5, 0.0], "most_in_shuffles": [2, 0], "fdr": [0.05, None],
        "hits_in_shuffles_held": [1.25, 0.0], "fdr_held": [0.125, None],
    }  # fmt: skip
    return pd.DataFrame(rows | columns)


def calibration_tables(folder):
    section = next(each for each in page_of(read_run(folder)).sections if each.anchor == "calibration")
    return {table.title: table for table in section.tables}, section.notes


def test_hits_of_shuffled_guides_are_shown_with_how_to_read_them(tmp_path):
    folder = write_run(tmp_path)
    assert "Hits when guides are shuffled" not in calibration_tables(folder)[0]
    shuffles().to_csv(folder / "permutation_fdr.csv", index=False)
    found = calibration_tables(folder)[0]["Hits when guides are shuffled"]
    assert found.rows == (
        ("0.05", "10", "0.5", "2", "5.0%", "1.25", "12.5%"),
        ("0.01", "0", "0", "0", "–", "0", "–"),
    )
    assert "20 times: every hit of a shuffle is false" in found.reading
    assert shuffle_verdict(shuffles()) == (
        "10 hits at an lfsr below 0.05; 20 shuffles of the guides have 1.25 on average: 12% of the hits "
        "may be false."
    )
    assert shuffle_verdict(shuffles(fdr_held=[None, None])).endswith("have 1.25 on average.")
    none = shuffles(hits_in_shuffles_held=[0.0, 0.0], fdr_held=[0.0, 0.0], shuffles=[1, 1])
    assert shuffle_verdict(none).endswith(
        "1 shuffle of the guides has 0 on average."
    )  # which is not 0 % for sure
    assert shuffle_verdict(pd.concat([shuffles(), shuffles(settings="priors=weak")])) is None
    assert shuffle_verdict(None) is None
    shuffles(settings=["priors=default", "priors=weak"]).to_csv(folder / "permutation_fdr.csv", index=False)
    found = calibration_tables(folder)[0]["Hits when guides are shuffled"]
    assert [row[0] for row in found.rows] == ["priors=default", "priors=weak"]


def test_refits_and_replicates_fitted_apart_are_shown_with_how_to_read_them(tmp_path):
    folder = write_run(tmp_path)
    refits = {"unit": "cells", "units": 8000, "refits": 200, "variance_ratio": 1.234, "note": "", "called": 3}
    left_out = {"unit": "replicates", "units": 2, "refits": 2, "variance_ratio": 0.9, "note": "2 are few"}
    apart = {
        "correlation": 0.8, "sign_agreement": 0.75, "sign_agreement_clear": 1.0, "n_clear": 12.0,
        "difference_ratio": 1.1,
    }  # fmt: skip
    report = {"bootstrap": refits, "jackknife": left_out, "concordance": apart}
    change(
        folder, "run.json", stages__resample={"status": "done", "report": report, "words": "bootstrap ..."}
    )
    tables, notes = calibration_tables(folder)
    assert tables["Refits with other cells"].rows == (
        ("bootstrap", "8,000 cells", "200", "1.2", "3"),
        ("jackknife", "2 replicates", "2", "0.9", "–"),
    )
    assert tables["Replicates fitted apart"].rows == (("0.80", "75%", "100% of 12", "1.1"),)
    assert "jackknife: 2 are few" in notes
    assert "bootstrap ..." not in notes  # the table has it
    apart |= dict.fromkeys(apart)
    change(folder, "run.json", stages__resample__report={"concordance": apart})
    assert "Replicates fitted apart" not in calibration_tables(folder)[0]


def test_a_loss_of_few_steps_has_no_running_mean():
    _, half = checks.loss(np.arange(9.0), np.linspace(200, 100, 9))
    assert "Second half<" in half
    _, half = checks.loss(np.arange(500.0), np.linspace(200, 100, 500))
    assert "Second half, mean over 12 steps" in half


@pytest.mark.parametrize(("cross", "side"), [([0.298, 0.402, 0.3], "end"), ([0.302, 0.398, 0.3], "start")])
def test_a_name_in_the_triangle_is_on_the_side_without_the_cross(cross, side):
    means = Compositions(
        fates=("EC", "MES", "NEU"),  # at the left, at the right, at the top
        genes=("A",),
        cells=np.array([50]),
        share=np.array([[0.3, 0.4, 0.3]]),
        everyone=np.array(cross),
    )
    assert f'text-anchor="{side}" class="tag">A<' in composition.triangle(means, ["A"], {})


def test_a_name_in_the_triangle_is_on_no_dot_of_a_hit_without_a_name(monkeypatch):
    monkeypatch.setattr(composition, "NAMED", 1)
    share = np.array([[0.3, 0.4, 0.3], [0.299, 0.401, 0.3]])  # B is at the right of A and nearer to the mean
    means = Compositions(
        ("EC", "MES", "NEU"), ("A", "B"), np.array([50, 50]), share, np.array([0.25, 0.45, 0.3])
    )
    assert 'text-anchor="end" class="tag">A<' in composition.triangle(means, ["A", "B"], {})
    assert 'text-anchor="start" class="tag">A<' in composition.triangle(means, ["A"], {})
