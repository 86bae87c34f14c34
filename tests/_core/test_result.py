"""What a solver returns: it survives pickling, batches and tracing, and warns where the caller can see it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numsolve._core import result as result_module
from numsolve._core.result import (
    ConvergenceError,
    ConvergenceWarning,
    History,
    PrecisionWarning,
    Result,
    Status,
    caller_level,
    deliver,
)

FAILURES = [s for s in Status if s not in {Status.CONVERGED, Status.ROUNDING}]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PlanResult(Result):
    """A subclass with fields of its own, as the columns have them."""

    plan: Any = None
    value: Any = 0.0


def recorded(residuals=(1.0, 0.1, 0.01), **extra):
    history = History(extra)
    for i, residual in enumerate(residuals):
        history.append(i, residual, 0.5 * i, **{name: values[i] for name, values in extra.items()})
    return history


def register(cls, data):
    import jax

    meta = [f.name for f in dataclasses.fields(cls) if f.name not in data]
    jax.tree_util.register_dataclass(cls, data_fields=list(data), meta_fields=meta)
    return cls


@pytest.fixture(scope="module")
def jax_result():
    pytest.importorskip("jax")

    @dataclass(frozen=True, kw_only=True, eq=False, repr=False)
    class JaxResult(Result):
        fun: Any = None

    return register(JaxResult, ("x", "status", "nit", "residual", "fun"))


# -- status ----------------------------------------------------------------------------------------


def test_the_first_statuses_are_those_of_scipy_linprog():
    from scipy.optimize import linprog

    box = [(0, None)]
    infeasible = linprog([1.0], A_ub=[[1.0]], b_ub=[-1.0], bounds=box)
    unbounded = linprog([-1.0], bounds=box)
    solved = linprog([1.0], bounds=box)
    assert (solved.status, infeasible.status, unbounded.status) == (
        Status.CONVERGED,
        Status.INFEASIBLE,
        Status.UNBOUNDED,
    )
    assert [Status(k).name for k in range(5)] == [
        "CONVERGED",
        "MAXITER",
        "INFEASIBLE",
        "UNBOUNDED",
        "BREAKDOWN",
    ]


def test_every_failure_says_why_and_most_say_what_to_do():
    assert all(s.explanation.endswith(".") for s in Status)
    assert all(s.advice.endswith(".") for s in FAILURES if s is not Status.STOPPED)
    assert len({s.explanation for s in Status}) == len(Status)
    assert "maxiter" in Status.MAXITER.message


@pytest.mark.parametrize("status", list(Status))
def test_statuses_are_numbers_that_pickle(status):
    assert pickle.loads(pickle.dumps(status)) is status
    assert Status(int(status)) is status
    assert np.asarray(status).dtype.kind == "i"


# -- success and message ---------------------------------------------------------------------------


def same(status):
    return status


@pytest.mark.parametrize("kind", [int, same, np.int64, np.int8, np.asarray])
def test_success_and_message_follow_from_the_status_of_one_problem(kind):
    good = [s for s in Status if Result(x=0, status=kind(s)).success is True]
    assert good == [Status.CONVERGED, Status.ROUNDING]
    result = Result(x=0, status=kind(Status.MAXITER), detail="The dual is at 3.")
    assert result.message == f"The dual is at 3. {Status.MAXITER.message}"


def test_a_batch_has_an_array_of_successes_and_counts_its_endings():
    result = Result(x=np.zeros((4, 2)), status=np.array([0, 1, 5, 1]), nit=np.arange(4))
    np.testing.assert_array_equal(result.success, [True, False, True, False])
    assert result.message == "Batch: 1 CONVERGED, 2 MAXITER, 1 ROUNDING."
    with pytest.raises(ConvergenceError):
        result.raise_for_status()
    whole = Result(x=0, status=np.array([0, 5]))
    assert whole.raise_for_status() is whole
    empty = Result(x=np.zeros((0, 2)), status=np.zeros(0, dtype=int))
    assert empty.raise_for_status().message == "Batch: empty."


def test_a_traced_status_gives_a_traced_success(jax_result):
    import jax
    import jax.numpy as jnp

    seen = {}

    @jax.jit
    def solve(a):
        status = jnp.where(a > 0, Status.CONVERGED.value, Status.MAXITER.value)
        result = jax_result(x=jnp.sqrt(jnp.abs(a)), status=status, nit=jnp.asarray(3), residual=a)
        seen.update(repr=repr(result), message=result.message)
        with pytest.raises(TypeError):  # nobody knows yet: an error is better than a guess
            result.raise_for_status()
        return result, result.success

    result, success = solve(4.0)
    assert isinstance(result, jax_result)
    assert bool(success)
    assert result.success is True
    assert float(result.x) == 2.0
    assert result.message == Status.CONVERGED.message
    assert result.raise_for_status() is result
    assert len(seen["repr"].splitlines()) == len(result.keys()) - 2
    assert seen["message"] == ""

    failed, success = solve(-4.0)
    assert not success
    with pytest.raises(ConvergenceError, match="maxiter"):
        failed.raise_for_status()

    batch, _ = jax.vmap(solve)(jnp.array([1.0, -1.0, 4.0]))
    np.testing.assert_array_equal(batch.success, [True, False, True])
    assert batch.message == "Batch: 2 CONVERGED, 1 MAXITER."
    assert "x: <" in repr(batch)


def test_a_pytree_of_placeholders_still_has_a_repr(jax_result):
    import jax

    holes = jax.tree_util.tree_map(lambda _: object(), jax_result(x=1.0, fun=2.0))
    assert repr(holes).startswith("JaxResult\n")


# -- any x -----------------------------------------------------------------------------------------

ANY_X = {
    "array": np.arange(3.0),
    "tuple": (np.arange(3.0), np.zeros((2, 2))),
    "dict": {"w": np.ones(2), "b": 1.0},
    "number": 2.5,
    "none": None,
}


@pytest.mark.parametrize("x", ANY_X.values(), ids=ANY_X)
@pytest.mark.parametrize("cls", [Result, PlanResult])
def test_results_pickle_with_any_x(cls, x):
    result = cls(x=x, status=Status.MAXITER, nit=3, residual=0.01, history=recorded(gap=[3.0, 2.0, 1.0]))
    back = pickle.loads(pickle.dumps(result))
    assert type(back) is cls
    assert back.status is Status.MAXITER
    assert repr(back) == repr(result)
    np.testing.assert_array_equal(back.history.gap, [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(back.history.iteration, [0, 1, 2])
    back.history.append(3, 0.001, 2.0, gap=0.5)
    assert len(result.history) == 3
    assert repr(copy.deepcopy(result)) == repr(result)


def test_results_pickle_with_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    result = Result(x=jnp.arange(3.0), status=jnp.asarray(0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).x, [0, 1, 2])


def test_results_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Result(x=1).x = 2


def test_mapping_access():
    result = PlanResult(x=1.5, nit=7, plan="p", value=2.0)
    assert list(result.keys())[:4] == ["x", "success", "message", "status"]
    as_dict = dict(result)
    assert as_dict == {name: getattr(result, name) for name in list(result.keys())}
    assert as_dict["success"] is True
    assert result["plan"] == "p"
    assert "value" in result
    assert "message" in result
    for name in ("raise_for_status", "nonsense", "_PACKAGE", 3):
        assert name not in result
    with pytest.raises(KeyError, match="no field 'raise_for_status'; there are x, success, message"):
        result["raise_for_status"]


# -- repr ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(10**6),
        (np.zeros(10**5),) * 3,
        tuple(range(10**4)),
        [np.zeros(50)] * 1000,
        {"w": np.zeros((1000, 1000)), "b": [0.0] * 10**5},
        {k: np.zeros(9) for k in range(1000)},
        "long\ntext " * 3,
        object(),
    ],
    ids=lambda x: type(x).__name__,
)
def test_repr_is_one_short_line_for_each_field(x):
    result = PlanResult(x=x, plan=np.zeros((500, 500)), detail="two\nlines", nit=np.int64(12345678))
    lines = repr(result).splitlines()
    assert lines[0] == "PlanResult"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        *("x", "success", "message", "nit", "residual", "plan", "value")
    ]
    assert max(map(len, lines)) < 250
    assert "nit: 12345678" in repr(result)
    assert "plan: <ndarray of shape (500, 500), float64>" in repr(result)


def test_repr_of_scalars_shows_their_values():
    text = repr(Result(x=np.float64(1) / 3, status=np.int64(1), nit=np.array(7), residual=np.float32(0.5)))
    for line in ("x: 0.333333", "success: False", "nit: 7", "residual: 0.5"):
        assert line in text
    assert "x: 1+2j" in repr(Result(x=np.array(1 + 2j)))
    assert "success: True" in repr(Result(x=np.ones(2), status=np.array(0)))


def test_repr_of_a_batch():
    text = repr(Result(x=np.zeros((9, 2)), status=np.array([0, 8] * 3), nit=np.arange(6)))
    assert "message: Batch: 3 CONVERGED, 3 NONFINITE." in text
    assert "nit: <ndarray of shape (6,), int64>" in text


# -- raise_for_status ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", FAILURES)
def test_failures_raise_with_the_result(status):
    result = PlanResult(x=np.ones(2), status=status, history=recorded())
    with pytest.raises(ConvergenceError) as caught:
        result.raise_for_status()
    assert caught.value.result is result
    assert str(caught.value) == status.message
    back = pickle.loads(pickle.dumps(caught.value))
    assert str(back) == status.message
    np.testing.assert_array_equal(back.result.x, result.x)


def test_success_raises_nothing():
    for status in (Status.CONVERGED, Status.ROUNDING):
        result = Result(x=1, status=status)
        assert result.raise_for_status() is result


# -- warnings --------------------------------------------------------------------------------------


def package_function(source, name):
    """A function whose frame looks as if it came from a file of the package."""
    path = str(Path(result_module.__file__).parents[1] / "column" / f"{name}.py")
    space: dict[str, Any] = {"deliver": deliver}
    exec(compile(source, path, "exec"), space)
    return space[name]


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_solve_warns_at_the_callers_line(status):
    result = Result(x=1, status=status)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        deliver(result)
    if status is Status.STOPPED:  # it was asked for
        assert seen == []
        return
    (warning,) = seen
    assert warning.category is ConvergenceWarning
    assert warning.filename == __file__
    assert str(warning.message) == status.message


@pytest.mark.parametrize("status", [0, 5, 9, np.array([0, 5, 9]), np.zeros(0, dtype=int)])
def test_nothing_is_said_where_nothing_is_wrong(status):
    deliver(Result(x=1, status=status))  # warnings are errors here


def test_frames_of_the_package_are_skipped():
    inner = package_function("def inner(result):\n    deliver(result)\n", "inner")
    middle = package_function("def middle(f, result):\n    return [f(result) for _ in '1']\n", "middle")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        middle(inner, Result(x=1, status=np.array([0, 1])))
    (warning,) = seen
    assert (warning.filename, warning.lineno) == (__file__, line)
    assert str(warning.message) == "Batch: 1 CONVERGED, 1 MAXITER."


def test_the_level_outside_the_package_is_one():
    assert caller_level() == 1


def test_warnings_are_user_warnings():
    assert issubclass(ConvergenceWarning, UserWarning)
    assert issubclass(PrecisionWarning, UserWarning)
    assert not issubclass(PrecisionWarning, ConvergenceWarning)


# -- plot ------------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def test_plot_draws_the_residuals_on_a_logarithmic_axis(pyplot):
    ax = PlanResult(x=1, history=recorded()).plot(color="red")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 0.1, 0.01])
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    assert line.get_color() == "red"
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "iteration", "residual")


@pytest.mark.parametrize("history", [None, History()])
@pytest.mark.parametrize("status", [1, np.array([0, 1])])
def test_plot_without_history_says_so(pyplot, history, status):
    axes = pyplot.subplots()[1]
    assert Result(x=1, status=status, history=history).plot(ax=axes) is axes
    assert axes.texts[0].get_text() == "no history"


# -- history ---------------------------------------------------------------------------------------


def test_rows_come_singly_and_in_blocks():
    history = History(["gap", "cost"])
    history.append(0, 1.0, 0.0, cost=2.0)
    history.extend([1, 2], np.array([0.5, 0.25]), [0.1, 0.2], gap=np.array([3, 4], dtype=np.float32))
    history.append(3, 0.125, 0.3, gap=5.0, cost=1.0)
    assert len(history) == 4
    assert history.iteration.dtype == np.int64
    np.testing.assert_array_equal(history.iteration, [0, 1, 2, 3])
    np.testing.assert_array_equal(history.residual, [1, 0.5, 0.25, 0.125])
    np.testing.assert_array_equal(history.seconds, [0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(history.gap, [np.nan, 3, 4, 5])
    np.testing.assert_array_equal(history["cost"], [2, np.nan, np.nan, 1])


def test_a_history_reads_like_a_mapping_of_columns():
    history = recorded(gap=[3.0, 2.0, 1.0])
    as_dict = dict(history)
    assert list(as_dict) == list(history) == ["iteration", "residual", "seconds", "gap"]
    assert {len(column) for column in as_dict.values()} == {3}
    assert "gap" in history
    assert "gap" in dir(history)
    assert repr(history) == "History(3 rows: iteration, residual, seconds, gap)"
    with pytest.raises(KeyError):
        history["dual"]
    with pytest.raises(AttributeError, match="no column 'dual'"):
        history.dual  # noqa: B018


def test_columns_are_copies():
    history = recorded()
    history.residual[0] = 99.0
    assert history.residual[0] == 1.0
    column = history.residual
    history.append(3, 0.001, 3.0)  # the array may grow while somebody holds a column
    assert len(column) == 3


def test_unknown_columns_are_refused():
    history = History(["gap"])
    with pytest.raises(TypeError, match=r"no column \['dual'\].*gap"):
        history.append(0, 1.0, 0.0, dual=1.0)
    history = History(["gap"])
    with pytest.raises(TypeError, match=r"no column \['dual'\].*gap"):
        history.extend([0], [1.0], [0.0], dual=[1.0])
    assert len(history) == 0


@pytest.mark.parametrize("wrong", [{"gap": [1.0, 2.0, 3.0]}, {"gap": 1.0}, {"gap": [[1.0], [2.0]]}])
def test_a_block_of_wrong_length_changes_nothing(wrong):
    history = History(["gap"])
    with pytest.raises(ValueError, match="'gap' got shape"):
        history.extend([0, 1], [1.0, 0.5], [0.0, 0.1], **wrong)
    assert {len(history[name]) for name in history} == {0}


def test_trim_drops_a_torn_row():
    history = recorded(gap=[3.0, 2.0, 1.0])
    history._columns["iteration"].append(3)
    history._columns["residual"].append(0.001)
    history.trim()
    assert {len(history[name]) for name in history} == {3}
    np.testing.assert_array_equal(history.residual, [1.0, 0.1, 0.01])
