"""Derivatives of energies, orbitals and potentials, put together with `numsolve.implicit`."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from numsolve import implicit
from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    hydrogenic_energy,
    optimality,
    problems,
    solve_radial_dirac,
    solve_radial_schroedinger,
)

box_decides = pytest.mark.filterwarnings("ignore::numsolve.atomic.UnboundWarning")
C = 137.0359895


def conditions(result, Z):
    if result.kappa is None:
        return optimality.schroedinger(result.mesh, result.l)
    return optimality.dirac(result.mesh, result.kappa, Z=Z)


@pytest.fixture(params=[(None, 0), (None, 2), (-1, 0), (2, 2), (-4, 3)], ids=str)
def coulomb(request):
    """The lowest states in the field of Z = 60."""
    kappa, l = request.param  # noqa: E741
    if kappa is None:
        return solve_radial_schroedinger(problems.coulomb(60), l, 3, Z=60)
    return solve_radial_dirac(problems.coulomb(60), kappa, 3, Z=60)


@pytest.mark.parametrize("state", [0, 2])
def test_they_hold_at_the_solution_and_give_hellmann_and_feynman(coulomb, state):
    F, x = conditions(coulomb, 60), optimality.eigenpair(coulomb, state)
    equation, norm = F(x, coulomb.V)
    assert np.abs(equation).max() < 1e-7
    assert abs(norm) < 1e-12
    (slope,) = implicit.root_vjp(
        F, x, (coulomb.V,), (np.zeros_like(x[0]), np.array(1.0)), symmetric=True, solve="dense"
    )
    small = 0.0 if coulomb.Q is None else coulomb.Q[state] ** 2
    assert_allclose(slope, coulomb.weights * (coulomb.P[state] ** 2 + small), atol=1e-9)


def test_the_derivative_of_analytic_energies_by_the_charge(coulomb):
    """-Z / n^2, and for Dirac the slope of Sommerfeld's formula."""
    h = 1e-3
    for state, n in enumerate(coulomb.n.tolist()):
        F, x = conditions(coulomb, 60), optimality.eigenpair(coulomb, state)
        _, slope = implicit.root_jvp(F, x, (coulomb.V,), (-1 / coulomb.r,), symmetric=True)
        plus, minus = (hydrogenic_energy(60 + s, n, kappa=coulomb.kappa) for s in (h, -h))
        assert slope == pytest.approx((plus - minus) / (2 * h), rel=1e-8)


@box_decides
@pytest.mark.parametrize("l", [0, 1])
def test_the_oscillator_answers_to_its_frequency(l):  # noqa: E741
    result = solve_radial_schroedinger(problems.oscillator(2.0), l, 3, r_max=9)
    for k in range(3):
        F, x = optimality.schroedinger(result.mesh, l), optimality.eigenpair(result, k)
        _, slope = implicit.root_jvp(F, x, (result.V,), (2.0 * result.r**2,), symmetric=True)
        assert slope == pytest.approx(2 * k + l + 1.5, rel=1e-9)


@pytest.mark.parametrize("dirac", [False, True])
def test_orbitals_against_central_differences_of_the_whole_solver(dirac):
    mesh = RadialMesh.exponential(0, 30, 60, 6, 16)

    def solve(s):
        def potential(r):
            return -8 * np.exp(-0.2 * r) / r + s * np.exp(-r)

        if dirac:
            return solve_radial_dirac(potential, -1, 2, Z=8, mesh=mesh, tol=1e-13)
        return solve_radial_schroedinger(potential, 1, 2, Z=8, mesh=mesh, tol=1e-13)

    result, h = solve(0.0), 1e-3
    F, x = conditions(result, 8), optimality.eigenpair(result, 1)
    du, de = implicit.root_jvp(F, x, (result.V,), (np.exp(-result.r),), symmetric=True)
    (u1, e1), (u2, e2) = (optimality.eigenpair(solve(s), 1) for s in (h, -h))
    assert de == pytest.approx((e1 - e2) / (2 * h), rel=1e-6)
    assert_allclose(du, (u1 - u2) / (2 * h), atol=1e-6 * np.abs(du).max())


@pytest.mark.parametrize("dirac", [False, True])
def test_as_a_function_of_jax_to_second_order(dirac):
    """Hydrogenic energies by their charge: exact slope and curvature."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    mesh = RadialMesh.exponential(0, 10, 100, 8, 16)
    Z = 20.0

    def host(_, v):
        if dirac:
            return optimality.eigenpair(solve_radial_dirac(lambda _: v, -1, 1, Z=Z, mesh=mesh))
        return optimality.eigenpair(solve_radial_schroedinger(lambda _: v, mesh=mesh, Z=Z))

    F = optimality.dirac(mesh, Z=Z) if dirac else optimality.schroedinger(mesh)
    pair = implicit.differentiable(host, F, symmetric=True, solve="dense")
    solve = solve_radial_dirac if dirac else solve_radial_schroedinger
    r = solve(problems.coulomb(Z), mesh=mesh, Z=Z).r
    start = host(None, -Z / r)

    def energy(charge):
        return pair(start, -charge / jnp.asarray(r))[1]

    g = np.sqrt(1 - (Z / C) ** 2) if dirac else 1.0
    assert jax.jit(jax.grad(energy))(Z) == pytest.approx(-Z / g, rel=1e-9)
    # With the first power of r kept, Dirac's curvature is nearly that of -Z / sqrt(1 - (Z/c)^2).
    assert jax.jit(jax.hessian(energy))(Z) == pytest.approx(-1 / g**3, rel=1e-4 if dirac else 1e-8)


@pytest.mark.parametrize(
    "settings", [{}, {"relativistic": True}, {"spin_polarized": True}, {"xc": "hartree"}], ids=str
)
def test_the_self_consistent_potential_by_the_charge(settings):
    settings = {"configuration": "1s2 2s1", "mesh": RadialMesh.atomic(3, order=11)} | settings

    def solve(Z):
        return AtomDFT(Z, tol=1e-12, **settings).run()

    atom, result, h = AtomDFT(3, **settings), solve(3), 1e-3
    F = optimality.self_consistency(atom)
    flat = result.x.ravel()
    assert np.abs(F(result.x, 3.0)).max() < 1e-8

    def residual(x, Z):
        return F(x.reshape(result.x.shape), Z).ravel()

    J = implicit.solution_jacobian(residual, flat, np.array([3.0]), method="central", solve="gmres", tol=1e-8)
    slope = (J @ np.ones(1)).reshape(result.x.shape)
    want = (solve(3 + h).x - solve(3 - h).x) / (2 * h)
    assert_allclose(slope, want, atol=1e-5 * np.abs(want).max())


def test_a_coulomb_potential_from_outside_is_less_charge():
    atom = AtomDFT(4, tol=1e-11)
    result = atom.run()
    F = optimality.self_consistency(atom)
    potentials = implicit.solution_jacobian(
        lambda x, s: F(x, 4.0, s[0] / result.r), result.x, np.zeros(1), method="central"
    )
    charges = implicit.solution_jacobian(F, result.x, np.array([4.0]), method="central")
    by_charge = charges @ np.ones(1)
    assert_allclose(-(potentials @ np.ones(1)), by_charge, atol=1e-6 * np.abs(by_charge).max())
