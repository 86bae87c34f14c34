"""What the workers of test_parallel.py run. It imports little, for each new process imports it."""

from __future__ import annotations

import os
import signal
import time

import numpy as np


def sample(task, rng):
    return task, (rng.standard_normal(5) * task).tobytes()


def square(task):
    return task * task


def fail_at_three(task):
    if task == 3:
        raise ValueError(f"task {task} has no solution")
    return -task


def die_at_three(task):
    """The first tasks finish before a worker dies."""
    if task == 3:
        time.sleep(0.5)
        os._exit(1)
    return -task


def threads(task):
    """How many threads a task may use: those of Numba, and the most of any BLAS."""
    import numba
    import scipy.linalg  # noqa: F401  # loads a BLAS
    from threadpoolctl import threadpool_info

    time.sleep(0.01 * (task % 3))
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return numba.get_num_threads(), max(blas, default=1)


def product(task, rng):
    a = rng.standard_normal((60, 60))
    return np.linalg.solve(a @ a.T + np.eye(60), a[0]).tobytes()


def draw(_):
    return float(np.random.default_rng().random())


def sleep(task):
    time.sleep(task)
    return task


def mark(task):
    """Leave a file, or sleep for so many seconds."""
    if isinstance(task, str):
        os.close(os.open(task, os.O_CREAT))
        return "done"
    return sleep(task)


def die_once(task):
    """The first worker that comes to task 3 is killed; who takes its place finds the mark."""
    number, mark = task
    if number == 3:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return -number
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return -number
