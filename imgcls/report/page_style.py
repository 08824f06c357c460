"""The style sheet and the script of HTML pages. Light zone.

A page is light or dark as the reader's system is; figures keep their white paper. Before printing,
the script opens what is folded. It also sorts a table by the column whose head
is clicked, and does without any library.
"""

STYLE_SHEET = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --faint: #595959; --line: #ccc;
  --soft: #f3f3f3; --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #16181c; --faint: #a8a8a8; --line: #44474d; --soft: #22252b;
    --link: #7db8f0; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p, dd, figcaption { overflow-wrap: anywhere; }
a { color: var(--link); }
figure { margin: 1.5rem 0; break-inside: avoid; }
figure img { max-width: 100%; min-width: 34rem; height: auto; background: #fff;
  border-radius: .3rem; }
figcaption { color: var(--faint); max-width: 60rem; }
.scroll { overflow-x: auto; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr));
  gap: .6rem; margin: 1rem 0; padding: 0; }
.cards div { background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; }
.cards dt { font-size: .8125rem; }
.cards dd { font-size: 1.25rem; font-weight: 600; }
.cards small { display: block; font-size: .75rem; font-weight: 400; color: var(--faint); }
nav ul { columns: 14rem; padding-left: 1.2rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; }
th[aria-sort] { cursor: pointer; }
th[aria-sort]:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending]::after { content: " \\25B2"; }
th[aria-sort=descending]::after { content: " \\25BC"; }
td.number, th.number { text-align: right; white-space: nowrap; }
.hover { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.map { flex: 1 1 20rem; max-width: 40rem; background: #fff; border-radius: .3rem; }
.map circle { opacity: .8; }
.map circle:hover { opacity: 1; r: 8px; }
.map .wrong { stroke: #222; stroke-width: 2; }
.preview { width: 9rem; height: 9rem; border: 1px solid var(--line); image-rendering: pixelated; }
.name { max-width: 16rem; }
pre { font-size: .8125rem; overflow-x: auto; background: var(--soft); padding: .75rem; }
dl.pairs { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1rem; }
dt { color: var(--faint); }
dd { margin: 0; }
summary { cursor: pointer; }
@media (max-width: 34rem) {
  dl.pairs { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dl.pairs dd { margin-bottom: .5rem; }
}
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #ccc; --soft: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll, pre { overflow: visible; white-space: pre-wrap; }
  figure img { min-width: 0; max-height: 23cm; }
  nav { display: none; }
}
"""

SCRIPT = """
const key = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/[,\\[]/g, ""));
  return [text === "-", Number.isNaN(number) ? text : number];
};
const compare = (one, other, sign) => {
  if (one[0] !== other[0]) return one[0] ? 1 : -1;
  const [a, b] = [one[1], other[1]];
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
};
const sort = head => {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const rising = head.getAttribute("aria-sort") !== "ascending", sign = rising ? 1 : -1;
  for (const each of head.parentNode.cells) each.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const rows = [...body.rows].map(row => [key(row, column), row]);
  rows.sort((one, other) => compare(one[0], other[0], sign));
  body.append(...rows.map(each => each[1]));
};
for (const head of document.querySelectorAll("th")) {
  head.setAttribute("aria-sort", "none");
  head.tabIndex = 0;
  head.title = "Sort";
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(head); });
}
for (const point of document.querySelectorAll(".map circle")) {
  const show = () => {
    const index = Number(point.dataset.image), box = point.closest(".hover"), side = 32, row = 32;
    const place = [index % row * side, Math.floor(index / row) * side, side, side];
    box.querySelector(".preview").setAttribute("viewBox", place.join(" "));
    box.querySelector(".name").textContent = point.textContent;
  };
  point.addEventListener("pointerenter", show);
  point.addEventListener("click", show);
}
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});
"""
