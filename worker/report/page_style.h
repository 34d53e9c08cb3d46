// The page's style sheet: light and dark, on a screen and on paper. Only html_page.cc includes it.
#pragma once

namespace ferrun::report {

inline constexpr const char* kPageStyle = R"(
:root { color-scheme: light; --paper: #fff; --ink: #1c2128; --soft: #5c6672; --rule: #d9dee4; --tile: #f5f7f9;
  --train: #1f77b4; --val: #d65e00; --right: #1a7f37; --wrong: #c0262d; --shade: 31, 119, 180; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --paper: #14181d; --ink: #e4e8ed; --soft: #9aa5b1; --rule: #343c46; --tile: #1d232a;
    --train: #58a6e0; --val: #f0883e; --right: #57c26f; --wrong: #ff7b72; --shade: 56, 139, 220; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 38px 0 12px; }
h3 { font-size: 15px; margin: 0 0 4px; }
p { margin: 4px 0; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 12px; margin-top: 22px; }
.tile { background: var(--tile); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 24px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.missing { border-left: 4px solid var(--val); background: var(--tile); padding: 8px 16px; margin-top: 22px;
  border-radius: 0 8px 8px 0; }
.missing ul { margin: 4px 0; padding-left: 20px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 24px; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); } .frame { fill: none; stroke: var(--soft); }
.tick { fill: var(--soft); font-size: 12px; } .tick.x { text-anchor: middle; }
.tick.y { text-anchor: end; dominant-baseline: central; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.train { stroke: var(--train); } .line.val { stroke: var(--val); }
.dot.train { fill: var(--train); } .dot.val { fill: var(--val); } .hover { fill: transparent; }
line.best { stroke: var(--soft); stroke-dasharray: 4 4; }
circle.best { fill: var(--paper); stroke: var(--val); stroke-width: 2.4; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 0 0 10px; color: var(--soft); font-size: 14px; }
.legend i { display: inline-block; width: 22px; height: 0; border-top: 3px solid; vertical-align: middle;
  margin-right: 8px; }
.legend i.train { border-color: var(--train); } .legend i.val { border-color: var(--val); }
.legend i.best { width: 12px; height: 12px; border: 2.4px solid var(--val); border-radius: 50%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--soft); } th:first-child, td:first-child { text-align: left; }
.metrics th:first-child { color: var(--ink); } .metrics thead th { color: var(--soft); }
.metrics tr.sum th { font-weight: 400; } .metrics tr.first td, .metrics tr.first th { border-top: 2px solid var(--rule); }
.best-row td { font-weight: 600; }
.bar { display: inline-block; width: 90px; height: 8px; border-radius: 4px; background: var(--rule); margin-right: 10px;
  vertical-align: middle; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--train); }
.confusion { border-collapse: separate; border-spacing: 2px; }
.confusion td, .confusion th { border: 0; }
.confusion td { text-align: center; padding: 7px 6px; min-width: 62px; border-radius: 4px; line-height: 1.25;
  background: rgba(var(--shade), var(--share)); }
.confusion td small { display: block; font-size: 11.5px; opacity: .85; }
.confusion td.deep { color: #fff; } .confusion td.none { color: var(--soft); } .confusion td.hit { font-weight: 600; }
.confusion th { color: var(--ink); font-weight: 400; white-space: nowrap; }
.confusion thead th { text-align: center; vertical-align: bottom; } .confusion th[scope=row] { text-align: right; }
.confusion thead .axis, .confusion .axis { color: var(--soft); font-size: 13px; }
.confusion.many { font-size: 11.5px; } .confusion.many td { padding: 3px 1px; min-width: 31px; }
.confusion.many th { padding: 2px 4px; }
.confusion.many td small { font-size: 10px; }
.confusion.many .name span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
figure { margin: 0; border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; background: var(--tile);
  break-inside: avoid; }
figure img, figure .blank { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--rule); }
figure .blank { display: grid; place-items: center; color: var(--soft); font-size: 13px; }
figcaption { padding: 8px 10px; font-size: 13.5px; overflow-wrap: anywhere; }
figcaption b { display: block; } .right b { color: var(--right); } .wrong b { color: var(--wrong); }
figcaption small { color: var(--soft); display: block; }
.options td { text-align: left; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 44px; color: var(--soft); font-size: 13px; }
@media print {
  @page { margin: 14mm; }
  body { font-size: 11px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; } .charts { grid-template-columns: 1fr 1fr; }
  h2 { break-after: avoid; margin-top: 22px; } tr, .tile, svg { break-inside: avoid; }
  .scroll { overflow: visible; } .confusion { break-inside: avoid; } .confusion td { min-width: 0; padding: 4px 3px; }
  .confusion.many { font-size: 7px; border-spacing: 1px; } .confusion.many td { min-width: 0; padding: 1px 0; }
  .confusion.many td small { font-size: 6px; } .confusion.many th { padding: 1px 2px; }
  .tiles { grid-template-columns: repeat(4, 1fr); }
  .samples { grid-template-columns: repeat(5, 1fr); } details { display: none; } }
)";

}  // namespace ferrun::report
