"""What the Schrödinger and the Dirac solver share: the potential, the iteration, the result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import caller_level

from . import fields
from .mesh import RadialMesh
from .result import RadialResult
from .tables import States, gather, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tables import Tables


#: Relative changes of an energy below this are rounding errors.
ROUNDING = 4e-13


def read_mesh(mesh: Any, r_max: Any, Z: float, *, dirac: bool) -> RadialMesh:
    """Return the mesh given, or sixteen elements on [0, r_max]."""
    if mesh is None:
        return RadialMesh.atomic(Z, dirac and Z > 0, r_max, n_elements=16, order=18)
    if not isinstance(mesh, RadialMesh):
        raise TypeError(f"mesh must be a RadialMesh, got {type(mesh).__name__}")
    return mesh


def read_states(n_states: Any, mesh: RadialMesh, size: int) -> int:
    """Check the number of states asked for."""
    number: int = checks.integer("n_states", n_states, low=1)
    if number > size:
        raise ValueError(f"n_states must be at most {size}, the unknowns of the mesh {mesh}; got {number}")
    return number


def read_potential(V: Any, r: Any, Z: float) -> Any:
    """Values of a potential at the radii; samples are interpolated, less their singularity -Z / r."""
    if callable(V):
        return checks.output("V", V(r.copy()), shape=r.shape, points=r)
    if not isinstance(V, tuple | list) or len(V) != 2:
        raise TypeError(f"V must be callable or a pair (r, v) of samples, got {type(V).__name__}")
    from scipy.interpolate import CubicSpline

    arrays.array_namespace(r=V[0], v=V[1])
    radii, values = (arrays.to_host(part) if hasattr(part, "shape") else part for part in V)
    radii = checks.array("the r of V", radii, ndim=1, dtype=np.float64)
    values = checks.array("the v of V", values, shape=radii.shape, dtype=np.float64)
    if radii.size < 4 or not (np.diff(radii) > 0).all():
        raise ValueError("the r of V must hold at least 4 radii, strictly increasing")
    if radii[0] > r.min() or radii[-1] < r.max():
        raise ValueError(
            f"the r of V must cover the mesh, [{r.min():.3g}, {r.max():.3g}], "
            f"got [{radii[0]:.3g}, {radii[-1]:.3g}]"
        )
    positive = radii > 0
    return np.asarray(CubicSpline(radii[positive], values[positive] + Z / radii[positive])(r) - Z / r)


def solve(
    tables: Tables,
    mesh: RadialMesh,
    V: Any,
    Z: float,
    n_states: int,
    *,
    l: int,  # noqa: E741
    kappa: int | None,
    power: float,
    x0: Any,
    tol: float,
    maxiter: int | None,
    callback: Callable[..., Any] | None,
    progress: bool,
    time_limit: float | None,
) -> RadialResult:
    """Rayleigh quotient iteration for the lowest states of the only channel of the tables."""
    from . import _cpu_states as k

    r = gather(tables.r, mesh.n_elements)
    tol = checks.real("tol", tol, low=0.0)
    start = None if x0 is None else checks.array("x0", x0, shape=(n_states,), dtype=np.float64)
    with Monitor(
        atol=tol,
        maxiter=50 if maxiter is None else maxiter,
        time_limit=time_limit,
        callback=callback,
        progress=progress,
        label="Dirac" if kappa else "Schrödinger",
        rounding=ROUNDING,
        patience=20,
        step_seconds=1e-5 * n_states,
    ) as it:
        v = read_potential(V, r, Z)
        lanes = spread(v.reshape(mesh.n_elements, mesh.n_quad))[None]
        if kappa is not None and k.too_deep(tables, lanes):
            raise ValueError(
                f"V is so deep that states dive into the lower continuum (the Klein region: M <= 0 "
                f"below {v.max() - 2 * tables.c**2:.6g} Ha); raise c or make V shallower"
            )
        zero = np.zeros(n_states, dtype=np.int64)
        states = States.of(tables, zero, zero, np.arange(n_states), np.zeros(n_states))
        if start is not None:
            states.energy[:] = start
        first, residuals = True, np.empty(1)
        while it.running:
            n, stop_at = it.chunk()
            residuals = np.empty(n)
            done = k.sweep(tables, states, lanes, n, stop_at, residuals, first)
            first = False
            it.extend(residuals[:done], RUNNING, states.energy)
    P, Q = fields.orbital_values(tables, states, lanes)
    edge = float(v[-1]) + l * (l + 1) / (2 * r[-1] ** 2)
    bound = ~(states.energy >= edge)  # of a state that was not found, nothing is said
    result = it.result(
        RadialResult,
        x=states.energy,
        n=l + 1 + np.arange(n_states),
        l=l,
        kappa=kappa,
        r=r,
        weights=gather(tables.weight, mesh.n_elements),
        P=P,
        Q=Q,
        V=v,
        certified=bool(states.certified.all()),
        bound=bound,
        nfactorizations=int(states.work[0]),
        mesh=mesh,
        _u=fields.natural_u(tables, states),
        _power=power,
    )
    warn_of_unbound(bound, [result.label(i) for i in range(n_states)], mesh)
    return result


def warn_of_unbound(bound: Any, labels: list[str], mesh: RadialMesh) -> None:
    """Say which states only the wall at r_max holds together."""
    loose = [label for label, held in zip(labels, bound, strict=True) if not held]
    if loose:
        names = ", ".join(loose[:6]) + (", ..." if len(loose) > 6 else "")
        warnings.warn(
            f"not bound: {names}. The energy is above the potential at r_max = {mesh.r_max:g}, "
            "so that the wall there decides it",
            UnboundWarning,
            stacklevel=caller_level(),
        )


class UnboundWarning(UserWarning):
    """A state is held by the wall at the end of the mesh, not by the potential."""
