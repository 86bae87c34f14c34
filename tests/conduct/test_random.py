"""What `rng` determines: everything random, and nothing else does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from solvers import SOLVERS, numbers, same

RANDOM = [name for name, solver in SOLVERS.items() if solver.random is not None and not solver.slow]


@pytest.fixture(autouse=True)
def quiet():
    """Some problems of the table end early on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", RANDOM)
def test_rng_alone_tells_the_numbers(name):
    solve = SOLVERS[name].random
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    states = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002
    first = solve(7)
    assert states == (np.random.get_state()[1].tobytes(), random.getstate())  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    assert same(solve(7), first)
    assert same(solve(np.int64(7)), first)
    assert same(solve(np.random.default_rng(7)), first)
    assert same(solve(np.random.SeedSequence(7)), first)
    assert not all(same(solve(seed), first) for seed in (1, 2, 3))


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_goes_on(name):
    rng = np.random.default_rng(7)
    answers = [SOLVERS[name].random(rng) for _ in range(4)]
    assert not all(same(answer, answers[0]) for answer in answers)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(
    "rng",
    [-1, 1.5, "seed", np.random.RandomState(0), np.random],
    ids=["negative", "real", "text", "RandomState", "module"],
)
def test_what_is_no_rng_is_refused(name, rng):
    with pytest.raises((TypeError, ValueError), match="rng"):
        SOLVERS[name].random(rng)


SCRIPT = """
import hashlib, warnings
warnings.simplefilter("ignore")
from solvers import SOLVERS, numbers
names = [name for name, solver in SOLVERS.items() if solver.random is not None and not solver.slow]
for name in [*names, "atomic.AtomDFT", "monotone.solve_lp, polished", "transport.solve, exact"]:
    told = b"".join(x.tobytes() for x in numbers(SOLVERS[name].run(3)))
    print(name, hashlib.sha256(told).hexdigest())
"""


@pytest.mark.slow
def test_the_order_of_sets_tells_nothing():
    """Python's hashes of strings differ from process to process."""
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    found = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SCRIPT]
        found.append(
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        )
    assert found[0] == found[1]
    assert len(found[0].splitlines()) > 10
    assert all(list(numbers(SOLVERS[name].run(3))) for name in RANDOM)
