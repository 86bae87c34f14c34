"""The published tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


def read(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.fixture(scope="session")
def total_energies():
    """Rows with Z, symbol, configuration, schroedinger, dirac."""
    return read("lda_total_energies.csv")


@pytest.fixture(scope="session")
def eigenvalues():
    """Rows with Z, n, l, kappa, eigenvalue."""
    return read("lda_eigenvalues.csv")


@pytest.fixture(scope="session")
def periodic_table():
    """All atoms, computed once: [Schrödinger, Dirac]."""
    from numsolve.atomic import solve_atoms

    return [solve_atoms(range(1, 93), relativistic=relativistic) for relativistic in (False, True)]
