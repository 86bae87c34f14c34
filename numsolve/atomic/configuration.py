"""Electron configurations: ground states of the elements, and the notation of spectroscopists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from numsolve._core import checks

from .mesh import LARGEST_CHARGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    #: A string, or a list of shells, (n, l, occupation) or (n, l, up, down).
    Configuration: TypeAlias = str | Iterable["Shell | tuple[float, ...] | list[float]"]

_NAMES = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
Mc Lv Ts Og
"""
SYMBOLS = _NAMES.split()
LETTERS = "spdfghi"
#: Elements whose ground state does not follow from the order of n + l, then n.
_EXCEPTIONS = {
    24: "[Ar] 3d5 4s1",
    29: "[Ar] 3d10 4s1",
    41: "[Kr] 4d4 5s1",
    42: "[Kr] 4d5 5s1",
    44: "[Kr] 4d7 5s1",
    45: "[Kr] 4d8 5s1",
    46: "[Kr] 4d10",
    47: "[Kr] 4d10 5s1",
    57: "[Xe] 5d1 6s2",
    58: "[Xe] 4f1 5d1 6s2",
    64: "[Xe] 4f7 5d1 6s2",
    78: "[Xe] 4f14 5d9 6s1",
    79: "[Xe] 4f14 5d10 6s1",
    89: "[Rn] 6d1 7s2",
    90: "[Rn] 6d2 7s2",
    91: "[Rn] 5f2 6d1 7s2",
    92: "[Rn] 5f3 6d1 7s2",
    93: "[Rn] 5f4 6d1 7s2",
    96: "[Rn] 5f7 6d1 7s2",
    103: "[Rn] 5f14 7s2 7p1",
}
_SHELL = re.compile(r"([1-9]\d?)([a-z])(\d*\.?\d*(?:e-?\d+)?)")


@dataclass(frozen=True, order=True)
class Shell:
    """A subshell: quantum numbers n and l, and the electrons in it, by spin or by j where that was given.

    With kappa, which is -(l + 1) for j = l + 1/2 and l for j = l - 1/2, it is half of a Dirac shell.
    """

    n: int
    l: int  # noqa: E741
    occupation: float
    kappa: int | None = None
    spins: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """As "3d"; for a Dirac subshell as "3d5/2"."""
        return orbital_label(self.n, self.l, self.kappa)

    def __str__(self) -> str:
        return f"{self.label}{self.occupation:g}"


@dataclass(frozen=True)
class Level:
    """What one orbital is: quantum numbers, spin and occupation."""

    n: int
    l: int  # noqa: E741
    kappa: int | None
    spin: int
    occupation: float

    @property
    def room(self) -> int:
        """The most electrons in it."""
        if self.kappa is not None:
            return 2 * abs(self.kappa)
        return (2 if self.spin == 0 else 1) * (2 * self.l + 1)

    @property
    def channel(self) -> int:
        """The number that its radial equation knows: kappa, or l."""
        return self.l if self.kappa is None else self.kappa


def orbital_label(n: int, l: int, kappa: int | None = None) -> str:  # noqa: E741
    """Name an orbital: "3d", or "3d5/2" with kappa."""
    letter = LETTERS[l] if l < len(LETTERS) else f"[l={l}]"
    return f"{n}{letter}" if kappa is None else f"{n}{letter}{2 * abs(kappa) - 1}/2"


def ground_configuration(Z: int) -> str:
    """Return the ground-state configuration of a neutral atom, as the NIST tables have it up to uranium.

    Beyond they are those of spectroscopy up to 7s2 and 7p1 of lawrencium, and from 104 on what is predicted.

    Parameters
    ----------
    Z : int
        Nuclear charge, 1 to 118.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If Z is not between 1 and 118.

    References
    ----------
    S. Kotochigova, Z. H. Levine, E. L. Shirley, M. D. Stiles, C. W. Clark, "Local-density-functional
    calculations of the energy of atoms", Phys. Rev. A 55, 191 (1997).

    Examples
    --------
    >>> from numsolve.atomic import ground_configuration
    >>> ground_configuration(24)
    '1s2 2s2 2p6 3s2 3p6 3d5 4s1'
    """
    Z = checks.integer("Z", Z, low=1, high=len(SYMBOLS))
    return " ".join(map(str, _ground(Z)))


@lru_cache(maxsize=256)
def parse_configuration(text: str) -> tuple[Shell, ...]:
    """Read a configuration as "[Ar] 3d5 4s1"; shells come in the order of n, then l."""
    shells: dict[tuple[int, int], Shell] = {}
    for word in text.split():
        if word.startswith("["):
            name = word[1:-1]
            if not word.endswith("]") or name not in SYMBOLS:
                raise ValueError(f"configuration has the core {word!r}; a core is written as '[Ar]'")
            new: tuple[Shell, ...] = _ground(SYMBOLS.index(name) + 1)
        else:
            match = _SHELL.fullmatch(word)
            if match is None or match[2] not in LETTERS:
                raise ValueError(
                    f"configuration has the word {word!r}; a shell is written as '3d5' or '4s0.5'"
                )
            new = (Shell(int(match[1]), LETTERS.index(match[2]), float(match[3] or 1)),)
        for shell in new:
            if (shell.n, shell.l) in shells:
                raise ValueError(f"configuration has the shell {shell.label} twice")
            shells[shell.n, shell.l] = shell
    return tuple(sorted(shells.values()))


def read_charge(Z: float | str, name: str = "Z") -> float:
    """The nuclear charge, of an element too."""
    if isinstance(Z, str):
        if Z not in SYMBOLS:
            raise ValueError(f"{name} must be a number or the symbol of an element, as 'Fe'; got {Z!r}")
        return float(SYMBOLS.index(Z) + 1)
    return checks.real(name, Z, low=0.0, open_low=True, high=LARGEST_CHARGE)


def read_electrons(
    Z: float, n_electrons: float | None, configuration: Configuration | None
) -> tuple[tuple[Shell, ...], float]:
    """Shells and the number of electrons in them."""
    wanted = None if n_electrons is None else checks.real("n_electrons", n_electrons, low=0.0, open_low=True)
    if configuration is None:
        number = Z if wanted is None else wanted
        if number != int(number) or not 1 <= number <= len(SYMBOLS):
            raise ValueError(
                f"configuration must be given for {number:g} electrons: ground states are known for 1 ... 118"
            )
        configuration = ground_configuration(int(number))
    shells = read_configuration(configuration)
    electrons = sum(shell.occupation for shell in shells)
    if wanted is not None and abs(electrons - wanted) > 1e-9 * wanted:
        raise ValueError(f"configuration has {electrons:g} electrons, n_electrons is {wanted:g}")
    if not electrons > 0:
        raise ValueError("configuration must hold electrons, got none")
    return shells, electrons


def read_configuration(configuration: Configuration) -> tuple[Shell, ...]:
    """Check a configuration in any of its forms: a string, or a list of (n, l, f), (n, l, up, down).

    A dictionary key (n, kappa) has no place in a string: Dirac subshells are given as `Shell`.
    """
    if isinstance(configuration, str):
        shells = parse_configuration(configuration)
    elif not hasattr(configuration, "__iter__"):
        kind = type(configuration).__name__
        raise TypeError(f"configuration must be a string or a list of shells, got {kind}")
    else:
        shells = tuple(sorted(map(_shell, configuration)))
        names = [(shell.n, shell.l, shell.kappa) for shell in shells]
        for shell, name in zip(shells, names, strict=True):
            if names.count(name) > 1 or (shell.kappa is not None and (shell.n, shell.l, None) in names):
                raise ValueError(f"configuration has the shell {shell.label} twice")
    if not shells:
        raise ValueError("configuration is empty; at least one shell is wanted")
    for shell in shells:
        if not 0 <= shell.l < shell.n:
            raise ValueError(f"configuration has n = {shell.n}, l = {shell.l}; 0 <= l < n is wanted")
        if shell.kappa is not None and shell.kappa not in {-shell.l - 1, shell.l or -1}:
            raise ValueError(
                f"configuration has kappa = {shell.kappa} with l = {shell.l}; -(l + 1) or l wanted, not 0"
            )
        room = 2 * (2 * shell.l + 1) if shell.kappa is None else 2 * abs(shell.kappa)
        checks.real(f"the occupation of {shell.label}", shell.occupation, low=0.0, high=room)
        for part in shell.spins or ():
            checks.real(f"the occupation of {shell.label} in one spin", part, low=0.0, high=room / 2)
    return shells


def _shell(entry: Any) -> Shell:
    """Make a shell of (n, l, f) or (n, l, up, down)."""
    if isinstance(entry, Shell):
        return entry
    if not isinstance(entry, tuple | list) or len(entry) not in {3, 4}:
        raise ValueError(
            f"configuration has the entry {entry!r}; (n, l, occupation) or (n, l, up, down) is wanted"
        )
    n, l = checks.integer("n", entry[0], low=1), checks.integer("l", entry[1], low=0)  # noqa: E741
    parts = tuple(checks.real("an occupation", part) for part in entry[2:])
    return Shell(n, l, sum(parts), spins=parts if len(parts) == 2 else None)


@lru_cache(maxsize=128)
def _ground(Z: int) -> tuple[Shell, ...]:
    """Fill shells in the order of n + l, then n, but for the exceptions."""
    if Z in _EXCEPTIONS:
        return parse_configuration(_EXCEPTIONS[Z])
    left, shells = Z, []
    order = [(n, l) for n in range(1, 8) for l in range(min(n, 4))]  # noqa: E741
    for n, l in sorted(order, key=lambda shell: (sum(shell), shell)):  # noqa: E741
        filled = min(left, 2 * (2 * l + 1))
        if filled:
            shells.append(Shell(n, l, float(filled)))
        left -= filled
    return tuple(sorted(shells))


def levels(shells: tuple[Shell, ...], relativistic: bool, spin_polarized: bool) -> Iterator[Level]:
    """Orbitals of the shells: by kappa for Dirac, by spin where it is polarised."""
    for shell in shells:
        n, l, f = shell.n, shell.l, shell.occupation  # noqa: E741
        if shell.spins is not None and not spin_polarized:
            raise ValueError(f"configuration gives {shell.label} by spin; that needs spin_polarized=True")
        if shell.kappa is not None and not relativistic:
            raise ValueError(f"configuration gives {shell.label} by j; that needs the Dirac equation")
        if shell.kappa is not None:
            yield Level(n, l, shell.kappa, 0, f)
        elif relativistic:
            for kappa in (-l - 1, l) if l else (-1,):
                yield Level(n, l, kappa, 0, f * abs(kappa) / (2 * l + 1))
        elif spin_polarized:
            up, down = shell.spins or (min(f, 2 * l + 1), max(f - 2 * l - 1, 0.0))
            yield Level(n, l, None, 1, up)
            yield Level(n, l, None, -1, down)
        else:
            yield Level(n, l, None, 0, f)
