"""Networks that predict directions: the published sizes, one output on every library, files, solves."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import ConvergenceWarning, Status, linear

RNG = np.random.default_rng(0)
NET = linear.DCDMNet(2, channels=2, n_top=0, n_low=0, n_up=0, rng=0)


def sizes_of(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (linear.DCDMNet(3, rng=0), 97_457),
        (linear.DCDMNet(3, n_top=2, n_low=5, n_up=3, rng=0), 152_881),
        (linear.DCDMNet(2, rng=0), 160 + 14 * 2320 + 17),
        (linear.NPSDNet(3, n_levels=4, rng=0), 20_582),
        (linear.NPSDNet(3, n_levels=5, rng=0), 25_174),
    ],
)
def test_the_networks_have_as_many_numbers_as_the_published_ones(net, count):
    assert net.size == count
    assert f"{count} numbers" in repr(net)


def convolved_by_definition(x, kernel, bias):
    """A convolution by its definition, one output cell at a time."""
    out = np.zeros((*x.shape[:-1], kernel.shape[-1]))
    wide = np.pad(x, [(1, 1)] * (x.ndim - 1) + [(0, 0)])
    for at in np.ndindex(x.shape[:-1]):
        block = wide[tuple(slice(a, a + 3) for a in at)]
        out[at] = np.tensordot(block, kernel, axes=x.ndim) + bias
    return out


def test_a_network_without_blocks_is_its_definition():
    """Two layers on the grid, the mean over blocks, twice as many cells, and the last combination."""
    net = linear.DCDMNet(2, channels=3, n_top=0, n_low=0, n_up=0, rng=0)
    net.biases = [RNG.normal(size=b.shape).astype(np.float32) for b in net.biases]
    r = sizes_of(6, 4)
    x = r[..., None].astype(float)
    for k, (kernel, bias) in enumerate(zip(net.kernels[:-1], net.biases[:-1], strict=True)):
        x = convolved_by_definition(x, kernel.astype(float), bias)
        x = x if k == 0 else np.maximum(x, 0)
    low = x.reshape(3, 2, 2, 2, 3).mean(axis=(1, 3))
    up = low.repeat(2, 0).repeat(2, 1) + x
    np.testing.assert_allclose(net(r), (up @ net.kernels[-1])[..., 0] + net.biases[-1], rtol=1e-4, atol=1e-5)


def test_a_linear_network_of_one_level_is_its_definition():
    net, flags, r = linear.NPSDNet(2, n_levels=0, rng=1), RNG.integers(0, 3, (5, 4)), sizes_of(5, 4)
    images = np.stack([flags == 2, flags == 0, flags == 1]).astype(float)
    wide = np.pad(images, [(0, 0), (1, 1), (1, 1)])
    wide_r, out = np.pad(r, 1), np.zeros((5, 4))
    for a, b in np.ndindex(5, 4):
        near = np.append(wide[:, a : a + 3, b : b + 3].reshape(-1), 1.0)
        out[a, b] = (net.blocks[0] @ near) @ wide_r[a : a + 3, b : b + 3].reshape(-1)
    np.testing.assert_allclose(net.on(flags)(r), out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 12), (7, 6, 5)])
def test_every_library_gives_the_same_prediction(shape):
    jnp = pytest.importorskip("jax.numpy")
    strict = pytest.importorskip("array_api_strict")
    r, flags = sizes_of(*shape), RNG.integers(0, 3, shape)
    dcdm, npsd = linear.DCDMNet(len(shape), rng=0), linear.NPSDNet(len(shape), n_levels=2, rng=0)
    ours = dcdm(r), npsd.on(flags)(r)
    for xp in (jnp, strict):
        theirs = dcdm(xp.asarray(r)), npsd.on(xp.asarray(flags))(xp.asarray(r))
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(np.asarray(other), own, rtol=1e-5, atol=1e-5 * abs(own).max())


def test_the_linear_network_is_linear_and_the_other_is_not():
    flags, (r, s) = RNG.integers(0, 3, (8, 8)), sizes_of(2, 8, 8)
    f, g = linear.NPSDNet(2, n_levels=2, rng=0).on(flags), linear.DCDMNet(2, rng=0)
    np.testing.assert_allclose(f(2 * r - s), 2 * f(r) - f(s), rtol=1e-4, atol=1e-5)
    assert abs(g(2 * r) - 2 * g(r)).max() < 1e-4 * abs(g(r)).max()  # without biases it is, for such factors
    assert abs(g(r - s) - g(r) + g(s)).max() > 0.05 * abs(g(r)).max()


@pytest.mark.parametrize(
    "net", [linear.DCDMNet(2, channels=4, n_low=1, rng=3), linear.NPSDNet(3, n_levels=1, rng=3)]
)
def test_a_file_gives_the_same_network(net, tmp_path):
    net.save(tmp_path / "net.npz")
    again = type(net).from_file(tmp_path / "net.npz")
    assert again.settings() == net.settings()
    for a, b in zip(again.numbers(), net.numbers(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_jax_parameters_go_there_and_back():
    pytest.importorskip("jax")
    net, r = linear.DCDMNet(2, rng=5), sizes_of(8, 8)
    other = linear.DCDMNet(2, rng=6).with_params(net.to_jax_params())
    np.testing.assert_array_equal(other(r), net(r))


@pytest.mark.parametrize(("method", "times"), [("dcdm", 1.5), ("npsd", 8)])
def test_the_shipped_networks_need_fewer_iterations_than_conjugate_gradients(method, times):
    flags = linear.problems.random_obstacles((48, 48), 2, rng=1)
    b = RNG.normal(size=flags.shape)
    learned = linear.solve_poisson(flags, b, method=method, rtol=1e-4)
    plain = linear.solve_poisson(flags, b, method="cg", rtol=1e-4)
    assert learned.success
    assert learned.nit < plain.nit / times
    assert learned.residual <= 1e-4 * np.linalg.norm(b[flags == 0])


@pytest.mark.parametrize("seed", [10, 11])
def test_dcdm_takes_at_most_25_iterations_on_the_matrix_that_it_was_trained_on(seed):
    flags = linear.problems.random_obstacles((64, 64), 0)
    b = np.random.default_rng(seed).standard_normal(flags.shape)
    assert linear.solve_poisson(flags, b, method="dcdm", rtol=1e-4).nit <= 25


def test_several_sides_starts_and_closed_components():
    flags = np.zeros((16, 18), int)
    flags[7] = 1
    b = RNG.normal(size=(*flags.shape, 2))
    for part in (slice(0, 7), slice(8, None)):
        b[part] -= b[part].mean(axis=(0, 1))
    both = linear.solve_poisson(flags, b, method="npsd", rtol=1e-8)
    assert np.all(both.success)
    sure = linear.solve_poisson(flags, b, rtol=1e-10)
    np.testing.assert_allclose(both.x, sure.x, atol=1e-5)
    again = linear.solve_poisson(flags, b[..., 0], sure.x[..., 0], method="npsd", rtol=1e-8)
    assert (again.nit, again.success) == (0, True)


def test_a_network_that_does_not_get_there_says_so():
    """The published network knows nothing of components without an open cell."""
    flags = np.zeros((16, 18), int)
    b = RNG.normal(size=flags.shape)
    with pytest.warns(ConvergenceWarning):
        r = linear.solve_poisson(flags, b - b.mean(), method="dcdm", weights=NET, maxiter=5)
    assert (r.status, r.success) == (Status.MAXITER, False)
    left = linear.GridPoisson(flags).to_csr() @ r.x.ravel() - (b - b.mean()).ravel()
    assert r.residual == pytest.approx(np.linalg.norm(left))


def test_the_scale_of_the_numbers_does_not_matter():
    flags = linear.problems.random_obstacles((20, 20), 1, rng=1)
    b = RNG.normal(size=flags.shape)
    one = linear.solve_poisson(flags, b, method="npsd", rtol=1e-6)
    for scale in (1e-200, 1e200):
        other = linear.solve_poisson(flags, scale * b, method="npsd", rtol=1e-6)
        assert other.success
        np.testing.assert_allclose(other.x / scale, one.x, atol=1e-4 * abs(one.x).max())


FLAGS2 = linear.problems.random_obstacles((12, 12), 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear.DCDMNet(4), ValueError, "ndim"),
        (lambda: linear.DCDMNet(2, channels=0), ValueError, "channels"),
        (lambda: linear.NPSDNet(2, n_levels=-1), ValueError, "n_levels"),
        (lambda: NET(np.ones((3, 3, 3))), ValueError, "grid must have 2 axes"),
        (lambda: NET(np.ones((3, 3)) * 1j), TypeError, "complex"),
        (lambda: linear.NPSDNet(3).on(np.zeros((4, 4), int)), ValueError, "flags must have 3 axes"),
        (lambda: NET.predictor(linear.GridPoisson(np.zeros((3, 3, 3), int))), ValueError, "grids of 2 axes"),
        (lambda: NET.with_params(NET.to_jax_params()[:-1]), ValueError, "shapes"),
        (
            lambda: linear.solve_poisson(FLAGS2, np.ones((12, 12)), method="npsd", weights=NET),
            TypeError,
            "NPSDNet for method='npsd', got DCDMNet",
        ),
        (
            lambda: linear.solve_poisson(np.zeros((4, 4, 4), int), np.zeros((4, 4, 4)), method="dcdm"),
            ValueError,
            "are not shipped",
        ),
        (lambda: linear.solve_poisson(FLAGS2, np.ones((12, 12)), weights=NET), TypeError, "got DCDMNet"),
        (
            lambda: linear.solve_poisson(FLAGS2, np.ones((12, 12)), method="cg", weights=None),
            TypeError,
            "weights say nothing to 'cg', got NoneType",
        ),
        (
            lambda: linear.solve_poisson(linear.poisson_multigrid(FLAGS2), np.ones((12, 12)), weights=None),
            TypeError,
            "belong to poisson_multigrid",
        ),
        (
            lambda: linear.solve_poisson(FLAGS2, np.ones((12, 12)), method="mlpcg"),
            ValueError,
            "'dcdm', 'npsd'",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_other_files_are_refused(tmp_path):
    NET.save(tmp_path / "dcdm.npz")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    np.savez(tmp_path / "old.npz", version=0, kind="dcdm", numbers=np.ones(3))
    np.savez(tmp_path / "short.npz", version=1, kind="dcdm", numbers=np.ones(3), setting_ndim=2)
    np.savez(tmp_path / "nan.npz", version=1, kind="dcdm", numbers=np.full(3, np.nan))
    for name, kind, message in [
        ("dcdm", linear.NPSDNet, "weights of kind 'npsd', got 'dcdm'"),
        ("other", linear.DCDMNet, "a file of weights"),
        ("old", linear.DCDMNet, "version 1, got 0"),
        ("short", linear.DCDMNet, "must hold 32657 numbers"),
        ("nan", linear.DCDMNet, "finite numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            kind.from_file(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError):
        linear.DCDMNet.from_file(tmp_path / "none.npz")
    NET.kernels[0][0, 0, 0, 0], kept = np.nan, NET.kernels[0][0, 0, 0, 0]
    with pytest.raises(ValueError, match="finite"):
        NET.save(tmp_path / "bad.npz")
    NET.kernels[0][0, 0, 0, 0] = kept
