"""The helpers that the plots of results share."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve._core.plotting import new_axes, new_figure, plot_history
from numsolve._core.result import History

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def history_with(residuals, **extra):
    history = History(extra)
    history.extend(
        np.arange(len(residuals)), np.asarray(residuals, float), np.linspace(0, 2, len(residuals)), **extra
    )
    return history


def test_axes_are_those_given_or_new():
    axes = pyplot.subplots()[1]
    assert new_axes(axes) is axes
    assert new_axes().figure is not axes.figure
    figure, grid = new_figure(2, 3)
    assert grid.shape == (2, 3)
    assert new_figure()[1].shape == (1, 1)
    assert grid[0, 0].figure is figure


@pytest.mark.parametrize(
    ("residuals", "scale"),
    [
        ([1.0, 0.1, 0.01], "log"),
        ([1.0, 0.1, 0.0], "log"),
        ([1.0, np.nan, 0.1], "log"),
        ([1.0, np.inf], "log"),
        ([1.0, -0.5], "linear"),
        ([0.0], "linear"),
        ([np.nan], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_the_values_allow_it(residuals, scale):
    axes = plot_history(history_with(residuals))
    axes.figure.canvas.draw()  # a warning would be an error
    assert axes.get_yscale() == scale
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), residuals)


def test_any_column_against_any_other():
    axes = plot_history(
        history_with([1.0, 0.5], gap=[3.0, 2.0]), column="gap", against="seconds", label="mine"
    )
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0.0, 2.0])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3.0, 2.0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("seconds (s)", "gap")
    assert axes.lines[0].get_label() == "mine"
    with pytest.raises(KeyError, match="dual"):
        plot_history(history_with([1.0]), column="dual")


def test_points_are_marked_only_where_they_are_few():
    few, many = (plot_history(history_with(np.ones(n))).lines[0].get_marker() for n in (10, 100))
    assert few == "."
    assert many in {"", "None"}


def test_no_history_is_said_in_words():
    assert plot_history(None).texts[0].get_text() == "no history"
