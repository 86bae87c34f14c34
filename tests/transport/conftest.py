"""The problems that the tests of this column share, and the one measure of error."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from numsolve.transport import problems


@cache
def _images():
    with np.load(Path(__file__).parent / "data" / "mnist20.npz") as file:
        return file["images"].astype(float)


@cache
def _problem(name):
    kind, _, size = name.partition(" ")
    if kind == "assignment":
        return problems.random_assignment(int(size or 500), rng=0)
    if kind == "images-L2":
        return problems.image_pair(_images()[0], _images()[3], p=2)
    if kind == "images-L1":
        return problems.image_pair(_images()[0], _images()[3], p=1)
    if kind == "densities-L2":
        return problems.densities_1d(int(size or 500), p=2)
    if kind == "densities-L1":
        return problems.densities_1d(int(size or 500), p=1)
    if kind == "rectangular":
        n, m = map(int, size.split("x"))
        rng = np.random.default_rng(n + 1000 * m)
        a, b = rng.uniform(0.1, 1.0, n), rng.uniform(0.1, 1.0, m)
        return rng.random((n, m)), a / a.sum(), b / b.sum()
    raise ValueError(name)


@pytest.fixture(scope="session")
def problem():
    """``problem("assignment 50")`` is ``(M, a, b)``, made once and written by nobody."""

    def get(name):
        arrays = _problem(name)
        for array in arrays:
            array.flags.writeable = False
        return arrays

    return get


@pytest.fixture(scope="session")
def error():
    """``error(P, a, b)``: both marginals in the 1-norm, over the mass."""

    def measure(P, a, b):
        P = np.asarray(P, dtype=float)
        return (np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()) / np.sum(a)

    return measure
