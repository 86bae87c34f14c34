"""Electron configurations."""

from __future__ import annotations

import pytest

from numsolve.atomic import ground_configuration
from numsolve.atomic.configuration import SYMBOLS, Shell, orbital_label, read_configuration


def test_ground_states_are_those_of_the_table(total_energies):
    for row in total_energies:
        assert ground_configuration(int(row["Z"])) == row["configuration"]
        assert SYMBOLS[int(row["Z"]) - 1] == row["symbol"]


@pytest.mark.parametrize("Z", range(1, 119))
def test_ground_states_are_neutral(Z):
    assert sum(shell.occupation for shell in read_configuration(ground_configuration(Z))) == Z


def test_a_core_is_written_in_brackets():
    assert read_configuration("[Ar] 3d5 4s1") == read_configuration(ground_configuration(24))


def test_all_forms_say_the_same():
    want = (Shell(1, 0, 2.0), Shell(2, 0, 0.5))
    assert read_configuration("2s0.5 1s2") == want
    assert read_configuration([(2, 0, 0.5), (1, 0, 2)]) == want
    assert read_configuration("1s 2s0") == (Shell(1, 0, 1.0), Shell(2, 0, 0.0))


def test_labels():
    assert orbital_label(5, 3) == "5f"
    assert [orbital_label(2, 1, kappa) for kappa in (1, -2)] == ["2p1/2", "2p3/2"]
    assert str(Shell(3, 2, 7.5)) == "3d7.5"
