"""What a type checker sees of numsolve.atomic. Checked in strict mode, never run."""

from __future__ import annotations

import warnings
from typing import Any, assert_type

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from numsolve import Status, atomic

r = np.linspace(0.1, 10.0)


def orbitals() -> NDArray[Any]:
    """Bound states in a potential of one's own."""
    warnings.simplefilter("error", atomic.UnboundWarning)
    result = atomic.solve_radial_schroedinger(lambda r: -1.0 / r, l=1, n_states=2, overlap="exact")
    assert_type(result, atomic.RadialResult)
    assert_type(result.energies, NDArray[Any])
    assert_type(result.P, NDArray[Any])
    assert_type(result.r, NDArray[Any])
    assert_type(result.certified, bool)
    assert_type(result.evaluate(r), NDArray[Any])
    assert_type(result.label(0), str)
    assert_type(result.plot(what="orbitals"), Axes)
    dirac = atomic.solve_radial_dirac(lambda r: -1.0 / r, kappa=-1, Z=1.0, formulation="elimination")
    assert_type(dirac, atomic.RadialResult)
    assert_type(dirac.status, Status)
    return result.energies


def watch(intermediate_result: atomic.AtomResult) -> None:
    """Follow the total energy."""
    print(intermediate_result.total_energy)


def atoms() -> float:
    """Kohn and Sham."""
    atom = atomic.AtomDFT(8, xc="lda", mixing="anderson")
    result = atom.run(maxiter=50, callback=watch)
    assert_type(result, atomic.AtomResult)
    assert_type(result.total_energy, float)
    assert_type(result.orbitals, tuple[atomic.Orbital, ...])
    assert_type(result.orbital("1s"), atomic.Orbital)
    assert_type(result.orbital("1s").energy, float)
    assert_type(result.energy_terms, dict[str, float])
    assert_type(result.density, NDArray[Any])
    assert_type(result.error_estimate, float)
    assert_type(result.mesh, atomic.RadialMesh | None)
    assert_type(atomic.solve_atoms([1, 2, 3], tol=1e-6), list[atomic.AtomResult])
    warm = atomic.AtomDFT("Fe", xc="pbe", temperature=0.01).run()
    assert_type(warm.chemical_potential, float)
    assert_type(warm.evaluate(r, derivative=1), atomic.AtomFunctions)
    assert_type(warm.evaluate(r).density, NDArray[Any])
    assert_type(warm.norm_outside(r), NDArray[Any])
    assert_type(warm.log_derivative(r, 2.0, 1), NDArray[Any])
    assert_type(warm.phase_shift(r, 1), NDArray[Any])
    warm.export("iron.txt", format="text", r=r)
    return result.total_energy


def parts() -> None:
    """Meshes, functionals, reference values."""
    mesh = atomic.RadialMesh(np.linspace(0.0, 10.0, 5), order=10)
    assert_type(mesh.n_elements, int)
    assert_type(mesh.refined(), atomic.RadialMesh)
    assert_type(atomic.ground_configuration(8), str)
    assert_type(atomic.hydrogenic_energy(1.0, 1, 0), float)
    assert_type(atomic.thomas_fermi_potential(r, 8.0), NDArray[Any])
    assert_type(atomic.vwn_lda(r), tuple[NDArray[Any], NDArray[Any]])
    assert_type(atomic.vwn_lsda(r, r), tuple[NDArray[Any], NDArray[Any], NDArray[Any]])
    print(atomic.optimality.schroedinger, atomic.problems.oscillator)


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    atomic.AtomDFT(8, xc="lad")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    atomic.AtomDFT(8, mixing="andersen")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    atomic.solve_radial_schroedinger(abs, overlap="lumpd")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    atomic.solve_radial_dirac(abs, formulation="square")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    atomic.solve_atoms([1, 2], spin_polarised=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    atomic.solve_radial_schroedinger(abs).plot(what="orbital")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    atomic.AtomDFT(8).run().plot(what="densities")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
