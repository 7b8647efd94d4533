"""How the page looks, in light, in dark and on paper, and the few lines of script that sort its tables."""

from kernelfit.report.svg.markup import Markup

STYLE = Markup("""
:root {
  color-scheme: light dark;
  --back: #fdfdfc; --card: #ffffff; --ink: #1c1f23; --soft: #596068; --edge: #dfe2e6; --grid: #e9ebee; --link: #0b5cad;
  --warn: #8a4b00; --warnback: #fff4e0;
  --c0: #0072b2; --c1: #c44f00; --c2: #00805c; --c3: #9b4a86; --c4: #6b5b00; --c5: #4d4dbb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #15181b; --card: #1c2024; --ink: #e7e9ec; --soft: #a3abb4; --edge: #343a41; --grid: #2b3036;
    --link: #7db8f0; --warn: #ffc46b; --warnback: #33270f;
    --c0: #56b4e9; --c1: #f29347; --c2: #2fc497; --c3: #dd93c6; --c4: #d8c64a; --c5: #a6a6f5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1180px; padding: 20px 16px 60px; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.3rem; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--edge); }
h3 { font-size: 1rem; margin: 0 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0 12px; max-width: 76ch; overflow-wrap: anywhere; }
a { color: var(--link); }
.soft, figcaption, caption { color: var(--soft); }
nav { margin: 10px 0 18px; display: flex; flex-wrap: wrap; gap: 4px 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(158px, 1fr)); gap: 12px; margin: 16px 0; }
.tile { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 14px; min-width: 0; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .86rem; overflow-wrap: anywhere; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); gap: 18px; margin: 14px 0;
}
figure {
  margin: 0; padding: 14px; background: var(--card); border: 1px solid var(--edge); border-radius: 8px; min-width: 0;
  break-inside: avoid;
}
figcaption { font-size: .86rem; overflow-wrap: anywhere; margin-top: 6px; }
.chart {
  display: block; width: 100%; height: auto;
  font: 13px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
}
.chart text { fill: var(--ink); }
.chart .tick { fill: var(--soft); font-size: 12px; }
.chart .middle { text-anchor: middle; }
.chart .end { text-anchor: end; }
.chart .grid { stroke: var(--grid); }
.chart .axis { stroke: var(--soft); fill: none; }
.chart .rule { stroke: var(--soft); stroke-dasharray: 6 4; stroke-width: 1.5; fill: none; }
.chart .line { stroke: currentColor; stroke-width: 1.8; fill: none; stroke-linejoin: round; }
.chart .dashed { stroke-dasharray: 2 4; stroke-linecap: round; }
.chart .bar { stroke: currentColor; fill: none; }
.chart .mark { fill: currentColor; stroke: currentColor; stroke-width: 1.2; }
.chart .bin { fill: currentColor; opacity: .18; }
.chart .bin:hover { opacity: .5; }
.chart .solid { fill: currentColor; opacity: .8; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
.c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); }
.wide { overflow-x: auto; margin: 12px 0; border: 1px solid var(--edge); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 8px 12px; caption-side: top; }
th, td { padding: 6px 12px; text-align: left; vertical-align: top; border-top: 1px solid var(--edge); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; vertical-align: bottom; }
th.number, td.number { text-align: right; white-space: nowrap; }
td { min-width: 5.5em; }
td.name { min-width: 9em; }
td.long { min-width: 17em; overflow-wrap: anywhere; }
td.line { white-space: nowrap; }
caption div { position: sticky; left: 12px; width: max-content; max-width: min(76ch, calc(100vw - 66px)); }
td code { min-width: 16em; }
th[aria-sort] { cursor: pointer; }
th[aria-sort="ascending"]::after { content: " \\25b2"; }
th[aria-sort="descending"]::after { content: " \\25bc"; }
tbody tr:hover { background: color-mix(in srgb, var(--link) 7%, transparent); }
tr.grey td { color: var(--soft); }
details summary { cursor: pointer; color: var(--link); white-space: nowrap; }
code {
  display: block; font: .82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; user-select: all;
  background: var(--grid); border-radius: 5px; padding: 5px 8px; margin: 4px 0; white-space: pre-wrap;
  overflow-wrap: anywhere; color: var(--ink);
}
.warn {
  background: var(--warnback); border-left: 4px solid var(--warn); padding: 8px 14px; border-radius: 4px;
  margin: 14px 0;
}
.pictures { display: flex; flex-wrap: wrap; gap: 10px; }
.picture { width: 76px; font-size: .74rem; line-height: 1.25; text-align: center; overflow-wrap: anywhere; }
.picture img {
  display: block; width: 64px; height: 64px; margin: 0 auto 3px; image-rendering: pixelated;
  border: 1px solid var(--edge); border-radius: 3px; object-fit: contain; background: #000;
}
.sheet { image-rendering: pixelated; width: 100%; max-width: 420px; height: auto; display: block; }
@media print {
  :root {
    --back: #fff; --card: #fff; --ink: #000; --soft: #444; --edge: #bbb; --grid: #ddd;
    --c0: #0072b2; --c1: #c44f00; --c2: #00805c; --c3: #9b4a86; --c4: #6b5b00; --c5: #4d4dbb;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .wide { overflow: visible; border: 0; }
  table { font-size: 7.5pt; }
  th, td, td.name, td.long { padding: 2px 4px; min-width: 0; }
  th.number, td.number, td.line { white-space: normal; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
}
""")

SCRIPT = Markup("""
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.setAttribute("aria-sort", "none");
    head.title = "sort";
    const value = row => {
      const cell = row.cells[column], number = parseFloat(cell.dataset.value ?? "");
      return Number.isNaN(number) ? cell.textContent : number;
    };
    const sort = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const compare = (a, b) => {
        const x = value(a), y = value(b), numbers = (typeof x === "number") - (typeof y === "number");
        return numbers ? -numbers : sign * (typeof x === "number" ? x - y : x.localeCompare(y));
      };
      body.append(...[...body.rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
""")
