"""How a run behaves: the house's contract."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct

from numsolve import ConvergenceWarning, Status, linear
from numsolve.linear.problems import random_obstacles

SMALL = linear.GridPoisson(random_obstacles((40, 40), 4, rng=0))
LARGE = random_obstacles((512, 512), 4, rng=0)
B = np.random.default_rng(0).normal(size=SMALL.grid_shape)
ON_LARGE = np.random.default_rng(0).normal(size=LARGE.shape)
PREPARED = linear.poisson_multigrid(LARGE)


def long(**settings):
    """Starts anew from rounding errors for as long as it is let."""
    several = np.repeat(ON_LARGE[..., None], 60, axis=-1)
    return linear.solve_poisson(PREPARED, several, rtol=1e-11, **settings)


def error(result):
    b = B
    return float(np.linalg.norm(SMALL.pack(b) - SMALL.to_csr() @ SMALL.pack(result.x)))


class TestConduct(Conduct):
    calls: ClassVar = {
        "solve_poisson": Call(
            run=lambda **kw: linear.solve_poisson(SMALL, B, **{"rtol": 1e-8, **kw}),
            measure=error,
        ),
    }


def test_what_ends_one_right_hand_side_ends_all():
    b = np.random.default_rng(1).normal(size=(40, 40, 3))
    seen = []

    def callback(x):
        seen.append(x)
        return len(seen) == 15

    r = linear.solve_poisson(SMALL, b, rtol=1e-8, callback=callback)
    assert list(r.status) == [Status.CONVERGED, Status.STOPPED, Status.STOPPED]
    assert not r.x[..., 2].any()
    assert r.nit[2] == 0
    assert r.residual[2] == pytest.approx(r.rhs_norm[2])


def test_the_time_limit_is_that_of_all():
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        r = long(time_limit=0.2)
    assert Status.TIME_LIMIT in list(r.status)
    good = r.status == Status.CONVERGED
    assert np.all(r.residual[good] <= 1.001e-11 * r.rhs_norm[good])
    assert np.all(r.residual[~good] > 1e-11 * r.rhs_norm[~good])
