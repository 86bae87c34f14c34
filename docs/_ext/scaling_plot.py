"""The directive ``scaling-plot``: the model of ``benchmarks/peers/executors.py``, drawn over the workers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from docutils import nodes
from matplotlib.figure import Figure
from sphinx.util.docutils import SphinxDirective

TASK = "a task: to solve, to hand out"
#: Tasks of the work whose speed-up is drawn.
MANY = 10_000
ALT = "How many times faster than one process, over the number of workers, by the model"


def drawn(rows: list[dict]) -> str:
    """Speed-up over the number of workers as SVG: a panel for each work, a line for each executor."""
    rows = [row for row in rows if row["metric"] == TASK]
    works = list(dict.fromkeys(row["case"].rpartition(", ")[0] for row in rows))
    workers = np.unique(np.logspace(0, 3.5, 60).astype(int))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(works), squeeze=False)[0]
    for axes, work in zip(panels, works, strict=True):
        for row in (row for row in rows if row["case"].startswith(work)):
            w, h = row["peer_value"], row["numsolve_value"]
            times = MANY * h + np.ceil(MANY / workers) * w
            (line,) = axes.loglog(
                workers, MANY * w / times, label=row["case"].rpartition(", ")[2]
            )
            axes.axhline(w / h, color=line.get_color(), lw=0.8, ls=":")
        axes.loglog(workers, workers, color="0.7", lw=1, zorder=0)
        axes.set(title=work, xlabel="workers", ylabel="times faster than one process")
        axes.set_ylim(0.5, 3000)
        axes.legend(frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :].replace(
        "<svg ",
        f'<svg style="max-width: 100%; height: auto" role="img" aria-label="{ALT}" ',
        1,
    )


class ScalingPlot(SphinxDirective):
    """Draw the model from the stored figures."""

    def run(self) -> list[nodes.Node]:
        """Make the picture a part of the page."""
        path = Path(self.env.srcdir) / "benchmarks" / "executors.json"
        self.env.note_dependency(str(path))
        return [
            nodes.raw("", drawn(json.loads(path.read_text())["rows"]), format="html")
        ]


def setup(app) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("scaling-plot", ScalingPlot)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
