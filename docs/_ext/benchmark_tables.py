"""The directive ``benchmark-tables`` and roles for sentences: figures from ``docs/benchmarks/*.json``.

The files are what ``benchmarks/peers/<area>.py --json`` writes. The directive makes a section for each area:
where a peer wins, how time grows with the size, and the tables. The roles quote one row in a sentence, so
that no page keeps a figure of its own that grows old:

    {measured}`linear; ten stiff heat steps, 400 x 400; dstn`

reads "31 ms, numsolve 490 ms". With ``theirs`` or ``ours`` in place of ``measured`` only one of the two is
said, with ``ratio`` what the peer takes over what we take, "0.063", and with ``more`` how many per cent the
peer takes beyond ours, "+72 %". The fields are the file, the case, what
the peer's name (without its version) ends with, or what it begins with before "...", and, where the case was
measured in several ways, what the metric begins with.

``times`` says the larger figure over the smaller, "16 times". Its second field is the sign that the sentence
stands on: ``<`` where numsolve takes less, ``>`` where it takes more. When that no longer holds, the build
warns.

``measured-rows`` makes a table of all cases of a file that have the same peer, which is its argument, with a
column for each line of its content: a heading, and what the metric begins with.

    ```{measured-rows} executors; in one process
    work, executor
    one process, two workers; time
    ```
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path

import benchmark_rows
from benchmark_rows import FIRST_CALL, number
from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

PEERS = (
    "Peer",
    "Times compared",
    "Times better, mean",
    "Least",
    "Most",
    "Of these it misses the tolerance",
)
HEADS = ("Case", "Peer", "Theirs", "Ours", "Times better", "Their error", "Our error")


def bar(ratio: float | None) -> nodes.Node:
    """The ratio and a bar of its logarithm: a hundred times better fills the cell."""
    if ratio is None or ratio <= 0:  # a loss may be negative
        return nodes.Text("–")
    width = min(abs(math.log10(ratio)) / 2, 1) * 100
    side = "better" if ratio >= 1 else "worse"
    text = f"{ratio:.0f}" if 1000 <= ratio < 1e6 else f"{ratio:.3g}"
    code = f'<span class="times-better {side}" style="--width: {width:.0f}%"><span>{text}</span></span>'
    return nodes.raw("", code, format="html")


def ruled(
    heads: tuple[str, ...], widths: tuple[int, ...]
) -> tuple[nodes.table, nodes.tbody]:
    """An empty table and its body."""
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    head += line([nodes.Text(text) for text in heads])
    group += [head, body]
    result = nodes.table(classes=["benchmark", "table-sm"])
    result += group
    return result, body


def summary(files: list[dict]) -> list[nodes.Node]:
    """One table for an area, one line for each peer; nothing where numsolve is alone."""
    lines = benchmark_rows.summaries(files)
    if not lines:
        return []
    result, body = ruled(PEERS, (30, 10, 16, 10, 10, 12))
    for one in lines:
        texts = (number(one.least), number(one.most), str(one.missed or "–"))
        cells = [nodes.Text(text) for text in (one.peer, str(one.rows))]
        body += line([*cells, bar(one.mean), *map(nodes.Text, texts)])
    return [result]


def table(rows: list[dict]) -> nodes.table:
    """Rows of one metric."""
    result, body = ruled(HEADS, (24, 20, 10, 10, 16, 10, 10))
    for row in rows:
        case = nodes.inline("", row["case"])
        if row["note"]:
            case += [
                nodes.Text(" "),
                nodes.inline("", f"({row['note']})", classes=["note"]),
            ]
        values = [
            number(row[key], row["unit"]) for key in ("peer_value", "numsolve_value")
        ]
        errors = [
            "–" if row[key] is None else f"{row[key]:.0e}"
            for key in ("peer_error", "numsolve_error")
        ]
        cells = [
            case,
            nodes.Text(row["peer"]),
            *map(nodes.Text, values),
            bar(row["ratio"]),
        ]
        body += line([*cells, *map(nodes.Text, errors)])
    return result


def line(cells: list[nodes.Node]) -> nodes.row:
    """One row of a table."""
    row = nodes.row()
    for cell in cells:
        paragraph = nodes.paragraph()
        paragraph += cell
        entry = nodes.entry()
        entry += paragraph
        row += entry
    return row


#: a table with more rows is folded
LONG = 20


def folded(rows: list[dict], heading: str) -> list[nodes.Node]:
    """One metric's table under its heading; long ones, and first calls, open on a click."""
    if len(rows) <= LONG and rows[0]["metric"] != FIRST_CALL:
        return [nodes.rubric(text=heading), table(rows)]
    summary = f"<details><summary>{html.escape(heading)}: {len(rows)} rows</summary>"
    return [
        nodes.raw("", summary, format="html"),
        table(rows),
        nodes.raw("", "</details>", format="html"),
    ]


def setting(about: dict) -> str:
    """When, where and with what a file was measured."""
    threads = "one thread" if about["threads"] == 1 else f"{about['threads']} threads"
    versions = ", ".join(
        f"{name} {version}" for name, version in about["versions"].items()
    )
    commit = f", commit {about['commit'][:9]}" if "commit" in about else ""
    device = f"{about['device']}, " if "device" in about else ""
    return (
        f"Measured {about['date']}{commit}, {device}{about['processor']}, {threads}, "
        f"Python {about['python']}; {versions}."
    )


def bullets(paragraphs: list[nodes.paragraph]) -> nodes.bullet_list:
    """A list of one paragraph each."""
    items = nodes.bullet_list()
    for paragraph in paragraphs:
        item = nodes.list_item()
        item += paragraph
        items += item
    return items


def losses(files: list[dict]) -> list[nodes.Node]:
    """Where a peer is better, at the head of an area."""
    lost = benchmark_rows.losses(files)
    if not lost:
        return [nodes.paragraph(text="No peer wins in the rows of this area.")]
    paragraphs = [nodes.paragraph(text=text) for text in lost]
    return [nodes.rubric(text="Where a peer wins"), bullets(paragraphs)]


def growth(files: list[dict], name: str) -> list[nodes.Node]:
    """The plots of time against size, and their slopes in words."""
    every = [one for about in files for one in benchmark_rows.series(about)]
    if not every:
        return []
    import benchmark_plots  # Matplotlib, which only this page needs

    return [
        nodes.rubric(text="How the time grows"),
        nodes.raw("", benchmark_plots.draw(every, name), format="html"),
        bullets([slopes(one) for one in every]),
    ]


def slopes(one: benchmark_rows.Series) -> nodes.paragraph:
    """The powers of the size with which the sides of a series grow."""
    text = nodes.paragraph(
        text=f"{one.name}, {one.metric} ({len(one.sizes())} sizes): "
    )
    for place, (side, power) in enumerate(benchmark_rows.powers(one).items()):
        text += nodes.Text(f", {side} N" if place else f"{side} grows as N")
        text += nodes.superscript(text=f"{power:.1f}")
    return text


class BenchmarkTables(SphinxDirective):
    """Draw every result file of this folder."""

    def run(self) -> list[nodes.Node]:
        """Build one section for each area: losses, growth, one table for each metric of each file."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for source in (
            *folder.glob("*.json"),
            *Path(__file__).parent.glob("benchmark*.py"),
        ):
            self.env.note_dependency(str(source))
        sections: list[nodes.Node] = []
        for name, files in benchmark_rows.by_area(folder).items():
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(text=benchmark_rows.title(name))
            contents = [about for _, about in files]
            section += losses(contents)
            section += summary(contents)
            section += growth(contents, name)
            for stem, about in files:
                part = section
                if len(files) > 1:
                    part = nodes.section(
                        ids=[f"rows-of-{nodes.make_id(stem)}"],
                        names=[f"rows of {stem}"],
                    )
                    part += nodes.title(text=f"{stem}.py")
                    section += part
                part += nodes.paragraph(text=setting(about))
                for metric in dict.fromkeys(row["metric"] for row in about["rows"]):
                    rows = [row for row in about["rows"] if row["metric"] == metric]
                    part += folded(rows, metric[:1].upper() + metric[1:])
            sections.append(section)
        return sections or [nodes.paragraph(text="No results have been recorded yet.")]


class MeasuredRows(SphinxDirective):
    """A table of the cases of one file and one peer: their figure and ours for each metric."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the rows in their order; a case that lacks a metric is an error of the build."""
        stem, other = (part.strip() for part in self.arguments[0].split(";"))
        path = Path(self.env.srcdir) / "benchmarks" / f"{stem}.json"
        self.env.note_dependency(str(path))
        about = json.loads(path.read_text())
        first, *columns = self.content
        names, metrics = zip(*(line.split(";") for line in columns), strict=True)
        heads = (first, *map(str.strip, names))
        result, body = ruled(heads, (30,) + (16,) * len(metrics))
        cases = [
            row["case"]
            for row in about["rows"]
            if benchmark_rows.peer(row).endswith(other)
        ]
        for case in sorted(
            dict.fromkeys(cases), key=lambda case: case.rpartition(", ")[0]
        ):
            rows = [
                benchmark_rows.find(about, case, other, metric.strip())
                for metric in metrics
            ]
            figures = [
                f"{benchmark_rows.theirs(row)}, {benchmark_rows.ours(row)}"
                for row in rows
            ]
            body += line([nodes.Text(text) for text in (case, *figures)])
        return [result]


class Measured(SphinxRole):
    """Quote one row of a result file."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Read the row; a row that is not there is a warning of the build."""
        folder = Path(self.env.srcdir) / "benchmarks"
        self.env.note_dependency(str(folder / f"{self.text.partition(';')[0]}.json"))
        try:
            return [nodes.Text(benchmark_rows.say(self.name, self.text, folder))], []
        except (OSError, ValueError) as error:
            message = self.inliner.reporter.warning(
                f"{self.name}: {error}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [
                message
            ]


def setup(app) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    app.add_directive("measured-rows", MeasuredRows)
    for name in benchmark_rows.ROLES:
        app.add_role(name, Measured())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
