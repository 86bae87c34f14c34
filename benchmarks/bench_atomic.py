"""Atoms: times, and the counts and errors that do not depend on the machine."""

import numpy as np

from numsolve.atomic import (
    AtomDFT,
    RadialMesh,
    hydrogenic_energy,
    problems,
    solve_atoms,
    solve_radial_dirac,
    solve_radial_schroedinger,
)

#: Total energies of uranium, by the converged shooting solver dftatom.
URANIUM = {False: -25658.4178888534, True: -28001.1323254868}


class Atom:
    """One self-consistent field."""

    params = ([10, 47, 92], [False, True])
    param_names = ("Z", "relativistic")

    def setup(self, Z, relativistic):
        self.atom = AtomDFT(Z, relativistic=relativistic)
        self.atom.run()

    def time_run(self, Z, relativistic):
        self.atom.run()

    def track_iterations(self, Z, relativistic):
        return self.atom.run().nit

    def track_factorizations(self, Z, relativistic):
        return self.atom.run().nfactorizations


Atom.track_iterations.unit = "steps"
Atom.track_factorizations.unit = "factorizations"


class Uranium:
    """The error of the total energy, and what the tables of a new mesh cost."""

    params = [False, True]
    param_names = ("relativistic",)

    def setup(self, relativistic):
        AtomDFT(92, relativistic=relativistic).run()
        self.count = 0

    def track_error(self, relativistic):
        return abs(AtomDFT(92, relativistic=relativistic).run().total_energy - URANIUM[relativistic])

    def time_with_new_tables(self, relativistic):
        self.count += 1  # another mesh each time, so that no table is in the cache
        mesh = RadialMesh.atomic(92, relativistic, 50.0 + 1e-6 * self.count)
        AtomDFT(92, relativistic=relativistic, mesh=mesh).run()


Uranium.track_error.unit = "Ha"


class Gradient:
    """A functional of the density's gradient, and the functions of its atom on a grid."""

    def setup(self):
        self.atom = AtomDFT(18, xc="pbe")
        self.result = self.atom.run()
        self.r = np.geomspace(1e-4, 20.0, 1000)

    def time_run(self):
        self.atom.run()

    def track_iterations(self):
        return self.atom.run().nit

    def time_evaluate(self):
        self.result.evaluate(self.r)

    def time_log_derivatives(self):
        self.result.log_derivative(np.linspace(-1.0, 1.0, 50), 2.0, 1)


Gradient.track_iterations.unit = "steps"


class Radial:
    """All states of the charge 92 up to n = 7 in one channel, found without a guess."""

    def setup(self):
        self.V = problems.coulomb(92)
        self.time_schroedinger()
        self.time_dirac()

    def time_schroedinger(self):
        return solve_radial_schroedinger(self.V, 0, 7, Z=92)

    def time_dirac(self):
        return solve_radial_dirac(self.V, -1, 7, Z=92)

    def time_dirac_squared(self):
        return solve_radial_dirac(self.V, -1, 7, Z=92, formulation="squared")

    def track_dirac_error(self):
        exact = [hydrogenic_energy(92, n, kappa=-1) for n in range(1, 8)]
        return float(np.abs(self.time_dirac().energies - exact).max())

    def track_squared_error(self):
        exact = [hydrogenic_energy(92, n, kappa=-1) for n in range(1, 8)]
        return float(np.abs(self.time_dirac_squared().energies - exact).max())


Radial.track_dirac_error.unit = "Ha"
Radial.track_squared_error.unit = "Ha"


class Table:
    """All 92 atoms, one after the other."""

    params = [False, True]
    param_names = ("relativistic",)

    def setup(self, relativistic):
        solve_atoms(range(1, 93), relativistic=relativistic)

    def time_table(self, relativistic):
        solve_atoms(range(1, 93), relativistic=relativistic)

    def peakmem_table(self, relativistic):
        solve_atoms(range(1, 93), relativistic=relativistic)


class Yardstick:
    """The dense eigenvalue problem that times on different machines are compared by."""

    def setup(self):
        matrix = np.random.default_rng(0).standard_normal((300, 300))
        self.matrix = matrix + matrix.T

    def time_eigh_300(self):
        from scipy.linalg import eigh

        eigh(self.matrix)


def timeraw_import_and_solve():
    """A fresh interpreter with a warm cache: import, and one atom."""
    return "from numsolve.atomic import AtomDFT; AtomDFT(10).run()"
