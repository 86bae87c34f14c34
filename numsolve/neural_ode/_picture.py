"""The anatomy of a solve: steps, errors, stiffness and rejections on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.arrays import to_host
from numsolve._core.plotting import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"h": "#3b6fb6", "error": "#c8553d", "stiffness": "#4d8b57", "rejected": "#7a7a7a"}


def plot_steps(result: Any, ax: Axes | None, sample: int, **style: Any) -> Axes:
    """Step sizes on the left axis; error and h S / stability size, both against 1, on the right one."""
    axes = new_axes(ax, figsize=(7.5, 4.0))

    def rows(name: str, count: str) -> Any:
        values, n = to_host(getattr(result, name)), to_host(getattr(result, count))
        if n.ndim:
            values, n = values[:, sample], n[sample]
        return values[: int(n)]

    t, h = rows("t", "naccepted"), rows("h", "naccepted")
    if not len(t):
        axes.text(0.5, 0.5, "no step was accepted", ha="center", transform=axes.transAxes)
        return axes
    edges = np.append(t, t[-1] + h[-1])
    sizes = np.abs(h)
    line = {"color": COLOURS["h"], "linewidth": 1.6, "label": "step size", **style}
    axes.plot(edges, np.append(sizes, sizes[-1]), drawstyle="steps-post", **line)
    at, tried = rows("rejected_t", "nrejected"), np.abs(rows("rejected_h", "nrejected"))
    if len(at):
        axes.plot(at, tried, "x", color=COLOURS["rejected"], markersize=5, label="rejected attempt")
    axes.set_yscale("log")
    axes.set_xlabel("t")
    axes.set_ylabel("step size", color=COLOURS["h"])
    axes.grid(visible=True, alpha=0.3)
    right = axes.twinx()
    middle = t + 0.5 * h
    right.plot(
        middle,
        rows("error_estimate", "naccepted"),
        ".-",
        color=COLOURS["error"],
        lw=1.0,
        label="scaled error",
    )
    limit = sizes * rows("stiffness", "naccepted") / result.stability_size
    if np.isfinite(limit).all():
        right.plot(middle, limit, ".-", color=COLOURS["stiffness"], lw=1.0, label="h S / stability size")
    right.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
    right.set_ylim(bottom=0.0)
    right.set_ylabel("part of what is allowed")
    handles = [*axes.get_lines(), *right.get_lines()[:-1]]
    axes.legend(
        handles,
        [str(line.get_label()) for line in handles],
        loc="lower center",
        ncols=4,
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        fontsize="small",
    )
    return axes
