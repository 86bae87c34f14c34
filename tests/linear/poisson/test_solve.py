"""Multigrid and the solves with it: exact answers, a symmetric positive definite cycle, few iterations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

from numsolve import ConvergenceWarning, linear
from numsolve.linear.problems import maze, random_obstacles

SHAPES = [(48, 37), (15, 12, 17)]


def random_flags(shape, seed, pockets=False):
    rng = np.random.default_rng(seed)
    flags = rng.choice([0, 1, 2], size=shape, p=[0.75, 0.2, 0.05])
    if not pockets:
        A = linear.GridPoisson(flags)
        flags[np.isin(A.components()[0], A.closed()) & (flags == 0)] = 1
    return flags


# -- the answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("varied", [False, True])
def test_the_solution_is_that_of_a_direct_solver(shape, varied):
    rng, flags, faces = np.random.default_rng(3), random_flags(shape, 1), None
    if varied:
        faces = [
            np.exp(rng.normal(size=[n - (a == k) for a, n in enumerate(shape)])) for k in range(len(shape))
        ]
    spacing = tuple(rng.uniform(0.5, 1.5, len(shape)))
    A = linear.GridPoisson(flags, spacing=spacing, face_coefficients=faces)
    b = rng.normal(size=shape)
    r = linear.solve_poisson(A, b, rtol=1e-12)
    expected = spsolve(A.to_csr().tocsc(), A.pack(b))
    assert r.success
    np.testing.assert_allclose(A.pack(r.x), expected, atol=1e-8 * abs(expected).max())
    assert np.all(r.x[flags != 0] == 0.0)
    assert r.residual == pytest.approx(np.linalg.norm(A.pack(b) - A.to_csr() @ A.pack(r.x)), rel=0.1)


@pytest.mark.parametrize("d", [2, 3])
def test_eigenvectors_of_the_box_are_solved(d):
    """Walls on all sides but the last, whose values are given at the centres of its cells."""
    m = 12
    flags = np.ones((m + 2,) * d, dtype=int)
    flags[(slice(1, -1),) * d] = 0
    flags[(slice(1, -1),) * (d - 1) + (-1,)] = 2
    i, u, eigenvalue = np.arange(m) + 0.5, np.ones(()), 0.0
    for axis in range(d):
        theta = np.pi * (2.5 / (m + 0.5) if axis == d - 1 else 2 / m)
        u = np.multiply.outer(u, np.cos(theta * i))
        eigenvalue += 2 - 2 * np.cos(theta)
    grid = np.zeros(flags.shape)
    grid[flags == 0] = u.ravel()
    r = linear.solve_poisson(flags, eigenvalue * grid, rtol=1e-12)
    np.testing.assert_allclose(r.x, grid, atol=1e-8)


def test_linear_functions_are_solutions_for_their_boundary_values():
    flags = np.full((9, 11), 2)
    flags[1:-1, 1:-1] = 0
    a, j = np.indices(flags.shape)
    plane = 1.0 + 2.0 * a - 3.0 * j
    r = linear.solve_poisson(flags, np.zeros(flags.shape), boundary_values=plane, rtol=1e-12)
    inside = flags == 0
    np.testing.assert_allclose(r.x[inside], plane[inside], atol=1e-9)
    corners = np.ix_([0, -1], [0, -1])
    assert np.array_equal(r.x[corners], plane[corners])


@pytest.mark.parametrize("power", [-300, -40, 40, 290])
def test_the_scale_of_b_does_not_matter(power):
    flags = random_obstacles((40, 40), 4, rng=0)
    b = np.random.default_rng(0).normal(size=flags.shape)
    r, scaled = (linear.solve_poisson(flags, b * s, rtol=1e-10) for s in (1.0, 10.0**power))
    assert scaled.success
    assert scaled.nit == r.nit
    np.testing.assert_allclose(scaled.x / 10.0**power, r.x, rtol=1e-6, atol=1e-9 * abs(r.x).max())


def test_packed_and_single_precision_and_integer_right_hand_sides():
    flags = random_obstacles((40, 40), 4, rng=0)
    A = linear.GridPoisson(flags)
    b = np.round(np.random.default_rng(0).normal(size=flags.shape) * 5)
    r = linear.solve_poisson(A, b, rtol=1e-9)
    packed = linear.solve_poisson(A, A.pack(b).astype(int), rtol=1e-9)
    single = linear.solve_poisson(A, b.astype(np.float32), rtol=1e-9)
    np.testing.assert_allclose(A.unpack(packed.x), r.x, rtol=1e-12)
    assert single.x.dtype == np.float32
    np.testing.assert_allclose(single.x, r.x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
def test_several_right_hand_sides(packed):
    flags = random_obstacles((32, 40), 3, rng=1)
    A, b = linear.GridPoisson(flags), np.random.default_rng(0).normal(size=(32, 40, 3))
    b[..., 2] = 0.0
    b = np.stack([A.pack(b[..., k]) for k in range(3)], axis=-1) if packed else b
    r = linear.solve_poisson(A, b, rtol=1e-9)
    assert r.x.shape == b.shape
    assert r.success.all()
    assert r.nit[2] == 0
    for k in range(2):
        alone = linear.solve_poisson(A, b[..., k], rtol=1e-9)
        assert alone.nit == r.nit[k]
        np.testing.assert_array_equal(alone.x, r.x[..., k])


def test_a_warm_start_saves_iterations_and_the_solution_takes_none():
    flags = random_obstacles((40, 40), 4, rng=0)
    b = np.random.default_rng(0).normal(size=flags.shape)
    r = linear.solve_poisson(flags, b, rtol=1e-8)
    near = linear.solve_poisson(flags, b + 1e-3 * np.roll(b, 1), r.x, rtol=1e-8)
    assert near.nit < r.nit - 3
    assert linear.solve_poisson(flags, b, r.x, rtol=1.01e-8).nit == 0


@pytest.mark.parametrize("flags", [np.ones((3, 4), int), np.full((3, 4), 2), np.zeros((0, 5), int)])
@pytest.mark.parametrize("method", ["auto", "cg"])
def test_a_grid_without_unknowns_is_refused(flags, method):
    with pytest.raises(ValueError, match="flags must have an unknown cell"):
        linear.solve_poisson(flags, np.ones(flags.shape), method=method)


# -- components that touch no open cell --------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_closed_components_are_solved_up_to_their_constant(shape):
    flags = random_flags(shape, 7, pockets=True)
    flags[flags == 2] = 1
    A = linear.GridPoisson(flags)
    assert A.closed().size == A.n_components > 1
    b = np.random.default_rng(0).normal(size=shape)
    r = linear.solve_poisson(A, b, project=True, rtol=1e-10)
    labels = A.pack(A.components()[0])
    means = np.bincount(labels, A.pack(b)) / np.maximum(np.bincount(labels), 1)
    carried = A.pack(b) - means[labels]
    assert r.success
    assert np.linalg.norm(carried - A.to_csr() @ A.pack(r.x)) <= 1e-9 * np.linalg.norm(carried)
    np.testing.assert_allclose(np.bincount(labels, A.pack(r.x)), 0.0, atol=1e-9)
    same = linear.solve_poisson(A, A.unpack(carried), rtol=1e-10)
    np.testing.assert_allclose(same.x, r.x, atol=1e-8)


# -- the cycle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "n_smooth", "dtype"),
    [((20, 19), 1, "float32"), ((20, 19), 2, "float32"), ((7, 8, 7), 2, "float32"), ((20, 19), 1, "float64")],
)
def test_the_cycle_is_symmetric_positive_definite(shape, n_smooth, dtype):
    A = linear.GridPoisson(random_flags(shape, 2), spacing=(1.0, 1.5, 0.7)[: len(shape)])
    M = linear.poisson_multigrid(A, n_smooth=n_smooth, dtype=dtype, coarse_size=5)
    assert len(M.levels) > 3
    B = M @ np.eye(A.n)
    tolerance = 1e-14 if dtype == "float64" else 1e-6
    assert abs(B - B.T).max() <= tolerance * abs(B).max()
    assert np.linalg.eigvalsh((B + B.T) / 2).min() > 0
    eigenvalues = np.linalg.eigvals(B @ A.to_csr().toarray()).real
    assert 0.2 < eigenvalues.min() < eigenvalues.max() < 1.6


def test_thin_walls_are_seen_on_every_level():
    """Two halves joined at one end only: without the split of blocks the wall would vanish."""
    flags = np.zeros((128, 129), dtype=int)
    flags[:, -1], flags[1:, 63] = 2, 1
    b = np.random.default_rng(0).normal(size=flags.shape)
    assert linear.solve_poisson(flags, b, rtol=1e-8).nit <= 16


@pytest.mark.parametrize(
    ("shape", "most"), [((128, 128), 16), ((256, 256), 16), ((24, 24, 24), 18), ((48, 48, 48), 18)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_iterations_are_few_whatever_the_size(shape, most, seed):
    flags = random_obstacles(shape, rng=seed)
    b = np.random.default_rng(seed).normal(size=shape)
    r = linear.solve_poisson(flags, b, rtol=1e-8)
    assert r.success
    assert r.nit <= most


def test_the_operator_preconditions_any_conjugate_gradients():
    from scipy.sparse.linalg import cg

    A = linear.GridPoisson(random_obstacles((60, 60), rng=2))
    b, M = np.ones(A.n), linear.poisson_multigrid(A)
    ours = linear.solve_poisson(A, b, rtol=1e-8)
    other = linear.cg(A, b, M=M, rtol=1e-8)
    x, info = cg(A.to_csr(), b, M=M, rtol=1e-8)
    assert info == 0
    assert abs(other.nit - ours.nit) <= 1
    np.testing.assert_allclose(x, ours.x, rtol=1e-5, atol=1e-6 * abs(x).max())


def test_refit_is_a_set_up_for_the_new_obstacles():
    old, new = (random_obstacles((50, 60), rng=k) for k in (0, 1))
    M = linear.poisson_multigrid(old).refit(new)
    v = np.arange(M.problem.n, dtype=float)
    assert np.array_equal(M @ v, linear.poisson_multigrid(new) @ v)
    assert M.setup_time > 0
    assert linear.solve_poisson(M, np.ones(new.shape)).success


@pytest.mark.parametrize("method", ["cg", "ssor"])
def test_the_methods_to_compare_with_give_the_same_solution(method):
    flags = random_obstacles((30, 30), 3, rng=0)
    b = np.random.default_rng(0).normal(size=(30, 30, 2))
    r, other = (linear.solve_poisson(flags, b, rtol=1e-10, method=m) for m in ("auto", method))
    np.testing.assert_allclose(other.x, r.x, atol=1e-7)
    assert np.all(other.nit > r.nit)
    one = linear.solve_poisson(flags, b[..., 0], r.x[..., 0], rtol=1e-6, method=method)
    assert one.nit == 0


def test_a_maze_is_a_tree_with_one_exit():
    A = linear.GridPoisson(maze(20, rng=1))
    off_diagonal = (A.to_csr().nnz - A.n) // 2
    assert (A.n, off_diagonal, A.is_singular) == (799, 798, False)


@pytest.mark.parametrize("rooms", [45, 90])
@pytest.mark.parametrize("closed", [False, True])
def test_mazes_are_eliminated_and_take_few_iterations(rooms, closed):
    flags = maze(rooms, rng=0)
    if closed:
        flags[flags == 2] = 1
    b = np.random.default_rng(0).normal(size=flags.shape)
    r = linear.solve_poisson(flags, b, rtol=1e-8, project=closed)
    assert r.success
    assert r.nit <= 12


# -- what is asked for beyond rounding ----------------------------------------------------------------


def test_a_tolerance_below_rounding_is_told():
    flags = random_obstacles((60, 60), 4, rng=0)
    r = linear.solve_poisson(flags, np.random.default_rng(0).normal(size=flags.shape), rtol=1e-17)
    assert r.status.name == "ROUNDING"


def test_faces_too_far_apart_for_floats_end_without_a_foreign_error():
    """Some matrices of the last level are singular in floats; the run ends as one of ours, in a number."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        shape = tuple(rng.integers(2, 7, size=2))
        flags = rng.choice([0, 2], size=shape, p=[0.9, 0.1])
        faces = [
            10.0 ** rng.uniform(-1, 1, size=np.subtract(shape, np.eye(2, dtype=int)[k])) * (1e20, 1.0)[k]
            for k in range(2)
        ]
        b = rng.standard_normal(shape)
        if (flags == 0).any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                r = linear.solve_poisson(flags, b, face_coefficients=faces, project=True)
            assert np.isfinite(r.x).all()
