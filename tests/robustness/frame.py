"""The frame of the robustness sweep: random calls into every public function, and one rule.

**The rule.** A call ends in a clear error, or in a right answer: never in a crash, a hang or a quiet NaN.

- An error is a ValueError or a TypeError that numsolve itself raises and that names an argument (or the
  ParallelError of many problems, with such a cause).
- A result that says `success` holds finite numbers, came without a RuntimeWarning, and stands before a judge
  who computes the truth by other means. One that does not has a finite best iterate and has warned.
- No argument is modified, and no call takes more than a few seconds.

**A sweep of an area** is a table from public names to functions ``make(draw) -> Call``: each makes a call
that is valid, and its judge. The frame then dresses the arguments (the same numbers as a list, in another
order of memory, byte-swapped, of another type, ...) and in one call of two spoils one of them.

    pytest tests/robustness                          # CALLS=2000, the same ones each time
    make sweep CALLS=100000                          # other ones each time, each fault told once
    CALLS=5000 SWEEP_SEED=7 pytest tests/robustness -k log_iv
"""

from __future__ import annotations

import copy
import faulthandler
import importlib
import inspect
import os
import re
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from robustness.arguments import Draw, dress, spoil

from numsolve import ConvergenceWarning, Result, Status
from numsolve._core.parallel import ParallelError
from numsolve._core.result import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AREAS = 10
CALLS = int(os.environ.get("CALLS", "2000"))
SEED = os.environ.get("SWEEP_SEED")  #: given: other calls than those of CI, and every fault is collected
HANGS = 300.0  #: seconds after which a sweep gives a call, and its process, up
SECONDS = 5.0  #: processor time of one call of a small size, compilation not counted


class Fault(AssertionError):  # noqa: N818
    """The rule is broken."""


@dataclass
class Call:
    """A call, and the judge of its answer.

    ``judge(result, *args, **settings)`` gets the arguments as the function got them, and asserts.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    settings: dict[str, Any]
    judge: Callable[..., None]
    nan: bool = False  #: whether NaN may come in, and out: the judge looks
    complex: tuple[int, ...] = ()  #: arguments that may be complex
    keep: tuple[str, ...] = ()  #: settings that are left as they are
    writes: tuple[int, ...] = ()  #: arguments that the function writes to
    partial: bool = False  #: whether x may say by NaN or inf what was not found, or has no weight
    raises: tuple[type[Exception], ...] = ()  #: what its documentation says that it raises besides
    warns: bool = False  #: whether, for want of a Result, a RuntimeWarning tells that the answer is not right
    spoiled: str = ""  #: what was done to make it invalid
    dressed: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        with np.printoptions(precision=17, threshold=200, floatmode="unique"):
            given = [_told(a) for a in self.args] + [f"{k}={_told(v)}" for k, v in self.settings.items()]
        what = f"{self.dressed} spoiled: {self.spoiled or 'no'}"
        return f"{self.function.__name__}({', '.join(given)})\n  # {what}"


def trouble(d: Draw, call: Call) -> Call:
    """The call with some arguments in another dress and, in one case of two, one of them spoiled."""
    places: list[Any] = [k for k in range(len(call.args)) if k not in call.writes]
    places += [k for k in call.settings if k not in call.keep]
    given = dict(enumerate(call.args)) | call.settings
    for k in places:
        if d.seldom(3):
            given[k], how = _changed(dress, d, given[k])
            call.dressed += [f"{k}: {how}"] * bool(how)
    if places and d.seldom(2):
        k = d.pick(*places)
        given[k], how = _changed(spoil, d, call.settings[k] if k in call.settings else call.args[k])
        call.spoiled = f"{k}: {how}" if how else ""
    call.args = tuple(given[k] for k in range(len(call.args)))
    call.settings = {k: given[k] for k in call.settings}
    return call


def _changed(change: Callable[[Draw, Any], tuple[Any, str]], d: Draw, x: Any) -> tuple[Any, str]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what overflows here, and of np.matrix itself
        try:
            return change(d, x)
        except (ArithmeticError, TypeError, ValueError):  # there is no such change of this one
            return x, ""


# -- the rule ----------------------------------------------------------------------------------------


def obey(call: Call) -> None:
    """Make the call and hold it to the rule."""
    before = copy.deepcopy([_content(v) for v in (*call.args, *call.settings.values())])
    names = [n for n in inspect.signature(call.function).parameters if n != "settings"] + list(call.settings)
    began = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call.function(*call.args, **call.settings)
        except (ValueError, TypeError, ParallelError) as error:
            if isinstance(error, call.raises):
                return
            cause = error.__cause__ if isinstance(error, ParallelError) else error
            _clear(cause, names)
            if not (call.spoiled or call.dressed):
                raise Fault(f"a valid call was refused: {error!r}") from error
            return
        except call.raises:
            return
        except Exception as error:
            raise Fault(f"{type(error).__name__} came out: {error}") from error
    if time.process_time() - began > SECONDS:
        began = time.process_time()  # what was compiled is not counted
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.function(*call.args, **call.settings)
        if time.process_time() - began > SECONDS:
            raise Fault(f"it took {time.process_time() - began:.1f} s")
    if not call.writes:
        after = [_content(v) for v in (*call.args, *call.settings.values())]
        if not all(_same(x, y) for x, y in zip(before, after, strict=True)):
            raise Fault("an argument was modified")
    if call.warns and any(w.category is RuntimeWarning and w.filename == __file__ for w in caught):
        return
    usual = (UserWarning, PendingDeprecationWarning)
    foreign = [w for w in caught if not (issubclass(w.category, usual) or _of_a_user(w.filename))]
    if foreign:
        raise Fault(
            f"{foreign[0].category.__name__}: {foreign[0].message} ({Path(foreign[0].filename).name})"
        )
    if not call.nan:
        numbers = [_numbers(v) for v in (*call.args, *call.settings.values())]
        if any(np.isnan(x).any() for x in numbers):
            raise Fault("a NaN was taken")
        real = [x for k, x in enumerate(numbers) if k not in call.complex]
        if any(x.dtype.kind == "c" and (x.imag != 0).any() for x in real):
            raise Fault("a complex number was taken")
    if isinstance(result, Result):
        _honest(call, result, caught)
        if not np.all(result.success):
            return
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call.judge(result, *call.args, **call.settings)


def _clear(error: Any, names: list[str]) -> None:
    if not isinstance(error, ValueError | TypeError):
        raise Fault(f"{type(error).__name__} came out of a task: {error}") from error
    last = traceback.extract_tb(error.__traceback__)[-1]
    if _of_a_user(last.filename) or "required positional argument" in str(error):
        return
    if not last.filename.startswith(PACKAGE):
        raise Fault(f"an error from inside {Path(last.filename).name}:{last.lineno}: {error!r}") from error
    if not any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names):
        raise Fault(f"the error names no argument: {error!r}") from error


def _of_a_user(filename: str) -> bool:
    """Whether it is the code of a function that was handed over: what it raises or says passes through."""
    path = Path(filename)
    return path.name == "problems.py" or (path.parent == Path(__file__).parent and path.name != "frame.py")


def _honest(call: Call, result: Result, caught: list[Any]) -> None:
    good = bool(np.all(result.success))
    for part in result.x if isinstance(result.x, tuple | list) else (result.x,):
        nothing = not good and (np.all(result.nit == 0) or result.status is Status.UNBOUNDED)
        if not (call.partial or nothing or np.isfinite(_numbers(part)).all()):
            raise Fault(f"x is not finite, and the status {result.status!r}")
    if not good and not any(issubclass(w.category, ConvergenceWarning) for w in caught):
        raise Fault(f"a failure without a warning: {result.status!r}")
    if good and result.history is not None and np.isnan(np.asarray(result.residual, float)).any():
        raise Fault("a success with a residual that is NaN")


def drive(make: Callable[[Draw], Call], calls: int) -> None:
    """Make calls, each under the rule; in a sweep all faults are collected, each kind once."""
    faults: dict[str, str] = {}
    record = os.environ.get("SWEEP_RECORD")
    if record:
        Path(record).mkdir(parents=True, exist_ok=True)

    @st.composite
    def some(draw: Callable[[Any], Any]) -> Call:
        d = Draw(draw)
        return trouble(d, make(d))

    def each(call: Call) -> None:
        if record:  # the last call is known also after a crash
            Path(record, f"{os.getpid()}.txt").write_text(repr(call))
        if SEED is None:
            obey(call)
            return
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            told = repr(call)
            obey(call)
        except Exception as error:
            kind = f"{type(error).__name__}: {re.sub('[-0-9.e+]+', '#', str(error))[:90]}"
            if kind not in faults:
                faults[kind] = f"{told}\n{''.join(traceback.format_exception(error))}"
                if record:
                    with Path(record, "faults.txt").open("a") as file:
                        file.write(f"{faults[kind]}\n\n")
        finally:
            faulthandler.cancel_dump_traceback_later()

    run = settings(
        max_examples=calls,
        deadline=None,
        database=None,
        derandomize=SEED is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if SEED else [Phase.generate, Phase.shrink],
    )(given(some())(each))
    if SEED is not None:
        run = seed(int(SEED))(run)
    run()
    if faults:
        pytest.fail(f"{len(faults)} kinds of fault\n\n" + "\n\n".join(faults.values()), pytrace=False)


def sweep(
    area: str,
    makers: Mapping[str, Callable[[Draw], Call]],
    *,
    without: Mapping[str, str],
    seldom: tuple[str, ...] = (),
) -> type:
    """The tests of an area: `without` says why a name has no calls, `seldom` lists expensive names."""
    weight = {name: 0.1 if name in seldom else 1.0 for name in makers}

    class Sweep:
        def test_every_public_name_is_called(self) -> None:
            module = importlib.import_module(f"numsolve.{area}")
            public = {n for n in module.__all__ if callable(getattr(module, n)) and not _is_result(module, n)}
            assert public == {*makers, *without} - {"optimality", "problems"}

        @pytest.mark.parametrize("name", sorted(makers))
        def test_a_clear_error_or_a_right_answer(self, name: str) -> None:
            share = weight[name] / sum(weight.values())
            drive(makers[name], max(2, round(CALLS / AREAS * share)))

    return Sweep


# -- small ones --------------------------------------------------------------------------------------


def close(got: Any, truth: Any, rtol: float, atol: float = 0.0) -> None:
    """Assert that numbers are right; two infinities or two NaN are the same."""
    got, truth = np.asarray(got, np.longdouble), np.asarray(truth, np.longdouble)
    assert got.shape == truth.shape, (got.shape, truth.shape)
    same = (got == truth) | (np.isnan(got) & np.isnan(truth))
    wrong = ~same & ~(np.abs(got - truth) <= atol + rtol * np.abs(truth))
    assert not wrong.any(), (got[wrong][:3], truth[wrong][:3])


def dense(A: Any) -> np.ndarray:
    """A matrix or vector of any form, in float64."""
    return np.asarray(A.toarray() if sp.issparse(A) else A, np.float64)


def eps(*values: Any) -> float:
    """The unit roundoff of the least precise argument, at best that of float64."""
    types = [getattr(v, "dtype", np.dtype(float)) for v in values]
    kinds = [np.finfo(t).eps for t in types if t.kind == "f"]
    return float(max([np.finfo(float).eps, *kinds]))


def _is_result(module: Any, name: str) -> bool:
    value = getattr(module, name)
    return inspect.isclass(value) and (issubclass(value, Result | tuple | Warning) or not value.__doc__)


def _told(value: Any) -> str:
    if sp.issparse(value):
        return f"<{value.format} {value.dtype}>({np.array_repr(value.toarray())})"
    return re.sub(r"\s+", " ", repr(value))[:2000]


def _content(value: Any) -> Any:
    if sp.issparse(value):
        return [
            np.array(getattr(value, k))
            for k in ("data", "indices", "indptr", "row", "col")
            if hasattr(value, k)
        ]
    if isinstance(value, np.ndarray):
        return np.array(value.filled(0) if isinstance(value, np.ma.MaskedArray) else value)
    if isinstance(value, list | tuple):
        return [_content(v) for v in value]
    return None


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, list):
        return all(_same(a, b) for a, b in zip(x, y, strict=True))
    return x is y or (x.shape == y.shape and repr(x.tolist()) == repr(y.tolist()))


def _numbers(value: Any) -> np.ndarray:
    """The numbers in a value, as far as there are any."""
    try:
        x = np.asarray(value.data if sp.issparse(value) and value.format not in {"lil", "dok"} else value)
    except (TypeError, ValueError):  # ragged, or a key of JAX
        return np.zeros(0)
    if x.dtype.kind == "O":
        x = np.asarray([v for v in x.ravel() if isinstance(v, float | complex)])
    return x if x.dtype.kind in "fc" else np.zeros(0)
