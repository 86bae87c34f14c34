"""What the Schrödinger and the Dirac solver share: the potential, the iteration, the result."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.codes import RUNNING
from numsolve._core.monitor import Monitor
from numsolve._core.result import PrecisionWarning, Status, caller_level

from . import fields
from ._doubts import doubt, strength_of
from ._tuples import Pencil, States, pieces
from .mesh import LEAST_RADIUS, LONGEST, RadialMesh
from .result import RadialResult
from .tables import first_exponent, gather, spread, unspread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike

    from ._tuples import Tables

    #: A function of the radii, or samples (r, v).
    Potential: TypeAlias = Callable[[Array], ArrayLike] | tuple[ArrayLike, ArrayLike]


#: Relative changes of an energy below this are rounding errors.
ROUNDING = 4e-13
#: A relative error of an energy from which on the user is told that the mesh is too coarse.
COARSE = 1e-5
#: One that rounding errors always allow: the default mesh is refined until they are below it, or `tol`.
FINE = 1e-10
#: The default mesh is refined so often, to no more than so many elements.
ROUNDS, MOST_ELEMENTS = 14, 300


class Channel(NamedTuple):
    """Which equation is solved."""

    l: int  # noqa: E741
    kappa: int | None  # None for Schrödinger's equation
    Z: float
    c: float | None
    power: float  # of r, before the polynomials


def read_mesh(mesh: RadialMesh | None, r_max: float, Z: float, *, dirac: bool) -> RadialMesh:
    """Return the mesh given, or sixteen elements on [0, r_max]."""
    if mesh is None:
        return _default_mesh(Z, dirac and Z > 0, read_radius(r_max))
    if not isinstance(mesh, RadialMesh):
        raise TypeError(f"mesh must be a RadialMesh, got {type(mesh).__name__}")
    return mesh


def read_radius(r_max: float) -> float:
    """The end of a mesh that is to be made."""
    return checks.real("r_max", r_max, low=LEAST_RADIUS, high=LONGEST)


@lru_cache(maxsize=64)
def _default_mesh(Z: float, dirac: bool, r_max: float) -> RadialMesh:
    return RadialMesh.atomic(Z, dirac, r_max, n_elements=16, order=18)


def read_states(n_states: int, mesh: RadialMesh, size: int) -> int:
    """Check the number of states asked for."""
    number: int = checks.integer("n_states", n_states, low=1)
    if number > size:
        raise ValueError(f"n_states must be at most {size}, the unknowns of the mesh {mesh}; got {number}")
    return number


def read_potential(V: Potential, r: Array, Z: float, *, covered: bool = False, name: str = "V") -> Array:
    """Values of a potential at the radii; samples are interpolated, less their singularity -Z / r.

    If `covered`, the samples are known to cover the mesh, and its points may lie a little beyond.
    """
    if callable(V):
        return checks.output(name, V(r.copy()), shape=r.shape, points=r)
    samples: object = V
    if not isinstance(samples, tuple | list) or len(samples) != 2:
        raise TypeError(f"{name} must be callable or a pair (r, v) of samples, got {type(V).__name__}")
    from scipy.interpolate import CubicSpline

    arrays.array_namespace(r=V[0], v=V[1])
    radii, values = (arrays.to_host(part) if hasattr(part, "shape") else part for part in V)
    radii = checks.array(f"the r of {name}", radii, ndim=1, dtype=np.float64)
    values = checks.array(f"the v of {name}", values, shape=radii.shape, dtype=np.float64)
    if radii.size < 4 or not (np.diff(radii) > 0).all():
        raise ValueError(f"the r of {name} must hold at least 4 radii, strictly increasing")
    if not covered and (radii[0] > r.min() or radii[-1] < r.max()):
        raise ValueError(
            f"the r of {name} must cover the mesh, [{r.min():.3g}, {r.max():.3g}], "
            f"got [{radii[0]:.3g}, {radii[-1]:.3g}]"
        )
    positive = radii > 0
    return np.asarray(CubicSpline(radii[positive], values[positive] + Z / radii[positive])(r) - Z / r)


def is_known_everywhere(V: Potential, mesh: RadialMesh) -> bool:
    """Whether V can be evaluated on this mesh, too: not a function that has values of its own mesh only."""
    size = mesh.n_elements * mesh.n_quad
    inside = np.linspace(float(mesh.edges[0]), mesh.r_max, size + 2)[1:-1]
    return not callable(V) or np.shape(V(inside)) == (size,)


def solve(
    make_tables: Callable[[RadialMesh], Tables],
    mesh: RadialMesh,
    V: Potential,
    channel: Channel,
    n_states: int,
    *,
    x0: ArrayLike | None,
    tol: float,
    limits: Limits,
    rounds: int = 0,
) -> RadialResult:
    """Rayleigh quotient iteration for the lowest states of the only channel of the tables.

    Up to `rounds` times, elements that leave too large an error are divided, and all is done again.
    """
    from . import _cpu_states as kernels

    l, c = channel.l, channel.c  # noqa: E741
    tables = make_tables(mesh)
    r = gather(tables.r, mesh.n_elements)
    tol = checks.real("tol", tol, low=0.0)
    start = None if x0 is None else checks.array("x0", x0, shape=(n_states,), dtype=np.float64)
    v = read_potential(V, r, channel.Z)
    lanes = spread(v.reshape(mesh.n_elements, mesh.n_quad))[None]
    none = [0] * n_states
    states, pencil = States.of(tables, none, none, range(n_states), none), Pencil.of(tables, lanes)
    states.run["relative"], states.run["fresh"] = True, True
    if c is not None or start is not None:
        states.energy[:] = np.nan if start is None else start
        if kernels.guess(tables, states, pencil, c) > 0:
            raise ValueError(
                f"V is so deep that states dive into the lower continuum (the Klein region: M <= 0 "
                f"below {v.max() - 2 * (c or np.inf) ** 2:.6g} Ha); raise c or make V shallower"
            )
    with Monitor(
        limits,
        atol=tol,
        maxiter=50,
        label="Schrödinger" if c is None else "Dirac",
        rounding=ROUNDING,
        patience=20,
        step_seconds=n_states * tables.probe_seconds,
    ) as it:
        while it.running:
            n, stop_at = it.chunk()
            residuals = np.empty(n)
            done = _sweep(tables, states, pencil, c, n, stop_at, residuals, limits)
            if not done:
                it.stop(Status.TIME_LIMIT)
                break
            it.extend(residuals[:done], RUNNING, states.energy)
    whole = _certify(tables, states, pencil, c, limits)
    P, Q = fields.orbital_values(tables, states, lanes, c)
    if whole and it.status in {Status.CONVERGED, Status.ROUNDING} and _has_doubts(states, P, c):
        it.stop(Status.BREAKDOWN, _uncertain(states))
    good = whole and it.status in {Status.CONVERGED, Status.ROUNDING}
    if it.status is Status.NONFINITE and np.isnan(states.energy).any():
        it.stop(Status.BREAKDOWN, _not_found(states, v))
    errors = np.full(n_states, np.nan)
    if good and not limits.expired:
        fine = make_tables(mesh.refined(4))
        errors, shares = _error_estimate(states, mesh, fine, V, lanes, tables, channel, limits)
        scale = np.maximum(states.each["unit"], np.abs(states.energy))
        if rounds and (errors > max(tol, FINE) * scale).any() and mesh.n_elements < MOST_ELEMENTS:
            finer, guess = _divided(mesh, shares), states.energy.copy()
            return solve(
                make_tables,
                finer,
                V,
                channel,
                n_states,
                x0=guess,
                tol=tol,
                limits=limits,
                rounds=rounds - 1,
            )
    if good:
        relative = errors / np.maximum(states.each["unit"], np.abs(states.energy))
        most = (l + 0.5) ** 2 / 2 if c is None else c * abs(channel.kappa or 1)
        strength = strength_of(mesh, r, v + channel.Z / r, relativistic=c is not None)
        if told := doubt(strength, most, relative):
            it.stop(*told)
        elif not limits.expired and np.isnan(errors).any():
            it.stop(Status.BREAKDOWN, "Elements of a higher order do not have these energies.")
    edge = float(v[-1]) + l * (l + 1) / (2 * r[-1] ** 2)
    bound = states.energy < edge
    result = it.result(
        RadialResult,
        x=states.energy,
        residual=float(it.history.residual[-1]) if it.nit else np.inf,
        n=l + 1 + np.arange(n_states),
        l=l,
        kappa=channel.kappa,
        r=r,
        weights=gather(tables.weight, mesh.n_elements),
        P=P,
        Q=Q,
        V=v,
        certified=bool(states.certified.all()),
        error_estimate=errors,
        bound=bound,
        nfactorizations=int(states.run["factorizations"][0]),
        mesh=mesh,
        _u=fields.natural_u(tables, states),
        _power=channel.power,
    )
    labels = [result.label(i) for i in range(n_states)]
    warn_of_unbound(states.energy, bound, labels, mesh)
    warn_of_coarseness(states.energy, np.maximum(states.each["unit"], np.abs(states.energy)), errors, labels)
    return result


def _error_estimate(
    states: States,
    mesh: RadialMesh,
    fine: Tables,
    V: Potential,
    lanes: Array,
    tables: Tables,
    channel: Channel,
    limits: Limits,
) -> tuple[Array, Array]:
    """The errors that the changes of the energies, with elements of an order p higher by four, point to.

    Also the share that each element has in them. nan if the time did not allow to compute them. A potential
    that knows only the points of the mesh is interpolated, less its singularity.
    """
    finer, Z, c = mesh.refined(4), channel.Z, channel.c
    exponent = first_exponent(Z, c) if c is not None and mesh.edges[0] == 0.0 else 0.0
    r, known = gather(fine.r, finer.n_elements), is_known_everywhere(V, finer)
    if not known:
        values = fields.refined_potential(mesh, finer, exponent, lanes + Z / tables.r) - Z / fine.r
    else:
        v = read_potential(V, r, Z, covered=True)
        values = spread(v.reshape(finer.n_elements, finer.n_quad))[None]
    each = states.each
    new = States.of(fine, each["channel"], each["spin"], each["index"], each["occupation"])
    fields.refine_states(mesh, states, finer, fine, new, (channel.power,))
    new.run["relative"], new.run["fresh"] = True, True
    p, d = new.p.copy(), new.d.copy()
    _sweep(fine, new, Pencil.of(fine, values), c, 1, np.inf, np.empty(1), limits)
    scale = np.maximum(each["unit"], np.abs(states.energy))
    errors = np.abs(new.energy - states.energy) / (1 - (mesh.order / finer.order) ** 4) + ROUNDING * scale
    sign = np.sign(np.sum(fine.weight * p * new.p, axis=(1, 2, 3)))[:, None, None, None]
    change = (sign * new.d - d) ** 2 / 2 + np.abs(values) * (sign * new.p - p) ** 2  # energy, at each point
    # The energy of the functions that changed, and what the quadrature of V itself missed.
    missed = (fine.weight * values * p**2).sum(axis=-2) - (tables.weight * lanes * states.p**2).sum(axis=-2)
    shares = (fine.weight * change).sum(axis=-2) + np.abs(missed)
    shared = (shares / scale[:, None, None]).sum(axis=0).ravel()[: mesh.n_elements]
    if callable(V) and known:
        hidden = _unseen(states, mesh, V, lanes, tables, Z, exponent)
        hidden[hidden < fields.SEEN * scale[:, None]] = 0.0
        errors, shared = errors + hidden.sum(axis=1), shared + (hidden / scale[:, None]).sum(axis=0)
    return errors, shared


def _unseen(
    states: States, mesh: RadialMesh, V: Potential, lanes: Array, tables: Tables, Z: float, exponent: float
) -> Array:
    """For each state and element, the energy of what V has between the points, to first order."""
    smooth, P = (unspread(part, mesh.n_elements) for part in (lanes[0] + Z / tables.r, states.p))

    def values(r: Array) -> Array:
        return read_potential(V, r, Z, covered=True) + Z / r

    return fields.unseen(mesh, values, smooth, P**2, exponent)


def _divided(mesh: RadialMesh, shares: Array) -> RadialMesh:
    """Divide the elements with large shares in the error, into four where they have nearly all of it."""
    large = shares > 0.01 * shares.max()
    return mesh.divided(np.where(large, 4 if large.sum() <= 2 else 2, 1))


def warn_of_coarseness(energies: Array, scale: Array, errors: Array, labels: list[str]) -> None:
    """Say which energies the mesh does not resolve, and what to do."""
    if (coarse := errors > COARSE * scale).any():
        k = int(np.argmax(np.where(coarse, errors, 0.0)))
        names = ", ".join(label for label, bad in zip(labels, coarse, strict=True) if bad)
        warnings.warn(
            f"the mesh does not resolve the potential for {names}: the energy of {labels[k]} is "
            f"{energies[k]:.6g} Ha with an error of about {errors[k]:.1g}. Give a mesh= with an edge at "
            "each kink or step of V and shorter elements where it is steep; Z= for a singularity -Z / r",
            PrecisionWarning,
            stacklevel=caller_level(),
        )


def _sweep(
    tables: Tables,
    states: States,
    pencil: Pencil,
    c: float | None,
    n: int,
    stop_at: float,
    residuals: Array,
    limits: Limits,
) -> int:
    """Up to n steps for all states; return how many (none if the time ends before)."""
    from . import _cpu_states as kernels

    done, probes = 0, pieces(tables)
    while done == 0:  # a long step is cut in pieces, each of which advances it
        done = int(kernels.sweep(tables, states, pencil, c, n, stop_at, residuals, probes, False))
        if limits.expired:
            break
    return done


def _certify(tables: Tables, states: States, pencil: Pencil, c: float | None, limits: Limits) -> bool:
    """Note for each state whether it is the one of its index; return whether the time allowed to."""
    from . import _cpu_states as kernels

    states.each["certified"] = False
    whole, probes, none = False, pieces(tables), np.empty(0)
    while not whole:
        whole = bool(kernels.sweep(tables, states, pencil, c, 0, 0.0, none, probes, True))
        if limits.expired:
            break
    return whole


def _has_doubts(states: States, P: Array, c: float | None) -> bool:
    """Whether states that the count does not prove come twice, or (Schrödinger) have the wrong nodes."""
    if states.certified.all():
        return False
    gaps, sizes = np.diff(states.energy), np.abs(states.energy[1:])
    if not (gaps > 1e-9 * sizes).all():
        return True
    if c is not None:
        return False
    large = [row[np.abs(row) > 1e-6 * np.abs(row).max()] for row in P]
    nodes = [int(np.count_nonzero(np.diff(np.sign(row)))) for row in large]
    return nodes != list(range(len(nodes)))


def _not_found(states: States, v: Array) -> str:
    """Say which states were not found, and why that may be."""
    places = ", ".join(map(str, np.flatnonzero(np.isnan(states.energy))[:6]))
    return (
        f"No energy was found for state {places}: there are fewer states, or the rounding errors of V, which "
        f"reaches {np.abs(v).max():.3g} Ha, hide it. Lower what is a wall, or put an edge of the mesh there."
    )


def _uncertain(states: States) -> str:
    """Say which states are not proved to be those of their index, although their energies converged."""
    places = ", ".join(map(str, np.flatnonzero(~states.certified)[:6]))
    return (
        f"The count of energies does not prove the index of state {places}: a state may be missing, or be "
        "there twice. Rounding errors of the potential hide it; refine the mesh where V is steep."
    )


def warn_of_unbound(
    energies: ArrayLike, bound: Sequence[bool] | Array, labels: list[str], mesh: RadialMesh
) -> None:
    """Say which states only the wall at r_max holds together; of those not found the status tells."""
    found = np.isfinite(np.asarray(energies, dtype=float))
    loose = [label for label, held, there in zip(labels, bound, found, strict=True) if there and not held]
    if loose:
        names = ", ".join(loose[:6]) + (", ..." if len(loose) > 6 else "")
        warnings.warn(
            f"not bound: {names}. The energy is above the potential at r_max = {mesh.r_max:g}, or above what "
            "it tends to, so that the wall there decides it",
            UnboundWarning,
            stacklevel=caller_level(),
        )


class UnboundWarning(UserWarning):
    """A state is held by the wall at the end of the mesh, not by the potential."""
