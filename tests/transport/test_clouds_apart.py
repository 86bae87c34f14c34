"""Clouds on workers that share no memory: the same numbers to the last bit, and no worker holds a cloud."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from numsolve._core import kept

SCRIPT = Path(__file__).with_name("clouds_apart.py")


@pytest.fixture(scope="module")
def found():
    paths = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    dask = ["dask"] if importlib.util.find_spec("distributed") else []
    for argument in (["warm"], dask):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *argument],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    return json.loads(line[6:])


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.mark.parametrize("workers", ["1 processes", "2 processes", "dask"])
def test_the_result_is_that_of_the_serial_run_to_the_last_bit(found, workers):
    if workers not in found:
        pytest.skip("distributed is not installed")
    assert all(found[workers].values()), found[workers]


def test_a_killed_worker_of_dask_loses_nothing(found):
    if "dask" not in found:
        pytest.skip("distributed is not installed")
    assert found["dask, one killed"]
    assert found["another"]  # it was killed, and one took its place


def test_a_broken_pool_is_told_and_the_result_is_complete(found):
    assert found["tall, pool broken"]
    assert len(found["warned"]) == 1
    assert "lost a worker" in found["warned"][0]


def test_no_worker_holds_a_cloud(found):
    """600 000 points take 14.4 MB, a block of them 1.6: with room for 2 MB no worker has half of them."""
    assert found["tall"]
    for size, most in found["held"]:
        assert 0 < size <= 2_000_000
        assert 0 < most < 7.2e6  # the matrix would have 2.4 GB


class Inline:
    """Runs tasks at once, and forgets what it was sent whenever it is told to."""

    def __init__(self, forgetful=False):
        self.forgetful, self.sent = forgetful, 0

    def submit(self, function, *arguments):
        self.sent += sum(x.nbytes for x in arguments[3].values())
        if self.forgetful and not arguments[3]:
            kept.store.items.clear()
        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize("forgetful", [False, True])
def test_data_are_sent_once_to_who_keeps_them(forgetful):
    data, executor = kept.Kept(np.ones(1000)), Inline(forgetful)
    sent, tasks = [], [((data,), (np.full(1000, k),)) for k in range(4)]
    for _ in range(3):
        results = kept.map_kept(np.dot, tasks, executor, lambda: np.inf)
        assert results == [0.0, 1000.0, 2000.0, 3000.0]
        sent.append(executor.sent)
    assert 8000 <= sent[0] <= 4 * 8000  # with the first tasks, before it is known that they are there
    assert (sent[2] > sent[1] > sent[0]) if forgetful else (sent[2] == sent[0])


def test_what_was_used_last_is_kept_within_the_room():
    store = kept.Store()
    for key in "abc":
        store.take([key], {key: np.zeros(100)}, room=1700)
    assert list(store.items) == ["b", "c"]
    assert store.take(["a"], {}, 1700) == kept.Missing(("a",))
    store.take(["b", "d"], {"d": np.zeros(1000)}, room=1700)
    assert list(store.items) == ["b", "d"]  # what a task needs, whatever its size
