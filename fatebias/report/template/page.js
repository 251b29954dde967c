"use strict";
// The table: sorting and filtering. Cards: drawn when opened, from the JSON in the page. Names are only ever text.

const SVG = "http://www.w3.org/2000/svg";
const byId = id => document.getElementById(id);
const table = byId("table"), body = table.tBodies[0], rows = [...body.rows];
const dialog = byId("card");
let data = null;  // parsed when the first card is opened

// ---- the table

// Screens of one day have no column for the peak.
const firstDay = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.startsWith("lfsr "));

function filter() {
  const wanted = byId("find").value.trim().toLowerCase();
  const contrast = byId("contrast").value, day = byId("day").value, side = byId("side").value;
  const all = byId("all").checked, n = document.querySelectorAll("#day option").length - 1;
  table.classList.toggle("all", all);
  let shown = 0, possible = 0;
  for (const row of rows) {
    const days = [...row.cells].slice(firstDay, firstDay + n);
    const called = (day === "" ? days : [days[+day]]).some(
      cell => cell.className === "called" && (side === "" || cell.dataset.side === side));
    const fits = row.querySelector(".gene").title.toLowerCase().includes(wanted)
      && (contrast === "" || row.dataset.contrast === contrast)
      && (called || (day === "" && side === "" && (all || row.className !== "miss")));
    row.classList.toggle("out", !fits);
    const counts = all || !row.classList.contains("miss");
    possible += counts;
    shown += fits && counts;
  }
  byId("shown").textContent = `${shown} of ${possible} rows`;
}

function sort(header, kind) {
  const at = header.cellIndex, now = header.getAttribute("aria-sort");
  const descendingFirst = kind === "size" || kind === "down";
  const descending = now ? now === "ascending" : descendingFirst;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const value = row => {
    const cell = row.cells[at];
    if (kind === "text") return cell.textContent.trim().toLowerCase();
    if (!cell.dataset.v) return null;
    return kind === "size" ? Math.abs(+cell.dataset.v) : +cell.dataset.v;
  };
  const order = rows.map((row, place) => [value(row), place, row]);
  order.sort(([a, i], [b, j]) => {
    if (a === null || b === null) return (a === null) - (b === null) || i - j;  // what has no number comes last
    const less = kind === "text" ? a.localeCompare(b) : a - b;
    return (descending ? -less : less) || i - j;
  });
  body.append(...order.map(entry => entry[2]));
}

for (const id of ["find", "contrast", "day", "side", "all"]) byId(id).addEventListener("input", filter);
table.tHead.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) sort(button.closest("th"), button.dataset.kind);
});
filter();

// ---- elements

function make(name, content, attributes = {}) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  for (const each of [content].flat()) if (each !== null) node.append(each);
  return node;
}

function draw(svg, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  svg.append(node);
  return node;
}

const minus = text => text.replaceAll("-", "\u2212");
const known = value => value !== null && value !== undefined;
const signed = (value, digits = 2) => {
  if (!known(value)) return "\u2013";
  const text = Math.abs(value).toFixed(digits);
  return (+text === 0 ? "" : value > 0 ? "+" : "\u2212") + text;
};
const rate = value => !known(value) ? "\u2013" : value === 0 ? "< 1e\u2212300"
  : value >= 0.095 ? value.toFixed(2) : value >= 0.00095 ? value.toFixed(3)
  : minus(value.toExponential(0));
const chance = value => value < 0.005 ? "< 0.01" : value > 0.995 ? "> 0.99" : value.toFixed(2);

function grid(title, columns, lines, reading) {
  const head = make("tr", ["", ...columns].map(each => make("th", each, {scope: "col"})));
  const rest = lines.map(([name, ...cells]) =>
    make("tr", [make("th", name, {scope: "row"}), ...cells.map(each => make("td", each))]));
  const found = make("table", [make("thead", head), make("tbody", rest)]);
  return [title && make("h3", title), make("div", found, {class: "scroll"}),
    reading ? make("p", reading, {class: "reading"}) : null].filter(each => each);
}

// ---- charts of a card

function ticks(limit, most = 3.5) {
  const power = 10 ** Math.floor(Math.log10(limit));
  const step = [0.2, 0.5, 1, 2, 5].map(each => each * power).find(each => limit / each <= most) || power;
  const found = [];
  for (let k = -Math.floor(limit / step); k * step <= limit; k++) found.push(k * step);
  return [found, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

function effectChart(contrast, g, limit) {
  const days = data.days, wide = Math.max(230, 60 + 58 * days.length), height = 220;
  const left = 46, top = 14, bottom = 24;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({viewBox: `0 0 ${wide} ${height}`, width: wide, height, role: "img",
    "aria-label": `effect by day, ${contrast.title}`})) svg.setAttribute(key, value);
  const x = d => left + (d + 0.5) * (wide - left - 8) / days.length;
  const y = value => top + (1 - (value + limit) / (2 * limit)) * (height - top - bottom);
  const [places, digits] = ticks(limit);
  for (const value of places) {
    draw(svg, "line", {x1: left, x2: wide - 8, y1: y(value), y2: y(value), class: Math.abs(value) < 1e-9 ? "zero" : "grid"});
    draw(svg, "text", {x: left - 5, y: y(value) + 4, "text-anchor": "end"}, minus(value.toFixed(digits)));
  }
  draw(svg, "text", {x: 12, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${height / 2})`}, "effect (logit)");
  const bar = (at, middle, sd, kind, tip) => {
    if (!known(middle) || !known(sd)) return;
    draw(svg, "line", {x1: at, x2: at, y1: y(middle - 1.96 * sd), y2: y(middle + 1.96 * sd), class: "whisker"});
    const dot = draw(svg, "circle", {cx: at, cy: y(middle), r: 4.5, class: kind});
    draw(dot, "title", {}, tip);
  };
  days.forEach((label, d) => {
    draw(svg, "text", {x: x(d), y: height - 8, "text-anchor": "middle"}, label);
    const before = contrast.betahat[g][d], after = contrast.postmean[g][d];
    bar(x(d) - 8, before, contrast.se[g][d], "before", `${label}, before sharing: ${signed(before)}`);
    const kind = !contrast.called[g][d] ? "miss" : after > 0 ? "up" : "down";
    bar(x(d) + 8, after, contrast.postsd[g][d], kind, `${label}, after sharing: ${signed(after)}`);
  });
  return svg;
}

function guideChart(guides, gene, d, label, limit, named) {
  const left = named ? Math.min(190, 14 + 6.2 * Math.max(6, ...guides.map(each => each.name.length + 8))) : 10;
  const wide = left + 150, row = 20, top = 22, height = top + row * (guides.length + 1) + 30;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({viewBox: `0 0 ${wide} ${height}`, width: wide, height, role: "img",
    "aria-label": `estimates on ${label}`})) svg.setAttribute(key, value);
  const x = value => left + 6 + (value + limit) / (2 * limit) * 138;
  const [places, digits] = ticks(limit, 2);
  for (const value of places) {
    draw(svg, "line", {x1: x(value), x2: x(value), y1: top - 4, y2: height - 28, class: Math.abs(value) < 1e-9 ? "zero" : "grid"});
    draw(svg, "text", {x: x(value), y: height - 14, "text-anchor": "middle"}, minus(value.toFixed(digits)));
  }
  draw(svg, "text", {x: left + 6, y: 12, class: "title"}, label);
  const line = (at, name, middle, sd, kind) => {
    const place = top + row * at + row / 2;
    if (named) draw(svg, "text", {x: left - 4, y: place + 4, "text-anchor": "end"}, name);
    if (!known(middle) || !known(sd)) return;
    draw(svg, "line", {x1: x(Math.max(-limit, middle - 1.96 * sd)), x2: x(Math.min(limit, middle + 1.96 * sd)),
      y1: place, y2: place, class: "whisker"});
    const dot = draw(svg, "circle", {cx: x(middle), cy: place, r: kind === "before" ? 5 : 4, class: kind});
    draw(dot, "title", {}, `${name}: ${signed(middle)}`);
  };
  guides.forEach((each, at) =>
    line(at, `${each.name} (${each.cells})`, each.betahat[d], each.se[d], each.inactive > 0.5 ? "miss" : "own"));
  line(guides.length, "the gene", gene[0], gene[1], "before");
  return svg;
}

const largest = (values, errors) => Math.max(0.1, ...values.map((value, k) =>
  known(value) && known(errors[k]) ? Math.abs(value) + 1.96 * errors[k] : 0));

// ---- a card

function story(contrast, g) {
  const overTime = data.days.length > 1;
  const called = contrast.called[g], after = contrast.postmean[g];
  const on = side => data.days.filter((_, d) => called[d] && (after[d] > 0) === side);
  const parts = [];
  if (on(true).length) parts.push(`towards ${contrast.fate} on ${on(true).join(", ")}`);
  if (on(false).length) parts.push(`towards ${contrast.against} on ${on(false).join(", ")}`);
  if (!parts.length) {
    const least = contrast.mdeLasting[g];
    if (!overTime) return `Not called. Probability of an effect: ${chance(contrast.pAny[g])}.`;
    return `Not called. Probability of an effect on any day: ${chance(contrast.pAny[g])}. `
      + (known(least) ? `An effect of ${least.toFixed(2)} logits on all days would have been called in 80 of 100 screens like this one.`
        : "No effect on all days that was looked at would have been called.");
  }
  if (!overTime) return `The knockdown pushes cells ${parts.join(" and ")}.`;
  return `The knockdown pushes cells ${parts.join(" and ")}. Time course: ${contrast.pCourse[g] < 0.5 ? "unclear" : `${contrast.course[g]} `
    + `(probability ${chance(contrast.pCourse[g])})`}; probability that the direction changes between two days: ${chance(contrast.pFlip[g])}.`;
}

function contrastPart(contrast, c, g, limit) {
  const plus = (values, errors, digits = 2, factor = 1) => data.days.map((_, d) => {
    const value = values[g][d], error = errors[g][d];
    return known(value) ? `${signed(factor * value, digits)} ± ${(factor * error).toFixed(digits)}` : "\u2013";
  });
  const lines = [
    ["before, logit ± SE", ...plus(contrast.betahat, contrast.se)],
    ["after, logit ± SD", ...plus(contrast.postmean, contrast.postsd)],
    ["lfsr", ...contrast.lfsr[g].map((value, d) => contrast.called[g][d] ? make("strong", rate(value)) : rate(value))],
  ];
  if (contrast.change) lines.push([`P(${contrast.fate}), points`, ...plus(contrast.change, contrast.changeSe, 1, 100)]);
  if (!contrast.called[g].some(each => each)) {
    lines.push(["called from, logit", ...contrast.mde[g].map(each => known(each) ? `\u2265 ${each.toFixed(2)}` : "\u2013")]);
  }
  const flags = [...byId(`row-${c}-${g}`).querySelectorAll("abbr")].map(each => `${each.textContent}: ${each.title}`);
  return [
    make("h3", contrast.title), make("p", story(contrast, g)),
    flags.length ? make("ul", flags.map(each => make("li", each)), {class: "notes"}) : null,
    make("div", [effectChart(contrast, g, limit), ...grid(null, data.days, lines)], {class: "pair"}),
  ];
}

// Guides or replicates of a gene under each contrast that they have estimates of, all panels on one scale.
function partsOf(title, found, contrasts, reading) {
  const shown = contrasts.map(([contrast, c, g]) => [contrast, g, found.filter(one => one.estimates[c])
    .map(one => ({...one, ...one.estimates[c]}))]).filter(([, , those]) => those.length);
  const wide = Math.max(...shown.flatMap(([contrast, g, those]) => data.days.map((_, d) => largest(
    [...those.map(one => one.betahat[d]), contrast.betahat[g][d]], [...those.map(one => one.se[d]), contrast.se[g][d]]))));
  // Side by side the first panel names the rows of all; many of them, or on a phone, stand below each other.
  const apart = data.days.length > 5 || matchMedia("(max-width: 40rem)").matches;
  return shown.flatMap(([contrast, g, those], k) => [
    make("h3", `${title}, ${contrast.title}`), k === 0 ? make("p", reading, {class: "reading"}) : null,
    make("div", data.days.map((label, d) => guideChart(those, [contrast.betahat[g][d], contrast.se[g][d]], d, label,
      wide, apart || d === 0)), {class: "panels"})]);
}

function open(at) {
  data = data || JSON.parse(byId("cards").textContent);
  const [c, g] = at.split("-").map(Number);
  const name = data.contrasts[c].genes[g], gene = data.genes[name];
  const each = data.contrasts.map((contrast, k) => [contrast, k, contrast.genes.indexOf(name)]);
  const limit = Math.max(...each.map(([one, , place]) => Math.max(
    largest(one.betahat[place], one.se[place]), largest(one.postmean[place], one.postsd[place]))));
  const parts = [];
  if (known(gene.cells)) {
    parts.push(make("p", `${gene.cells.toLocaleString("en")} cells carry a guide of ${name}`
      + (gene.cellsByDay.length ? `: ${data.days.map((day, d) => `${gene.cellsByDay[d]} on ${day}`).join(", ")}.` : ".")));
  }
  const filled = data.days.length > 1 ? "after sharing strength between days" : "shrunk by what all genes show";
  parts.push(make("p", `Open circles: the gene\u2019s own estimate. Filled: ${filled}, in colour where it is called. `
    + "Bars: 95 % intervals; the same scale for all contrasts. Points: change of the fate\u2019s probability in percentage points, before sharing. "
    + "Called from: the effect on that day alone that would have been called in 80 of 100 screens like this one.", {class: "reading"}));
  for (const one of each) parts.push(...contrastPart(...one, limit));
  if (gene.guides.length) {
    parts.push(...partsOf("Each guide", gene.guides, each,
      "A guide\u2019s own estimate with its 95 % interval, in logits; its number of cells in brackets. Open circle: the gene "
      + "before sharing. The model draws guides towards their gene: one that differs says more than many that agree."
      + (gene.guides.some(one => one.inactive > 0.5) ? " Grey: the guide probably does nothing." : "")));
  }
  if (gene.replicates.length) {
    parts.push(...partsOf("Each replicate", gene.replicates, each,
      "What the labels of one replicate say of the gene, in logits, all other effects held where the fit has them: "
      + "the gene\u2019s estimate and how far this replicate pulls it. Bars: 95 % by the labels alone; in brackets its cells. "
      + "Open circle: the gene before sharing. Nothing is drawn on a day with fewer than 10 cells of the gene."));
  } else {
    parts.push(make("p", "No estimates by replicate: the screen has one, or the run is of an earlier version.", {class: "reading"}));
  }
  const means = Object.entries(gene.mean);
  if (means.length) {
    const percent = value => known(value) ? (100 * value).toFixed(1) : "\u2013";
    parts.push(...grid("Mean fate probabilities, percent", data.days, means.flatMap(([fate, [own, rest]]) =>
      [[`${fate}, with the gene`, ...own.map(percent)], [`${fate}, without`, ...rest.map(percent)]]),
      "Of the day\u2019s cells with a guide of the gene and of those without, as they are: other guides and replicates are not taken out."));
  }
  const fates = Object.entries(gene.fates);
  if (fates.length) {
    parts.push(...grid("All fates", data.days, fates.map(([fate, values]) =>
      [fate, ...values.map(value => known(value) ? signed(100 * value, 1) : "\u2013")]),
      "Change of each fate\u2019s probability in percentage points, averaged over the day\u2019s cells without the gene. They sum to zero. "
      + "All fates but one may lose probability to that one: a contrast asks which of its two fates loses more."));
  }
  byId("card-gene").textContent = name;
  byId("card-body").replaceChildren(...parts.filter(part => part !== null));
  dialog.dataset.at = at;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function step(by) {
  const shown = [...body.rows].filter(row => row.offsetParent !== null || getComputedStyle(row).display !== "none");
  const here = shown.findIndex(row => row.id === `row-${dialog.dataset.at}`);
  const there = shown[(here + by + shown.length) % shown.length];
  if (there) open(there.id.slice("row-".length));
}

document.addEventListener("click", event => {
  const found = event.target.closest("[data-card]");
  if (found) open(found.dataset.card);
  if (event.target === dialog) dialog.close();  // beside the card
});
byId("close").addEventListener("click", () => dialog.close());
byId("previous").addEventListener("click", () => step(-1));
byId("next-gene").addEventListener("click", () => step(1));
dialog.addEventListener("keydown", event => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
