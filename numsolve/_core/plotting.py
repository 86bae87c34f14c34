"""The few matplotlib helpers that the `.plot()` methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from .extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .history import History
    from .typing import LineStyle


def new_axes(ax: Axes | None = None, **settings: Any) -> Axes:
    """Return `ax`, or the axes of a new figure."""
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", "plotting a result")
    axes: Axes = pyplot.subplots(layout="constrained", **settings)[1]
    return axes


def new_figure(rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Figure, Any]:
    """Return a new figure and its array of axes."""
    pyplot = require("matplotlib.pyplot", "plotting a result")
    figure, axes = pyplot.subplots(rows, columns, layout="constrained", squeeze=False, **settings)
    return figure, axes


def plot_history(
    history: History | None,
    *,
    ax: Axes | None = None,
    column: str = "residual",
    against: str = "iteration",
    **style: Unpack[LineStyle],
) -> Axes:
    """Draw a column of the history, on a logarithmic axis where its values allow it."""
    axes = new_axes(ax)
    if history is None or len(history) == 0:
        axes.text(0.5, 0.5, "no history", ha="center", transform=axes.transAxes)
        return axes
    x, y = history[against], history[column]
    line: dict[str, Any] = {"marker": "." if len(x) < 60 else "", "linewidth": 1.5, **style}
    axes.plot(x, y, **line)
    if np.any(y > 0) and not np.any(y < 0):
        axes.set_yscale("log")
    axes.set_xlabel(f"{against} (s)" if against == "seconds" else against)
    axes.set_ylabel(column)
    axes.grid(visible=True, alpha=0.3)
    return axes
