"use strict";
// The table of genes: sorting and filtering.

const byId = id => document.getElementById(id);
const table = byId("table");

if (table) {
  const body = table.tBodies[0], rows = [...body.rows];

  const filter = () => {
    const wanted = byId("find").value.trim().toLowerCase(), share = byId("share").value, all = byId("all").checked;
    table.classList.toggle("all", all);
    let shown = 0;
    for (const row of rows) {
      const kind = row.dataset.share;
      const fits = (row.cells[0].title || row.cells[0].textContent).toLowerCase().includes(wanted)
        && (share === "some" ? all || kind !== "none" : kind === share);
      row.classList.toggle("out", !fits);
      shown += fits;
    }
    byId("shown").textContent = `${shown} of ${rows.length} genes`;
  };

  const sort = (header, kind) => {
    const now = header.getAttribute("aria-sort"), descending = now ? now === "ascending" : kind === "down";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = row => {
      const cell = row.cells[header.cellIndex];
      return kind === "text" ? cell.textContent.trim().toLowerCase() : cell.dataset.v === "" ? null : +cell.dataset.v;
    };
    const order = rows.map((row, place) => [value(row), place, row]);
    order.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      const less = kind === "text" ? a.localeCompare(b) : a - b;
      return (descending ? -less : less) || i - j;
    });
    body.append(...order.map(entry => entry[2]));
  };

  for (const id of ["find", "share", "all"]) byId(id).addEventListener("input", filter);
  table.tHead.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (button) sort(button.closest("th"), button.dataset.kind);
  });
  filter();
}
