"""What the user lets a run cost: checked by name, packed once, one deadline for all parts of a solve."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest

from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0, got -1"),
        ({"maxiter": 2.5}, ValueError, "maxiter must be an integer, got 2.5"),
        ({"maxiter": "many"}, TypeError, "maxiter must be an integer"),
        ({"maxiter": True}, TypeError, "maxiter must be an integer"),
        ({"maxiter": np.ones(2)}, TypeError, "maxiter must be an integer"),
        ({"time_limit": -0.1}, ValueError, "time_limit must be a number at least 0, got -0.1"),
        ({"time_limit": float("nan")}, ValueError, "time_limit must be a number"),
        ({"time_limit": "1 s"}, TypeError, "time_limit must be a real number"),
        ({"callback": 3}, TypeError, "callback must be callable"),
        ({"progress": "yes"}, TypeError, "progress must be True or False"),
        ({"progress": 2}, TypeError, "progress must be True or False"),
        ({"progress": np.ones(2, bool)}, TypeError, "progress must be True or False"),
    ],
)
def test_bad_input(settings, error, message):
    with pytest.raises(error, match=message):
        Limits(**settings)


@pytest.mark.parametrize(
    "three", [3, np.int8(3), np.uint64(3), 3.0, np.float32(3), np.asarray(3), np.asarray(3.0)]
)
def test_numbers_of_any_kind_are_numbers(three):
    limits = Limits(three, three)
    assert limits == Limits(3, 3.0)
    assert (type(limits.maxiter), type(limits.time_limit)) == (int, float)


@pytest.mark.parametrize("yes", [True, 1, np.True_, np.asarray(True)])
def test_switches_of_any_kind_are_switches(yes):
    assert Limits(progress=yes).progress is True


def test_the_method_has_its_own_number_of_steps():
    assert Limits().steps(50) == 50
    assert Limits(0).steps(50) == 0
    assert Limits().usual(50).maxiter == 50
    assert Limits(7).usual(50).maxiter == 7
    assert Monitor(Limits(7), maxiter=50).maxiter == 7
    assert Monitor(Limits(), maxiter=50).maxiter == 50


def test_preparation_counts():
    limits = Limits(time_limit=0.05)
    time.sleep(0.06)
    assert limits.expired
    assert limits.seconds_left == 0.0
    with Monitor(limits, maxiter=100) as it:
        it.record(1.0, "start")
    assert (it.status, it.nit, it.x) == (Status.TIME_LIMIT, 0, "start")


def test_a_part_has_the_deadline_of_the_whole_and_nobody_watches():
    whole = Limits(3, 100.0, print, True)
    part = whole.part(9)
    assert (part.maxiter, part.callback, part.progress) == (9, None, False)
    assert part.deadline == whole.deadline == whole.usual(8).deadline == Limits.usual(whole, 8).deadline
    assert whole.part().part().deadline == whole.deadline
    assert Limits(None, 100.0).usual(8).seconds_left == pytest.approx(100.0, abs=5.0)


def test_no_limit_never_expires():
    assert not Limits().expired
    assert not Limits(time_limit=float("inf")).expired
    assert Limits(time_limit=0.0).expired


def test_a_copy_for_another_process_has_the_seconds_that_are_left():
    back = pickle.loads(pickle.dumps(Limits(5, 100.0)))
    assert back.maxiter == 5
    assert 0.0 < back.seconds_left <= 100.0
    assert pickle.loads(pickle.dumps(Limits(5))) == Limits(5)
