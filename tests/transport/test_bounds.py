"""The bounds of exact transport hold, and meet where they should."""

from __future__ import annotations

import warnings

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numsolve import ConvergenceWarning, transport

EXACT = 1e-12


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    reg=st.sampled_from([1.0, 1e-2, 1e-4]),
    mass=st.sampled_from([1.0, 1e-3, 300.0]),
    shift=st.sampled_from([0.0, -5.0, 1e4]),
    seed=st.integers(0, 2**16),
)
def test_exact_transport_lies_between(n, m, reg, mass, shift, seed):
    rng = np.random.default_rng(seed)
    M, a, b = rng.random((n, m)) + shift, rng.random(n) + 1e-3, rng.random(m) + 1e-3
    a, b = a / a.sum(), b / b.sum()
    low, high = transport.solve(M, mass * a, mass * b, reg).bounds
    exact = mass * (ot.emd2(a, b, M - shift) + shift)
    slack = EXACT * mass * (1 + abs(shift))
    assert low - slack <= exact <= high + slack


def test_an_iterate_that_has_not_converged_has_bounds_too():
    M, a, b = transport.problems.random_assignment(40, rng=0)
    exact = ot.emd2(a, b, M)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        low, high = transport.sinkhorn(a, b, M, 1e-3, maxiter=3).bounds
    assert low <= exact <= high
    assert high - low > 1e-2


def test_they_meet_as_the_regularisation_fades():
    M, a, b = transport.problems.random_assignment(60, rng=1)
    gaps = [np.diff(transport.solve(M, a, b, reg).bounds)[0] for reg in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)]
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 1e-5 * np.log(60)


def test_the_lower_bound_is_that_of_a_feasible_dual():
    M, a, b = transport.problems.densities_1d(50, p=1)
    r = transport.solve(M, a, b, 1e-3)
    g = np.min(M - r.x[0][:, None], axis=0)
    f = np.min(M - g, axis=1)
    assert r.bounds[0] == pytest.approx(a @ f + b @ g, rel=1e-13)


def test_forbidden_pairs_and_weights_of_zero():
    rng = np.random.default_rng(2)
    M = rng.random((6, 6))
    M[rng.random((6, 6)) < 0.3] = np.inf
    np.fill_diagonal(M, 0.9)
    a = np.array([0.3, 0.0, 0.2, 0.2, 0.2, 0.1])
    low, high = transport.solve(M, a, a, 1e-3).bounds
    exact = ot.emd2(a, a, np.where(np.isfinite(M), M, 1e3))
    assert low - EXACT <= exact <= high + EXACT
    assert exact - low < 1e-2


def test_single_precision_is_bounded_within_its_digits():
    M, a, b = (x.astype(np.float32) for x in transport.problems.random_assignment(30, rng=3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low, high = transport.solve(M, a, b, 1e-3).bounds
    assert low - 1e-6 <= ot.emd2(*(x.astype(float) for x in (a, b, M))) <= high + 1e-6
    assert isinstance(low, float)
