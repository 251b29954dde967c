"""The page in a real browser: table, cards, keyboard, print, phone, light and dark, hostile names, size."""

from __future__ import annotations

import base64
import time

import pytest

import fatebias as fb
from tests.report import browser as real
from tests.report.folders import HOSTILE, write_run

pytestmark = pytest.mark.slow

CARD_TITLE = "return document.getElementById('card-gene').textContent"
IS_OPEN = "return document.getElementById('card').open"
RIGHT, LEFT, ESCAPE, ENTER = "\ue014", "\ue012", "\ue00c", "\ue007"


@pytest.fixture(scope="session")
def browser():
    yield from real.start()


@pytest.fixture(scope="session")
def page(run_folder):
    return fb.write_report(run_folder)


@pytest.fixture(scope="session")
def hostile(hostile_folder):
    return fb.write_report(hostile_folder)


@pytest.fixture(autouse=True)
def quiet_console(request):
    yield
    if "browser" in request.fixturenames:
        assert request.getfixturevalue("browser").complaints() == []


def choose(browser, name, value):
    browser.ask(
        "const e = document.getElementById(arguments[0]);"
        "e.value = arguments[1]; e.dispatchEvent(new Event('input'))",
        name, value,
    )  # fmt: skip


def test_hits_of_all_contrasts_are_shown_first_and_all_genes_when_asked_for(browser, page):
    browser.open(page)
    assert browser.shown() == [*"ABC", *"ABC"]
    assert browser.one("#shown").text == "6 of 6 rows"
    browser.one("#all").click()
    assert browser.shown() == [*"ABCDEF", *"ABCDEF"]
    assert browser.one("#shown").text == "12 of 12 rows"


def test_rows_are_filtered_by_gene_contrast_day_and_direction(browser, page):
    browser.open(page)
    browser.one("#find").send_keys("b")
    assert browser.shown() == ["B", "B"]
    choose(browser, "contrast", "NEU against EC")
    assert browser.shown() == ["B"]
    assert browser.one("#shown").text == "1 of 6 rows"
    choose(browser, "find", "")
    choose(browser, "contrast", "")
    up = {side: [] for side in ("up", "down")}
    for side in up:
        choose(browser, "side", side)
        choose(browser, "day", "3")
        up[side] = browser.ask(
            "return [...document.querySelectorAll('#table tbody tr')]"
            ".filter(r => r.getClientRects().length).map(r => r.id)"
        )
    cells = browser.ask(
        "return Object.fromEntries([...document.querySelectorAll('#table tbody tr:not(.miss)')]"
        ".map(r => [r.id, r.cells[8].dataset.side]))"
    )
    assert {side: sorted(ids) for side, ids in up.items()} == {
        side: sorted(row for row, found in cells.items() if found == side) for side in up
    }


def test_a_heading_sorts_by_size_then_the_other_way(browser, page):
    browser.open(page)
    heading = browser.one("#table thead th:nth-child(3) button")
    values = (
        "return [...document.querySelectorAll('#table tbody tr')].filter(r => r.getClientRects().length)"
        ".map(r => Math.abs(+r.cells[2].dataset.v))"
    )
    heading.click()
    first = browser.ask(values)
    assert first == sorted(first, reverse=True)
    assert browser.one("#table thead th:nth-child(3)").get_attribute("aria-sort") == "descending"
    heading.click()
    assert browser.ask(values) == sorted(first)
    browser.one("#table thead th:nth-child(1) button").click()
    assert browser.shown() == sorted(browser.shown())
    assert browser.one("#table thead th:nth-child(3)").get_attribute("aria-sort") is None


def test_cards_are_opened_walked_and_closed_by_keyboard(browser, page):
    browser.open(page)
    button = browser.one("#row-0-1 .gene")
    browser.ask("arguments[0].focus()", button)
    browser.press(ENTER)
    assert browser.ask(IS_OPEN)
    assert browser.ask(CARD_TITLE) == "B"
    assert browser.ask("return document.getElementById('card').contains(document.activeElement)")
    browser.press(RIGHT)
    assert browser.ask(CARD_TITLE) == "C"
    browser.press(RIGHT)  # from the last hit of one contrast to the first of the next
    assert browser.ask("return document.getElementById('card').dataset.at") == "1-0"
    for _ in range(3):
        browser.press(LEFT)
    assert browser.ask(CARD_TITLE) == "A"
    browser.press(ESCAPE)
    assert not browser.ask(IS_OPEN)
    assert browser.ask("return document.activeElement.textContent") == "B"


def test_a_card_shows_every_contrast_the_guides_and_what_would_have_been_called(browser, page):
    browser.open(page)
    browser.one("#all").click()
    browser.one("#row-0-3 .gene").click()
    said = browser.one("#card-body").text
    assert "Not called." in said
    assert "0.30 logits on all days would have been called in 80 of 100 screens" in said
    assert said.count("≥ 0.60") == 8  # days of two contrasts
    titles = browser.ask("return [...document.querySelectorAll('#card-body h3')].map(h => h.textContent)")
    assert titles == [
        "MES against EC", "NEU against EC", "Each guide, MES against EC", "Each guide, NEU against EC",
        "Each replicate, MES against EC", "Each replicate, NEU against EC",
        "Mean fate probabilities, percent", "All fates",
    ]  # fmt: skip
    charts = browser.ask("return document.querySelectorAll('#card-body svg').length")
    assert charts == 2 * (1 + 4 + 4)  # for each contrast the effect, guides and replicates by day
    assert "D_sg1" in said


def test_a_dot_of_a_picture_opens_the_card(browser, page):
    browser.open(page)
    browser.ask(
        "document.querySelector('#genes circle[data-card=\"1-2\"]')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.ask(CARD_TITLE) == "C"
    assert browser.ask("return document.getElementById('card').dataset.at") == "1-2"


def test_hostile_names_are_inert_in_the_page_and_in_every_card(browser, hostile):
    browser.open(hostile)
    browser.one("#all").click()
    for g, gene in enumerate(HOSTILE):
        browser.ask(f"document.querySelector('#row-0-{g} .gene').click()")
        assert browser.ask(CARD_TITLE) == gene
        assert browser.ask("return document.querySelectorAll('#card img, #card script, #card b').length") == 0
    assert browser.ask("return document.querySelectorAll('script').length") == 2
    assert browser.ask("return document.querySelectorAll('img, iframe').length") == 0
    assert "<EC>" in browser.one("#card-body").text


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read(browser, page, dark):
    browser.open(page, dark=dark)
    browser.one("#all").click()
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    looked, faint = browser.ask(real.FAINT)
    assert looked > 300
    assert faint == []
    browser.ask("document.querySelector('#row-0-3 .gene').click()")
    assert browser.ask(real.FAINT)[1] == []


def test_a_phone_needs_no_scrolling_sideways(browser, page):
    browser.open(page, size=real.PHONE)
    widths = "return [document.documentElement.scrollWidth, innerWidth]"
    wide, window = browser.ask(widths)
    assert wide <= window
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask("const c = document.getElementById('card'); return c.scrollWidth <= c.clientWidth")


CUT = """return [...document.querySelectorAll('#genes svg text')].filter(text => {
  const box = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
  return box.width && (box.left < all.left - 1 || box.right > all.right + 1
    || box.top < all.top - 1 || box.bottom > all.bottom + 1); }).map(text => text.textContent)"""
OVER = """const heads = [...document.querySelectorAll('#genes figure:first-of-type svg text')]
  .filter(text => text.getAttribute('y') < 30).map(text => text.getBoundingClientRect());
return heads.flatMap((one, k) => heads.slice(0, k).filter(other => one.left < other.right
  && other.left < one.right && one.top + 3 < other.bottom && other.top + 3 < one.bottom)).length"""


def test_long_names_fit_the_page_and_are_there_in_full(browser, tmp_path):
    fates = ("Early endothelial cells", "Mesenchymal stem-like (late)", "Neuro")
    folder = write_run(tmp_path, genes=["L" * 200, "TBXT", "C"], fates=fates, contrasts=("Neuro",))
    browser.open(fb.write_report(folder), size=real.WIDE)
    wide, window = browser.ask("const t = document.getElementById('table').parentElement;"
                               "return [t.scrollWidth, t.clientWidth]")  # fmt: skip
    assert wide <= window
    assert browser.ask(CUT) == []
    assert browser.ask(OVER) == 0
    [shown, full] = browser.ask("const g = document.querySelector('#row-0-0 .gene');"
                                "return [g.textContent, g.title]")  # fmt: skip
    assert (len(shown), full) == (24, "L" * 200)
    cells = "const c = document.getElementById('row-0-0').cells;"
    [about, whole, effect] = browser.ask(f"{cells} return [c[1].textContent, c[1].title, c[2].textContent]")
    assert about == "Mesenchymal s…(late)"
    assert whole == "Mesenchymal stem-like (late) against Early endothelial cells"
    assert effect.endswith(", d0")
    browser.one("#find").send_keys("l" * 30)
    assert len(browser.shown()) == 2  # of two contrasts
    choose(browser, "find", "")
    choose(browser, "contrast", whole)
    assert len(browser.shown()) == 1


def test_print_leaves_out_what_is_for_clicking_and_a_card_is_printed_alone(browser, page):
    browser.open(page, dark=True, medium="print")
    hidden = browser.ask(
        "return ['nav', '.filters'].map(s => document.querySelector(s).getClientRects().length)"
    )
    assert hidden == [0, 0]
    assert browser.ask("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(base64.b64decode(browser.pdf())) > 20_000
    heading = "return getComputedStyle(document.querySelector('#table thead button')).display"
    assert browser.ask(heading) == "contents"  # else it is empty on all printed pages but the first
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask("return document.querySelector('main').getClientRects().length") == 0
    assert browser.ask("return document.getElementById('card').getClientRects().length") == 1
    browser.size(700, 500)  # a card longer than the page begins at its top
    assert browser.ask("return document.getElementById('card').getBoundingClientRect().top") == 0
    tops = (
        "return [...document.querySelectorAll('#card-body .panels')]"
        ".map(p => new Set([...p.children].map(c => c.getBoundingClientRect().top)).size)"
    )
    assert set(browser.ask(tops)) == {1}  # panels beside each other: the first alone names the rows


def test_panels_of_a_card_name_their_rows_where_they_are_below_each_other(browser, page, tmp_path):
    named = (
        "const named = c => [...c.querySelectorAll('text')].some(t => t.textContent === 'the gene');"
        "return [...document.querySelectorAll('#card-body .panels')].map(p => [...p.children].map(named))"
    )
    browser.open(page)
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask(named) == [[True, False, False, False]] * 4
    browser.open(page, size=real.PHONE)
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask(named) == [[True] * 4] * 4
    browser.open(fb.write_report(write_run(tmp_path, days=[f"d{d}" for d in range(7)])))
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask(named) == [[True] * 7] * 4


def test_a_large_screen_is_small_and_quick(browser, tmp_path):
    folder = write_run(
        tmp_path, genes=[f"GENE{g}" for g in range(300)], contrasts=("NEU", "MES-NEU"), guides_per_gene=7
    )
    begun = time.perf_counter()
    page = fb.write_report(folder)
    built = time.perf_counter() - begun
    assert built < 15
    assert page.stat().st_size < 8e6
    browser.open(page)
    loaded = browser.ask("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert loaded < 3000
    begun = time.perf_counter()
    browser.ask("document.querySelector('#row-0-0 .gene').click()")
    assert browser.ask(CARD_TITLE) == "GENE0"
    assert time.perf_counter() - begun < 2
    print(f"built in {built:.1f} s, {page.stat().st_size / 1e6:.1f} MB, opened in {loaded / 1000:.2f} s")


def test_a_screen_of_one_day_is_filtered_and_its_cards_tell_of_no_course(browser, tmp_path):
    browser.open(fb.write_report(write_run(tmp_path, days=("d3",))))
    choose(browser, "day", "0")
    assert browser.shown() == [*"ABC", *"ABC"]
    browser.one("#row-0-0 .gene").click()
    said = browser.one("#card-body").text
    assert "The knockdown pushes cells towards" in said
    assert "Time course" not in said
    assert "between days" not in said
