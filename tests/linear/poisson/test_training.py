"""Ritz vectors, and trainers that help: each retrains a small network in seconds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from numsolve import linear
from numsolve.linear.problems import laplacian

FLAGS = linear.problems.random_obstacles((16, 16), 0)
B = np.random.default_rng(0).normal(size=FLAGS.shape)


def test_training_vectors_are_of_norm_one_and_reproducible():
    A = laplacian(10)
    one, two = (linear.ritz_training_vectors(A, 40, 7, rng=3) for _ in range(2))
    assert (one.shape, one.dtype) == ((7, 100), np.float32)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, rtol=1e-6)


def test_the_lowest_modes_get_81_times_the_variance():
    """With as many steps as eigenvalues the Ritz vectors are the eigenvectors: a path has simple ones."""
    n = 30
    A = np.diag(np.full(n, 2.0)) - np.diag(np.ones(n - 1), 1) - np.diag(np.ones(n - 1), -1)
    r = linear.ritz_training_vectors(A, n, 4000, low_fraction=0.5, low_boost=9.0, rng=0)
    energy = ((r @ np.linalg.eigh(A)[1]) ** 2).mean(axis=0)
    # Of norm 1, with k = 15 strong coefficients: E[1 / chi^2_k] = 1 / (k - 2), and a strong one has 1 / k.
    assert energy[:15].mean() / energy[15:].mean() == pytest.approx(81 * 13 / 15, rel=0.05)
    assert energy[:15].std() < 0.1 * energy[:15].mean()


def test_what_the_matrix_does_not_see_is_not_in_the_vectors():
    """Constants, on a grid without an open cell; and Lanczos ends where its space is invariant."""
    closed = linear.GridPoisson(np.zeros((6, 5), int))
    r = linear.ritz_training_vectors(closed, 1000, 20, rng=0)
    assert abs(r.sum(axis=1)).max() < 1e-4


def test_a_small_network_learns_to_save_iterations():
    pytest.importorskip("optax")
    flags = linear.problems.random_obstacles((24, 24), 0)
    b = np.random.default_rng(1).normal(size=flags.shape)
    start = linear.DCDMNet(2, channels=8, n_low=2, n_up=1, rng=0)
    net = linear.train_dcdm(flags, net=start, n_ritz=250, n_samples=600, lr=1e-2, maxiter=250, rng=0)
    losses = net.history.residual
    assert losses.min() < 0.15 * losses[0]
    learned = linear.solve_poisson(flags, b, method="dcdm", weights=net, rtol=1e-4)
    plain = linear.solve_poisson(flags, b, method="cg", rtol=1e-4)
    assert learned.success
    assert learned.nit < 0.7 * plain.nit


def test_a_small_linear_network_learns_to_save_iterations():
    pytest.importorskip("optax")
    grids = [linear.problems.random_obstacles((16, 16), k, rng=k) for k in range(3)]
    net = linear.train_npsd(grids=grids, n_levels=2, n_ritz=150, n_samples=100, lr=1e-2, maxiter=300, rng=0)
    losses = net.history.residual
    assert losses.min() < 0.5 * losses[0]
    unseen = linear.problems.random_obstacles((16, 16), 2, rng=11)
    learned = linear.solve_poisson(unseen, B, method="npsd", weights=net, rtol=1e-4)
    plain = linear.solve_poisson(unseen, B, method="cg", rtol=1e-4)
    assert learned.success
    assert learned.nit < 0.4 * plain.nit


@pytest.mark.parametrize("ndim", [2, 3])
def test_learned_coarse_weights_save_part_of_an_iteration(ndim):
    """A per cent of the rate or more; the rule is a stationary point of no loss."""
    grids = [
        linear.problems.random_obstacles((32,) * 2 if ndim == 2 else (12,) * 3, 3, rng=k) for k in (0, 1)
    ]
    weights = linear.train_multigrid(ndim, grids=grids, maxiter=60, rng=0)
    rule, learned = weights["rates"]
    assert np.log(learned) < 1.01 * np.log(rule)
    M = linear.poisson_multigrid(grids[0], weights=weights)
    b = np.random.default_rng(0).normal(size=M.shape[0])
    assert linear.cg(M.problem, b, M=M, rtol=1e-8).success


def test_no_weights_make_the_cycle_indefinite():
    flags = linear.problems.random_obstacles((16, 14), 2, rng=1)
    numbers = np.random.default_rng(0).uniform(-1, 1, (3, 3))
    M = linear.poisson_multigrid(
        flags, weights={"ndim": 2, "numbers": numbers}, dtype="float64", coarse_size=8
    )
    B = np.column_stack([M @ e for e in np.eye(M.shape[0])])
    assert abs(B - B.T).max() < 1e-12 * abs(B).max()
    assert np.linalg.eigvalsh(B).min() > 0.0
    again = pickle.loads(pickle.dumps(M))
    np.testing.assert_array_equal(again @ np.ones(M.shape[0]), M @ np.ones(M.shape[0]))
    rule = linear.poisson_multigrid(flags, dtype="float64", coarse_size=8, weights=None)
    zeros = linear.poisson_multigrid(
        flags, weights={"ndim": 2, "numbers": np.zeros((1, 3))}, dtype="float64", coarse_size=8
    )
    np.testing.assert_allclose(zeros @ B[0], rule @ B[0], rtol=1e-12)


def test_an_ended_training_keeps_its_best_weights():
    pytest.importorskip("optax")
    small = linear.DCDMNet(2, channels=2, n_top=0, n_low=0, n_up=0, rng=0)
    settings = {"n_ritz": 30, "n_samples": 60, "net": small, "rng": 0}
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result.residual)
        return len(seen) == 3

    net = linear.train_dcdm(FLAGS, callback=stop, **settings)
    assert len(net.history) == 4
    assert net.history.residual[1:].tolist() == seen

    def press(_):
        raise KeyboardInterrupt

    net = linear.train_dcdm(FLAGS, callback=press, **settings)
    assert np.isfinite(net(B)).all()
    none = linear.train_dcdm(FLAGS, time_limit=0.0, **settings)
    assert len(none.history) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear.ritz_training_vectors(np.ones((3, 2)), 2, 2), ValueError, "square"),
        (lambda: linear.ritz_training_vectors(np.eye(3), 0, 2), ValueError, "n_ritz"),
        (lambda: linear.ritz_training_vectors(np.eye(3), 2, 0), ValueError, "n_samples"),
        (lambda: linear.ritz_training_vectors(np.eye(3), 2, 2, low_fraction=2.0), ValueError, "low_fraction"),
        (lambda: linear.ritz_training_vectors(np.eye(3), 2, 2, low_boost=0.0), ValueError, "low_boost"),
        (lambda: linear.ritz_training_vectors(-np.eye(3), 2, 2), ValueError, "semidefinite"),
        (lambda: linear.ritz_training_vectors(0 * np.eye(3), 2, 2), ValueError, "must not be zero"),
        (lambda: linear.ritz_training_vectors(np.eye(3) * 1j, 2, 2), TypeError, "complex"),
        (lambda: linear.ritz_training_vectors([[1.0]], 2, 2), TypeError, "must be a matrix"),
        (lambda: linear.train_multigrid(2, grids=[np.zeros((4, 4), int)]), ValueError, "open cell"),
        (lambda: linear.train_dcdm(np.ma.asarray(FLAGS)), TypeError, "problem is a masked array"),
        (lambda: linear.poisson_multigrid(FLAGS + 3), ValueError, "problem must hold 0"),
        (lambda: linear.train_multigrid(2, grids=3), TypeError, "grids must be an iterable of flags"),
        (lambda: linear.GridPoisson(FLAGS, spacing=[[1], [1, 2]]), TypeError, "spacing"),
        (lambda: linear.train_npsd(grids=3), TypeError, "grids must be an iterable of flags, got int"),
        (lambda: linear.train_multigrid(3, grids=[FLAGS]), ValueError, "flags of 3 axes"),
        (lambda: linear.train_multigrid(4), ValueError, "ndim"),
        (lambda: linear.poisson_multigrid(FLAGS, weights=3), TypeError, "weights must be"),
        (
            lambda: linear.poisson_multigrid(FLAGS, weights={"ndim": 3, "numbers": np.zeros((3, 3))}),
            ValueError,
            "grids of 2 axes, got 3",
        ),
        (
            lambda: linear.poisson_multigrid(FLAGS, weights={"ndim": 2, "numbers": np.zeros((3, 2))}),
            ValueError,
            "rows of 3 numbers",
        ),
        (lambda: linear.train_dcdm(FLAGS, net=3), TypeError, "DCDMNet, got int"),
        (lambda: linear.train_dcdm(FLAGS, net=linear.DCDMNet(3)), ValueError, "grids of 3 axes"),
        (lambda: linear.train_dcdm(FLAGS, lr=0.0), ValueError, "lr"),
        (lambda: linear.train_dcdm(FLAGS, batch=0), ValueError, "batch"),
        (lambda: linear.train_npsd(grids=[FLAGS, FLAGS[1:]]), ValueError, "one shape"),
        (lambda: linear.train_npsd(grids=[FLAGS], net=linear.NPSDNet(3)), ValueError, "grids of 3 axes"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
