"""The page that the tour leaves: one file of HTML that loads nothing else."""

from __future__ import annotations

import html
import platform
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numsolve

if TYPE_CHECKING:
    from stop import Visit

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --faint: #667085; --line: #dde2ea;
  --paper: #fff; --box: #f5f7fa; --mark: #1c5fb8; --good: #12734a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --faint: #9aa4b5;
  --line: #343b48; --paper: #14181f; --box: #1d232d; --mark: #7db2f5; --good: #5fcf9a;
  --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.35rem; margin: 0 0 0.3rem; }
a { color: var(--mark); }
.lead { font-size: 1.12rem; max-width: 46rem; }
.faint, .label { color: var(--faint); }
.label { font: 0.85rem ui-monospace, monospace; margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; margin: 1.2rem 0; }
th, td { text-align: left; padding: 0.45rem 0.6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; color: var(--faint); }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wins { color: var(--good); font-weight: 600; }
.loses { font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
section { border-top: 1px solid var(--line); padding: 2rem 0 1rem; }
img { display: block; width: 100%; height: auto; border-radius: 6px; background: #fff;
  margin: 1rem 0; }
pre { background: var(--box); padding: 0.9rem 1rem; border-radius: 6px; overflow-x: auto;
  font: 0.85rem/1.5 ui-monospace, monospace; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  gap: 0.8rem 1.5rem; margin: 1rem 0; }
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; }
"""
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A tour of numsolve</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<h1>A tour of numsolve</h1>
<p class="lead">One stop for each area of the package: a problem on real data, the lines
that solve it, and how accurate and how fast the answer is beside the usual tool.</p>
<p class="faint">{facts}</p>
</header>
<main>
"""
ENDING = """</main>
<footer class="faint">
<p>Times are medians of warm calls, both sides in turn in one process with one thread of
BLAS and of Numba, while nothing else of the tour runs. The first call of numsolve has the
compilation in it, beside a second process that compiles; later processes find the code in
a cache. One problem is an example, not a benchmark: <code>make docs</code> has tables over
many, with the cases that numsolve loses.</p>
</footer>
</body>
</html>
"""


def write(path: Path, visits: list[Visit], seconds: float, note: str = "") -> None:
    """Write the page."""
    words = f"{len(visits)} stops in {seconds:.0f} s on {processor()}; numsolve "
    words += f"{numsolve.__version__}, Python {platform.python_version()}, "
    words += f"{date.today():%d %B %Y}. {note}"
    parts = [HEAD.format(style=STYLE, facts=html.escape(words)), table(visits)]
    parts += [section(visit) for visit in visits]
    path.write_text("\n".join([*parts, ENDING]), encoding="utf-8")


def processor() -> str:
    """The name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def duration(seconds: float | None) -> str:
    """Seconds with two digits, in a unit that suits them."""
    if seconds is None:
        return "not measured"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            value = seconds / size
            return f"{value:.2g} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    raise AssertionError


def comparison(visit: Visit) -> tuple[str, str]:
    """Who is faster, in words, and the class of the cell."""
    if visit.seconds is None or visit.peer_seconds is None:
        return "", ""
    if not visit.usable:
        return "the other has no answer", "wins"
    ratio = visit.peer_seconds / visit.seconds
    if 0.8 < ratio < 1.25:
        return "about even", ""
    if ratio > 1:
        digits = ".2g" if ratio < 99.5 else ".0f"
        return f"numsolve, {ratio:{digits}}×", "wins"
    return f"the usual tool, {1 / ratio:.2g}×", "loses"


def table(visits: list[Visit]) -> str:
    """A row for each stop."""
    heads = [
        *("area", "solved", "size", "measured", "numsolve", "the usual tool"),
        *("its accuracy and time", "who is faster"),
    ]
    rows = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for v in visits:
        link = (
            f'<td><a href="#{v.area}">{v.area}</a></td><td>{html.escape(v.title)}</td>'
        )
        if not v.picture:
            rows.append(
                f'<tr>{link}<td colspan="6" class="bad">{html.escape(brief(v))}</td></tr>'
            )
            continue
        text, kind = comparison(v)
        ours = f"{v.accuracy}<br>{duration(v.seconds)}"
        theirs = f"{v.peer_accuracy}<br>{duration(v.peer_seconds)}"
        rows.append(
            f"<tr>{link}<td>{html.escape(v.size)}</td><td>{html.escape(v.measure)}</td>"
            f'<td class="number{"" if v.good else " bad"}">{ours}</td>'
            f'<td>{html.escape(v.peer)}</td><td class="number">{theirs}</td>'
            f'<td class="{kind}">{text}</td></tr>'
        )
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def brief(visit: Visit) -> str:
    """The last line of what went wrong."""
    return visit.trouble.strip().splitlines()[-1] if visit.trouble else "not visited"


def section(v: Visit) -> str:
    """A stop: words, picture, code, figures."""
    parts = [f'<section id="{v.area}"><p class="label">numsolve.{v.area}</p>']
    parts.append(
        f"<h2>{html.escape(v.title or v.area)}</h2><p>{html.escape(v.solved)}</p>"
    )
    if v.trouble:
        parts.append(f'<p class="bad">{html.escape(brief(v))}</p>')
        if "\n" in v.trouble.strip():
            parts.append(f"<pre>{html.escape(v.trouble.strip())}</pre>")
    if v.picture:
        picture = f"data:image/png;base64,{v.picture}"
        parts.append(
            f'<img src="{picture}" alt="{html.escape(v.title)}: {html.escape(v.solved)}">'
        )
        parts.append(f"<pre><code>{html.escape(v.code)}</code></pre><dl>")
        facts = {
            f"numsolve: {v.measure}": v.accuracy,
            "numsolve: first call, warm call": f"{duration(v.first)}, {duration(v.seconds)}",
            v.peer: ", ".join(
                filter(None, [v.peer_accuracy, duration(v.peer_seconds)])
            ),
        }
        parts += [
            f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(x)}</dd></div>"
            for k, x in facts.items()
        ]
        parts.append(f"</dl><p>{v.words}</p>")
    return "".join([*parts, "</section>"])
