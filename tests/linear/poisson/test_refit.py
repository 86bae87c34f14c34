"""Obstacles that move: the set-up of the blocks that changed is the set-up of all, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import linear
from numsolve.linear.poisson import multigrid
from numsolve.linear.problems import maze, random_obstacles

WORK = {"u", "f", "r", "line"}


def assert_same(M, flags, **settings):
    """A preconditioner has the numbers of a new one."""
    old = M.problem
    new = linear.GridPoisson(flags, spacing=old.spacing, face_coefficients=old.faces)
    N = linear.poisson_multigrid(new, coarse_size=M.coarse_size, **settings)
    assert M.levels == N.levels
    for name, mine, its in zip(M.hierarchy._fields, M.hierarchy, N.hierarchy, strict=True):
        if name not in WORK and mine is not None:
            np.testing.assert_array_equal(mine, its, err_msg=name)
    for name in ("cells", "diag", "reciprocal", "n", "n_contacts", "shape", "is_singular"):
        np.testing.assert_array_equal(getattr(M.problem, name), getattr(new, name), err_msg=name)


def moving(flags, rng, steps):
    """Boxes that become unknown, wall or open: components merge, split, open and close."""
    for _ in range(steps):
        flags = flags.copy()
        starts = [int(rng.integers(0, n)) for n in flags.shape]
        flags[tuple(slice(a, a + int(rng.integers(1, 6))) for a in starts)] = rng.choice([0, 0, 1, 1, 2])
        yield flags


@pytest.mark.parametrize("shape", [(41, 60), (3, 50), (11, 14, 9), (1, 1, 40)])
@pytest.mark.parametrize("kind", ["boxes", "noise", "coefficients", "learned"])
def test_a_refit_has_the_numbers_of_a_new_set_up(shape, kind):
    rng, faces, settings = np.random.default_rng(len(kind)), None, {}
    flags = rng.choice([0, 1, 2], size=shape, p=[0.9, 0.1, 0.0] if kind == "boxes" else [0.65, 0.33, 0.02])
    if kind == "coefficients":
        faces = [np.exp(rng.normal(size=np.subtract(shape, np.eye(len(shape), dtype=int)[a]))) for a in
                 range(len(shape))]  # fmt: skip
    if kind == "learned":
        settings["weights"] = {"ndim": len(shape), "numbers": rng.normal(size=(2, 3)) / 10}
    A = linear.GridPoisson(flags, spacing=1.0 if kind == "boxes" else 0.7, face_coefficients=faces)
    M = linear.poisson_multigrid(A, coarse_size=4, **settings)
    part = []
    for new in moving(flags, rng, 12):
        M.refit(new)
        assert_same(M, new, **settings)
        part += [done / of for done, of in M.setup_blocks[:1]]
    assert A.flags is not M.problem.flags  # the caller's matrix is what it was
    np.testing.assert_array_equal(A.flags, flags)
    assert min(part, default=0) < 0.5  # not by setting up everything


def test_a_room_that_is_closed_and_opened_again_is_singular_in_between():
    flags = np.zeros((40, 40), dtype=int)
    flags[:, -1], flags[:, 20] = 2, 1
    flags[18:20, 20] = 0
    M = linear.poisson_multigrid(flags, coarse_size=10)
    b = np.random.default_rng(0).normal(size=flags.shape)
    for gap, singular in ((1, True), (0, False), (1, True)):
        flags = flags.copy()
        flags[18:20, 20] = gap
        M.refit(flags)
        assert_same(M, flags)
        assert M.problem.is_singular == singular
        assert linear.solve_poisson(M, b, rtol=1e-8, project=True).nit <= 16


def test_only_blocks_at_what_moved_are_set_up():
    """A ball of 20 cells across: its surface crosses some tens of blocks, on coarse levels fewer."""
    a, b = np.indices((256, 256))

    def ball(row):
        flags = np.zeros((256, 256), dtype=int)
        flags[:, -1], flags[(a - row) ** 2 + (b - 120) ** 2 < 100] = 2, 1
        return flags

    M = linear.poisson_multigrid(ball(100))
    assert all(done == of for done, of in M.setup_blocks)
    for row in range(101, 105):
        M.refit(ball(row))
        done, every = np.transpose(M.setup_blocks)
        assert done[0] <= 60 < every[0] / 200
        assert done.sum() <= 250
        assert_same(M, ball(row))


def test_levels_come_and_go():
    """A maze is eliminated on a fine level, an open grid is not."""
    walls = maze(20, rng=0)
    free = np.where(walls == 2, 2, 0)
    M = linear.poisson_multigrid(walls)
    for flags in (free, walls, free):
        M.refit(flags)
        assert_same(M, flags)


def test_copies_and_failures_do_not_spoil_the_next_refit(monkeypatch):
    masks = [random_obstacles((40, 44), 3, rng=k) for k in range(4)]
    M = linear.poisson_multigrid(masks[0])
    copy = M.as_it_is()
    M.refit(masks[1])
    assert_same(copy, masks[0])
    copy.refit(masks[2])
    assert_same(copy, masks[2])
    assert_same(M, masks[1])
    with monkeypatch.context() as m:
        m.setattr(multigrid, "build", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            M.refit(masks[3])
    assert_same(M, masks[1])
    M.refit(masks[3])
    assert_same(M, masks[3])
    with pytest.raises(ValueError, match=r"flags must have shape \(40, 44\), got \(3, 4\)"):
        M.refit(np.zeros((3, 4), dtype=int))
