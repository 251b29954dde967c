"""The page: its content from the run's files, its text from the template."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from fatebias.errors import DataError
from fatebias.files.atomic import atomic_text
from fatebias.files.record import OTHER_SHAPE
from fatebias.report.advice import what_next
from fatebias.report.cards import cards_json
from fatebias.report.command import again
from fatebias.report.content import Page, Table
from fatebias.report.genes import all_genes
from fatebias.report.hits import rows
from fatebias.report.html import as_html
from fatebias.report.judged import calibration, convergence
from fatebias.report.methods import methods
from fatebias.report.overview import overview
from fatebias.report.results import (
    all_contrasts,
    call_rule_of,
    day_labels,
    discovery_settings,
)
from fatebias.report.run_files import RunFiles, check_whole, read_run
from fatebias.report.screen import screen
from fatebias.report.verdict import calls_table, facts, sentence


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` of a finished run and return its path.

    Only the files of the run are read, neither the screen nor the fit is needed: it takes a second or two.

    Parameters
    ----------
    folder
        The run's ``out_dir``.

    Returns
    -------
    pathlib.Path
        Of the page: one file without any connection to others or to the network.

    Raises
    ------
    DataError
        When the folder holds no finished discovery, or a file of it cannot be read or is not the run's.
    OutputError
        When the page cannot be written.

    Examples
    --------
    >>> import fatebias as fb
    >>> fb.write_report("results")  # doctest: +SKIP
    PosixPath('results/report.html')
    """
    run = read_run(Path(folder))
    check_whole(run)
    try:
        return write_page(run)
    except OTHER_SHAPE as error:
        raise DataError(
            "run.json or a table has another shape than this version writes",
            where=run.paths.root,
            found=f"{type(error).__name__}: {error}",
            fix="type the run's command again: it does what is damaged, or of another version, anew",
        ) from error


def write_page(run: RunFiles) -> Path:
    """Write ``report.html`` of a run whose files are read already, and return its path."""
    atomic_text(run.paths.report, render(page_of(run)))
    return run.paths.report


def page_of(run: RunFiles) -> Page:
    """Return everything that the page says."""
    days = day_labels(run)
    contrasts = all_contrasts(run)
    genes = all_genes(run, contrasts)
    rule = _rule(run, len(days))
    further = (calibration(run, len(days)), convergence(run), screen(run))
    return Page(
        title=f"{run.paths.root.absolute().name}: fatebias",
        verdict=sentence(contrasts[0]),
        calls=calls_table(contrasts, days),
        facts=facts(run, contrasts, rule),
        advice=what_next(run, contrasts, genes, days),
        day_labels=days,
        contrasts=tuple(each.title for each in contrasts),
        rule=rule,
        rows=rows(contrasts, genes, days),
        overview=overview(run, contrasts, genes, days),
        sections=tuple(section for section in further if section is not None),
        methods=methods(run, contrasts, rule),
        versions=_versions(run),
        command=again(run),
        cards=cards_json(contrasts, genes, days),
    )


def render(page: Page) -> str:
    """Return the page as HTML: names are text everywhere, and only the page's own script runs."""
    return as_html("page", page=page, cards=Markup(page.cards))


def _rule(run: RunFiles, n_days: int) -> str:
    """Return what makes a call, in words."""
    cfg, rule = discovery_settings(run), call_rule_of(run)
    parts = [f"the lfsr is below {rule.threshold(n_days):g}"]
    if rule.qvalue is not None:
        parts.append(f"the q value is below {rule.qvalue:g}")
    if rule.large is not None:
        parts.append(
            f"an effect beyond {cfg.effect_size_eps:g} logits has a probability of at least {rule.large:g}"
        )
    return " and ".join(parts)


def _versions(run: RunFiles) -> Table:
    versions = {**run.record.get("versions", {}), **run.discovery.get("versions", {})}
    git = run.record.get("git") or {}
    found = [(str(name), str(version)) for name, version in versions.items()]
    if git.get("commit"):
        found.append(
            ("commit", str(git["commit"]) + (", with uncommitted changes" if git.get("dirty") else ""))
        )
    found.append(("seed", str(run.record.get("seed", ""))))
    found.append(("finished", str(run.record.get("ended") or run.record.get("started") or "")))
    if fingerprint := run.fit.get("screen", {}).get("fingerprint"):
        found.append(("data fingerprint", str(fingerprint)))
    return Table("Versions", ("", ""), tuple(found))
