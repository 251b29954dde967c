"""Every setting that a message of the reader offers is pasted behind the command that failed, and it is read.

The names in these screens hold what shells and Hydra read as their own. The last test compares what was
offered here with the calls of `fatebias.pasted` in the code, so that no message is left out.
"""

from __future__ import annotations

import ast
import csv
import functools
import importlib
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from fatebias import pasted
from fatebias.api.settings import make_config
from fatebias.data.load import read_screen
from fatebias.errors import ConfigError, DataError
from tests.data.test_mudata import guides_of, rna_of, var_of

PACKAGE = Path(pasted.__file__).parent
FATES = ["Mono, (early)", "Neu+", "Baso [x]"]
CHOSEN = {"fates": FATES, "ref_fate": FATES[0], "contrast_fate": FATES[2]}
DAYS = ["day 0 (a), b", "day 2 (a), b", "day 5 (a), b"]
WORD = r"(?:'[\w.]+=(?:[^']|'\"'\"')*'|(?<![\w.'])[a-z_]+(?:\.\w+)*=[^\s;,)']+)"
OFFER = re.compile(rf"{WORD}(?: {WORD})*")


def named(parts, columns=FATES):
    return parts.but(fates=parts.fates.set_axis(columns, axis=1))


def bare(parts, states=None):
    """Fates as CellRank leaves them in a file: a matrix, names in a categorical at best."""
    obs = parts.obs
    if states is not None:
        obs = obs.assign(term_states_fwd=pd.Categorical([states[0]] + [None] * 35, categories=states))
    return parts.but(fates=parts.fates.to_numpy(), obs=obs)


def swapped(parts):
    """Terminal cells say that the columns are in another order than the categories."""
    fates, labels = parts.fates.to_numpy().copy(), [None] * 36
    for cell, state in enumerate([FATES[1], FATES[0], FATES[2]]):
        fates[cell], labels[cell] = np.eye(3)[cell], state
    return parts.but(
        fates=fates, obs=parts.obs.assign(term_states_fwd=pd.Categorical(labels, categories=FATES))
    )


def with_obs(parts, **columns):
    return parts.but(obs=parts.obs.assign(**{name: list(column) for name, column in columns.items()}))


def without(parts, key):
    fates = parts.fates.copy()
    fates.iloc[:5] = key
    return parts.but(fates=fates)


def day(parts, labels):
    return with_obs(parts, day=[labels[i % 3] for i in range(36)])


def ordered(parts):
    labels = pd.Categorical(
        [DAYS[i % 3] for i in range(36)], categories=[DAYS[1], DAYS[0], DAYS[2]], ordered=True
    )
    return parts.but(obs=parts.obs.assign(day=labels))


def raw_counts(parts, threshold=None):
    rng = np.random.default_rng(0)
    counts = (rng.random((36, 60)) < 0.5) + (rng.random((36, 60)) < 0.08) * rng.poisson(20, (36, 60))
    names = [*parts.guides.columns, *(f"SOX2_sg{i}" for i in range(54))]
    rows = [*parts.guide_map, *([name, "SOX2", 0] for name in names[6:])]
    frame = pd.DataFrame(counts, index=parts.guides.index, columns=names)
    return parts.but(guides=frame, guide_map=rows)


def on_one_lane(parts):
    guides = parts.guides.copy()
    guides.iloc[:20], guides.iloc[20:, 4:] = 0, 0
    guides.iloc[:20, 4] = 1
    return with_obs(parts.but(guides=guides), batch=["a"] * 20 + ["b"] * 16)


def calls(parts):
    return ["|".join(row.index[row > 0]) for _, row in parts.guides.iterrows()]


def crowded(parts, cells):
    guides = parts.guides.copy()
    guides.iloc[:cells] = 1
    return parts.but(guides=guides)


def half_bad(parts):
    held = crowded(parts, 36)
    held.fates.iloc[:18] = np.nan
    return held


TWICE = [["GATA2_sg1", "SOX2", 0]]
NAMED_BY_CASE = ["mono, (EARLY)", "neu+", "Baso [x]"]

# What is written, and the settings of the command that is refused (or warned of).
CASES = {
    "weights without column": lambda p: (with_obs(p, w=np.arange(1.0, 37.0)), {"cell_weights": "column"}),
    "column without weights": lambda p: (
        with_obs(p, **{"w (1), b": np.arange(36.0)}),
        {"weights": "w (1), b"},
    ),
    "merge_fates is no mapping": lambda p: (
        p.but(
            fates=pd.DataFrame(
                np.full((36, 5), 0.2), p.fates.index, ["EC_1", "EC_2", "MES_1", "MES_2", "NEU"]
            )
        ),
        {"merge_fates": {"EC": "EC_1"}},
    ),
    "covariates that the model has": lambda p: (
        with_obs(p, log_umi=np.linspace(0, 1, 36), lane=["a", "b"] * 18),
        {"covariates": ["day"]},
    ),
    "all cells above Kmax": lambda p: (crowded(p, 36), {"Kmax": 3}),
    "no guide above the threshold": lambda p: (p, {"guide_threshold": 1}),
    "no cell is left": lambda p: (half_bad(p), {"Kmax": 3, "bad_cells": "drop"}),
    "no cluster": lambda p: (
        with_obs(p, **{"well (1)": [None, *"ab" * 17, "a"]}),
        {"cluster_key": "well (1)"},
    ),
    "controls on one lane": lambda p: (on_one_lane(p), {}),
    "no such covariate": lambda p: (
        with_obs(p, **{"log umi (x), y": np.linspace(0, 1, 36)}),
        {"covariates": ["log_umi"]},
    ),
    "days whose text differs": lambda p: (day(p, ["H9 (a)", "d2, b", "d5"]), {}),
    "days without numbers": lambda p: (day(p, ["early (a)", "mid, b", "late"]), {}),
    "day_order of others": lambda p: (day(p, DAYS), {"day_order": ["d0", "d2"]}),
    "categories against numbers": lambda p: (ordered(p), {}),
    "no names of fates": lambda p: (bare(p), CHOSEN),
    "fate_columns too few": lambda p: (
        bare(p),
        {**CHOSEN, "fate_columns": FATES, "fates": FATES} | {"fate_columns": [*FATES, "x"]},
    ),
    "terminal cells against names": lambda p: (swapped(p), CHOSEN),
    "rows below 1": lambda p: (named(p.but(fates=p.fates * 0.9)), CHOSEN),
    "rows of NaN": lambda p: (named(without(p, np.nan)), CHOSEN),
    "fates of another screen": lambda p: (named(p), {}),
    "fates by case": lambda p: (
        named(p),
        {"fates": NAMED_BY_CASE, "ref_fate": NAMED_BY_CASE[0], "contrast_fate": "Baso [x]"},
    ),
    "merged fates that are not there": lambda p: (named(p), {**CHOSEN, "merge_fates": {"B": ["b_1", "b_2"]}}),
    "fates in parts": lambda p: (
        named(p, ["Neu+ (x)_1", "Neu+ (x)_2", "Baso [x]"]),
        {"fates": ["Neu+ (x)", "Baso [x]"], "ref_fate": "Neu+ (x)", "contrast_fate": "Baso [x]"},
    ),
    "further fates": lambda p: (
        named(p),
        {"fates": FATES[:2], "ref_fate": FATES[0], "contrast_fate": FATES[1]},
    ),
    "calls that are no column": lambda p: (
        with_obs(p.but(guides=None), **{"feature call (1)": calls(p)}),
        {"guide_calls": "feature_call"},
    ),
    "calls without UMIs": lambda p: (
        with_obs(p.but(guides=None), c=calls(p)),
        {"guide_calls": "c", "guide_threshold": 3},
    ),
    "raw counts": lambda p: (raw_counts(p), {"Kmax": 60}),
    "raw counts, insisted": lambda p: (raw_counts(p), {"guide_threshold": 0, "Kmax": 60}),
    "fractions": lambda p: (p.but(guides=p.guides * 0.9), {}),
    "a guide of two genes": lambda p: (p.but(guide_map=[*p.guide_map, *TWICE]), {}),
    "guides that the map lacks": lambda p: (
        p.but(guide_map=[row for row in p.guide_map if row[0] != "TBXT_sg2"]),
        {},
    ),
    "a replicate NA": lambda p: (p.but(covar=p.covar.replace("r0", "N/A")), {}),
    "D of others": lambda p: (p, {"D": 7}),
    "R of others": lambda p: (p, {"R": 7}),
    "modality of an AnnData": lambda p: (p, {"modality": "rna"}),
    "guide_modality of an AnnData": lambda p: (p, {"guide_modality": "gdo"}),
    "key of fates": lambda p: (p, {"fate_prob_key": "lineages"}),
    "key of days": lambda p: (
        with_obs(p.but(obs=p.obs.rename(columns={"day": "Day, (h)"})), x=[1] * 36),
        {"day_key": "day (h)"},
    ),
    "table of replicates elsewhere": lambda p: (p, {"covar_key": "cov"}),
    "replicates under another name": lambda p: (
        with_obs(p.but(covar=None), **{"sample id [x], y": p.covar["rep"], "other": [1] * 36}),
        {},
    ),
    "no such column of replicates": lambda p: (p, {"rep_key": "replicate"}),
    "covariates are a matrix": lambda p: (
        with_obs(p.but(covar=np.ones((36, 2))), **{"donor (1)": p.covar["rep"]}),
        {},
    ),
    "negative weights": lambda p: (with_obs(p, w=[-1.0] * 36), {"weights": "w", "cell_weights": "column"}),
    "no weight above zero": lambda p: (with_obs(p, w=[0.0] * 36), {"weights": "w", "cell_weights": "column"}),
    "commitment above 1": lambda p: (with_obs(p, w=[2.0] * 36), {"commitment_key": "w"}),
}


def mudata_cases(parts):
    rna, guides = rna_of(parts), guides_of(parts)
    unnamed = guides_of(parts, var_of(parts)[[]], layer=None)
    odd = guides_of(parts, var_of(parts)[["type"]].set_axis(["kind"], axis=1), layer=None)
    return {
        "several modalities with fates": ({"rna (1), a": rna, "rna (2), b": rna, "guide": guides}, {}),
        "another key of fates": ({"rna (1)": rna, "guide": guides}, {"fate_prob_key": "lineage_fwd"}),
        "no modality looks like guides": (
            {"rna": rna, "g+x (1), a": unnamed},
            {},
        ),
        "no such modality": ({"rna (1), a": rna, "guide": guides}, {"modality": "rna"}),
        "no such modality of guides": ({"rna": rna, "guide (1), a": guides}, {"guide_modality": "guides"}),
        "targets of the guides unknown": ({"rna": rna, "guide": odd}, {}),
    }


def cellrank_1(parts):
    adata = parts.adata()
    adata.obsm["to_terminal_states"] = adata.obsm["lineages_fwd"]
    del adata.obsm["lineages_fwd"]
    return adata


OFFERED: set[tuple[str, str, str]] = set()  # file, function and key of each offer
PASTED: dict[str, list[str]] = {}  # by case
# What an offer leads to that is not for it to settle: the user's own names, a screen read in another way.
PLACEHOLDER = {
    "COLUMN": "w (1), b",
    "NAME1": FATES[0],
    "NAME2": FATES[1],
    "NAME3": FATES[2],
    "NAME": "Mono+Neu",
}


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    """Note who offers which setting."""

    def noting(function):
        @functools.wraps(function)
        def offer(key, *rest, **more):
            frame = sys._getframe(1)
            place = Path(frame.f_code.co_filename)
            if PACKAGE in place.parents:
                caller = frame.f_code.co_name
                OFFERED.add((str(place.relative_to(PACKAGE)), caller if caller != "<genexpr>" else "", key))
            return function(key, *rest, **more)

        return offer

    for file, _, _ in sites():
        module = importlib.import_module("fatebias." + file.removesuffix(".py").replace("/", "."))
        for name in ("setting", "choice"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, noting(getattr(pasted, name)))


@functools.cache
def sites():
    """Return file, function and key of every call in the reader and its settings; None: not a literal key."""
    found = []
    for path in [*PACKAGE.glob("data/**/*.py"), *PACKAGE.glob("config/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            for node in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setting", "choice"):
                    key = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                    found.append((str(path.relative_to(PACKAGE)), function.name, key))
    return found


def read(words, source=None, guides=None):
    """Read the screen of a command line's words, or one in memory, and return its warnings."""
    tree = OmegaConf.create({})
    for word in words:
        override = OverridesParser.create().parse_override(word)
        OmegaConf.update(tree, override.key_or_group, override.value(), merge=False, force_add=True)
    content = OmegaConf.to_container(tree, resolve=True)
    if source is not None:
        content.setdefault("data", {})["source"] = "memory"
    data = make_config(**content).data
    at = data.adata_path if source is None else source
    return read_screen(at, data.guide_map_csv or guides, data).summary["warnings"]


def told(words, *objects):
    """Return what is refused, else each warning with an offer."""
    try:
        warnings = read(words, *objects)
    except (DataError, ConfigError) as error:
        return [str(error)]
    return [each for each in warnings if OFFER.search(each)]


def offers(message):
    """Return the words of each offer in a message, names that only the user knows filled in."""
    text = message.partition("  fix: ")[2] or message
    found = []
    for offer in OFFER.findall(text):
        for name, meant in sorted(PLACEHOLDER.items(), reverse=True):
            if name == "COLUMN":
                offer = offer.replace(f"={name}", "=w")
            offer = re.sub(rf"(?<=[\[,]){name}(?=[,\]])", lambda _, meant=meant: f'"{meant}"', offer)
            offer = re.sub(rf"(?<=\{{){name}(?=:)", meant, offer)
        found.append(shlex.split(offer))
    return found


def paste_all(case, words, *objects):
    (first, *_) = told(words, *objects) or [""]
    assert first, "nothing is offered"
    found = [offer for offer in offers(first) if not set(offer) <= set(words)]
    assert found, first
    PASTED[case] = [" ".join(offer) for offer in found]
    what = first.partition("\n")[0]
    for offer in found:
        after = told([*words, *offer], *objects)
        assert not [each for each in after if each.partition("\n")[0] == what], (offer, after)
        assert not after or case in LEADS_ON, (offer, after)


# Offers after which the next question comes, and which that is.
LEADS_ON = {
    "merged fates that are not there": "the fates have other names then",
    "raw counts": "ambient counts are insisted on",
}


def typed(settings):
    return [
        word for key, value in settings.items() for word in shlex.split(pasted.setting(f"data.{key}", value))
    ]


@pytest.mark.parametrize("case", CASES)
def test_what_is_offered_can_be_pasted(parts, case):
    changed, settings = CASES[case](parts)
    guides = pd.DataFrame(changed.guide_map, columns=changed.header)
    paste_all(case, typed(settings), changed.adata(), guides)


def test_a_guide_map_can_be_pasted(parts, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paste_all("no guide map", typed({"adata_path": write(parts).adata_path}))


@pytest.mark.parametrize("number", range(6))
def test_what_is_offered_for_a_mudata_can_be_pasted(parts, write, tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    case, (modalities, settings) = list(mudata_cases(parts).items())[number]
    with Path("guides.csv").open("w") as handle:
        csv.writer(handle).writerows([parts.header, *parts.guide_map])
    known = {} if case == "targets of the guides unknown" else {"guide_map_csv": "guides.csv"}
    whole = ad.AnnData(obs=pd.DataFrame(index=parts.obs.index))
    mudata = SimpleNamespace(
        mod=modalities, **{part: getattr(whole, part) for part in ("obs", "obs_names", "obsm", "obsp", "uns")}
    )
    paste_all(case, typed({**known, **settings}), mudata, None)


def test_the_key_of_cellrank_1_can_be_pasted(parts):
    paste_all("cellrank 1", [], cellrank_1(parts), pd.DataFrame(parts.guide_map, columns=parts.header))


def test_no_offer_was_left_out():
    """All that the code offers was pasted above, but for files that have to be made first."""
    seen = {(file, key) for file, _, key in OFFERED} | {(file, None) for file, _, _ in OFFERED}
    functions = {(file, function) for file, function, _ in OFFERED} | {(file, "") for file, _, _ in OFFERED}
    missed = {
        (file, function, key)
        for file, function, key in sites()
        if (file, key) not in seen or not {(file, function), (file, "")} & functions
    }
    assert (
        missed
        - {
            ("data/reading/open_file.py", "_packed", "data.adata_path"),
            ("data/reading/table_file.py", "_given", None),  # a table to be made first: test_table_file.py
        }
        == {
            ("config/data.py", "__post_init__", None)  # data=anndata without any file: tests/config
        }
        & missed
    )
    assert sum(map(len, PASTED.values())) >= 60, {case: len(found) for case, found in PASTED.items()}
