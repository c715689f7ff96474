"""Style and script of the leaderboard page. The page has no other script: its hash is the only one that may run."""

from bus_toolkit.visualization.html import FRAME

_REST = """\
section, .prose { max-width: 60rem; }
a { color: var(--accent); }
pre { overflow-x: auto; padding: 0.5rem; background: var(--band); }
.wide { max-width: none; overflow-x: auto; }
.missed { font-weight: bold; }
.controls { display: flex; flex-wrap: wrap; gap: 1rem; margin: 0.75rem 0; }
select { font: inherit; padding: 0.2rem 0.4rem; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
#board td { white-space: nowrap; }
details { max-width: 60rem; margin: 0.5rem 0; }
summary { cursor: pointer; font-weight: 600; }
thead th { position: sticky; top: 0; background: var(--band); }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tbody tr.reference { background: var(--band); font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem;
  max-width: none; }
figure { margin: 0; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: 0.5rem; }
figure svg { width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
figcaption { color: #1f2430; font-size: 0.875rem; }
.soft { color: var(--soft); }
"""
STYLE = FRAME + _REST

SCRIPT = """
"use strict";
const board = Array.from(document.querySelector("#board").tBodies[0].rows);
const controls = document.querySelector(".controls");
controls.hidden = false;
const filters = Array.from(controls.querySelectorAll("select"));
for (const filter of filters) {
  const values = new Set(board.map((row) => row.dataset[filter.name]));
  for (const value of values) filter.add(new Option(value, value));
  filter.addEventListener("change", () => {
    for (const row of board) {
      row.hidden = filters.some((each) => each.value && row.dataset[each.name] !== each.value);
    }
  });
}
const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
const sort = (table, column, down) => {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const numbers = rows.some((row) => row.cells[column].dataset.value !== undefined);
  const missing = (value) => value === "" || value === "-" || (numbers && Number.isNaN(Number(value)));
  rows.sort((one, two) => {
    const [a, b] = [key(one, column), key(two, column)];
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = numbers ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
    return down ? -order : order;
  });
  body.append(...rows);
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table, column, down);
    });
  });
}
"""
