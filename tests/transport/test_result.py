"""What a transport result tells, draws and keeps."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from numsolve._core.result import ConvergenceError, History, Status
from numsolve.transport import TransportResult

rng = np.random.default_rng(11)


def result_of(plan, **fields):
    plan = None if plan is None else np.asarray(plan, dtype=float)
    n, m = (2, 3) if plan is None else plan.shape
    history = History(("weight",))
    for k in range(4):
        history.append(k, 10.0**-k, 0.1 * k, weight=1.0)
    common = {"x": (np.zeros(n), np.ones(m)), "nit": 3, "residual": 1e-3, "history": history}
    return TransportResult(**{**common, "plan": plan, "reg": 0.1, "reg_path": (0.4, 0.1), **fields})


def test_x_is_called_potentials_and_the_residual_marginal_error():
    r = result_of(np.eye(2))
    assert r.potentials is r.x
    assert r.marginal_error == r.residual == 1e-3
    assert r.success
    assert r["plan"] is r.plan


# -- the barycentric map ---------------------------------------------------------------------------


def test_the_map_of_the_independent_coupling_sends_everything_to_the_mean():
    a, b, Y = rng.random(4), rng.random(6), rng.normal(size=(6, 3))
    moved = result_of(np.outer(a, b)).barycentric_map(Y)
    np.testing.assert_allclose(moved, np.tile(b @ Y / b.sum(), (4, 1)), rtol=1e-13)


def test_the_map_of_a_permutation_permutes():
    order = rng.permutation(5)
    P = np.zeros((5, 5))
    P[np.arange(5), order] = 0.2
    Y = rng.normal(size=5)
    np.testing.assert_allclose(result_of(P).barycentric_map(Y), Y[order], rtol=1e-15)


def test_the_map_is_affine_stays_in_the_hull_and_keeps_the_mean():
    P = rng.random((4, 6))
    r, Y = result_of(P), rng.normal(size=(6, 2))
    moved = r.barycentric_map(Y)
    np.testing.assert_allclose(r.barycentric_map(3 * Y + [1, -2]), 3 * moved + [1, -2], rtol=1e-12)
    assert (moved >= Y.min(axis=0)).all()
    assert (moved <= Y.max(axis=0)).all()
    np.testing.assert_allclose(P.sum(axis=1) @ moved, P.sum(axis=0) @ Y, rtol=1e-12)


def test_the_map_of_a_line_and_of_a_column_agree():
    r, y = result_of(rng.random((4, 6))), rng.normal(size=6)
    np.testing.assert_allclose(r.barycentric_map(y[:, None])[:, 0], r.barycentric_map(y), rtol=1e-14)
    assert r.barycentric_map([1, 2, 3, 4, 5, 6]).shape == (4,)


def test_a_source_without_weight_goes_nowhere():
    moved = result_of([[0.5, 0.5], [0, 0]]).barycentric_map([[1.0], [3.0]])
    assert moved[0, 0] == 2.0
    assert np.isnan(moved[1]).all()


def test_the_map_keeps_single_precision():
    r = result_of(np.eye(2))
    P = r.plan.astype(np.float32)
    assert TransportResult(x=r.x, plan=P).barycentric_map([1.0, 2.0]).dtype == np.float32


BAD_TARGETS = {
    "no plan": (None, np.ones(3), ValueError, "return_plan=True"),
    "too few": (np.ones((2, 3)), np.ones(2), ValueError, "Y must have 3 rows"),
    "transposed": (np.ones((2, 3)), np.ones((2, 3)), ValueError, "Y must have 3 rows"),
    "three axes": (np.ones((2, 3)), np.ones((3, 1, 1)), ValueError, "Y must be 1-D or 2-D"),
    "nan": (np.ones((2, 3)), [1, np.nan, 2], ValueError, "Y must hold finite numbers, got nan at index 1"),
    "complex": (np.ones((2, 3)), [1j, 1, 2], TypeError, "Y is complex"),
    "words": (np.ones((2, 3)), ["a", "b", "c"], TypeError, "Y has dtype"),
}


@pytest.mark.parametrize(("plan", "Y", "kind", "fragment"), BAD_TARGETS.values(), ids=BAD_TARGETS.keys())
def test_the_map_refuses_what_does_not_fit(plan, Y, kind, fragment):
    with pytest.raises(kind, match=fragment):
        result_of(plan).barycentric_map(Y)


# -- for the eye -----------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def test_the_plan_is_drawn_as_an_image_of_its_square_root(pyplot):
    P = rng.random((3, 5))
    axes = result_of(P).plot(what="plan")
    (image,) = axes.get_images()
    np.testing.assert_allclose(image.get_array(), np.sqrt(P))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("target", "source")
    axes.figure.canvas.draw()


@pytest.mark.parametrize("against", ["iteration", "seconds"])
def test_the_convergence_is_drawn_on_a_logarithmic_axis(pyplot, against):
    r = result_of(np.eye(2))
    axes = r.plot(what="convergence", against=against, label="ours")
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_xdata(), r.history[against])
    np.testing.assert_allclose(line.get_ydata(), r.history.residual)
    assert line.get_label() == "ours"
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "marginal error"
    axes.figure.canvas.draw()


def test_a_new_figure_shows_both_and_given_axes_the_plan(pyplot):
    r = result_of(np.eye(2))
    first = r.plot()
    drawn = [axes for axes in first.figure.axes if axes.get_images() or axes.get_lines()]
    assert len(drawn) >= 2
    assert drawn[0] is first
    mine = pyplot.subplots()[1]
    assert r.plot(mine, cmap="viridis") is mine
    assert mine.get_images()[0].get_cmap().name == "viridis"


def test_without_a_plan_the_convergence_is_drawn(pyplot):
    axes = result_of(None).plot()
    assert axes.get_ylabel() == "marginal error"
    assert len(axes.get_lines()) == 1


def test_an_unknown_picture_is_refused():
    with pytest.raises(ValueError, match="what must be one of 'plan', 'convergence'; got 'potential'"):
        result_of(np.eye(2)).plot(what="potential")


def test_the_representation_is_short_and_tells_the_values():
    text = repr(result_of(rng.random((500, 500)), value=-0.25, value_linear=0.125))
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) < 120
    assert text.startswith("TransportResult\n")
    assert "-0.25" in text
    assert "shape (500, 500)" in text


# -- kept and judged -------------------------------------------------------------------------------


def test_a_result_survives_pickling():
    r = result_of(rng.random((3, 4)), status=Status.MAXITER, value=2.5, nsinkhorn=7, detail="Words.")
    back = pickle.loads(pickle.dumps(r))
    assert np.array_equal(back.plan, r.plan)
    assert all(np.array_equal(x, y) for x, y in zip(back.potentials, r.potentials, strict=True))
    assert back.status is Status.MAXITER
    assert (back.value, back.nsinkhorn, back.reg_path, back.message) == (2.5, 7, (0.4, 0.1), r.message)
    assert np.array_equal(back.history.weight, r.history.weight)


def test_a_failure_can_be_raised_and_carries_its_result():
    good, bad = result_of(np.eye(2)), result_of(np.eye(2), status=Status.INFEASIBLE)
    assert good.raise_for_status() is good
    with pytest.raises(ConvergenceError, match="no feasible point") as caught:
        bad.raise_for_status()
    assert caught.value.result is bad
