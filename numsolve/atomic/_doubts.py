"""When a converged energy is none: the operator has no lowest one, or the mesh knows no digit of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core.result import Status

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from .mesh import RadialMesh

#: The estimated error of an energy, relative to it or to one unit, from which on it is none. On a mesh of the
#: user's own that is only too coarse, energies are those of the mesh, and a warning tells of their error.
TOLERABLE = 10.0
#: Points at up to so many times the least radius tell how V behaves at the origin. Between them the strength
#: of a weaker singularity falls towards it by more than the other factor.
NEAR, LEVEL = 20.0, 0.95
NO_LOWEST = (
    "V is so deep at the origin that there is no lowest energy, and each mesh has energies of its own: it is "
    "like -g / r^2 there with g > (l + 1/2)^2 / 2, or like -g / r with g > c |kappa| in Dirac's equation, or "
    "falls faster."
)


def doubt(strength: Array, most: float, errors: Array) -> tuple[Status, str] | None:
    """What is to be said of a success whose energies, with these relative errors, are none.

    `strength` is what `strength_of` the potential is, and `most` what the kinetic energy balances.
    """
    if strength.size and strength.min() > most and strength[0] >= LEVEL * strength.max():
        return Status.UNBOUNDED, NO_LOWEST
    if (errors > TOLERABLE).any():
        worst = float(np.max(errors, where=np.isfinite(errors), initial=0.0))
        return Status.STAGNATED, f"The relative error of an energy is estimated at {worst:.1g}."
    return None


def strength_of(mesh: RadialMesh, r: Array, v: Array, *, relativistic: bool) -> Array:
    """-r^2 V, or -r V for Dirac's equation, at the points next to the origin, if the mesh begins there.

    What V has beside a nucleus' -Z / r is enough. If it does not fall towards the origin and is above the
    constant of Hardy's inequality, or Dirac's c |kappa|, then no kinetic energy balances it.
    """
    near = r <= (NEAR * r[0] if mesh.edges[0] == 0.0 else 0.0)
    return np.asarray(-v[near] * r[near] ** (1 if relativistic else 2))
