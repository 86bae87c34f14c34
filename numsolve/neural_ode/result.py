"""What a differential-equation solve returns: `ODEResult` and `SDEResult`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Unpack

from numsolve._core import checks
from numsolve._core.result import Result, Status

from ._runge_kutta import polynomial
from ._tableaus import TABLEAUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from numsolve._core.typing import Array, LineStyle

    from ._settings import Settings

__all__ = ["ODEResult", "SDEResult"]

#: what a status means here
MEANING = {
    Status.MAXITER: (
        "The iteration limit was reached before the end of the span: raise max_steps (maxiter in "
        "heuristics), or loosen the tolerance."
    ),
    Status.INFEASIBLE: "The times ts, values of a trace, are out of order, outside the span, or no numbers.",
    Status.NONFINITE: "The right-hand side gave a NaN or an infinity at every step that was tried.",
    Status.BREAKDOWN: (
        "The step became smaller than the spacing of floats: the solution blows up, jumps, or is stiff. "
        "For stiff problems and events use an implicit solver, such as diffrax.Kvaerno5."
    ),
}
#: data that a transformation of JAX does not trace
STATIC = ("history", "detail", "settings")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ODEResult(Result):
    """The solution of an ordinary differential equation, and what it cost.

    It is a pytree of JAX, and can be returned from functions under ``jax.jit``. With ``norm="sample"`` the
    rows have a second axis, and the counters and `status` are arrays, for the samples.

    After a failure `x`, `ys` and every gradient are nan.

    Attributes
    ----------
    x, y : pytree of arrays
        The state at the end.
    ys : pytree of arrays or None
        The states at the times `ts`, along a new leading axis.
    t, h : array of shape (max_steps,)
        Start and length of each accepted step; zero beyond `naccepted`. No gradient flows through them.
    error_estimate : array of shape (max_steps,)
        Scaled error of each accepted step, at most 1; differentiable.
    stiffness : array of shape (max_steps,)
        Estimate of the largest eigenvalue in each step; nan for Bosh3. Differentiable.
    states : pytree of arrays or None
        The states at the starts of the accepted steps, rows beyond `naccepted` without meaning; None with
        ``checkpoint > 1``. Differentiable.
    stages : array or None
        The slopes of each step, with ``dense=True``.
    rejected_t, rejected_h : array of shape (max_steps,)
        Start and length of each rejected attempt.
    naccepted, nrejected : int
        Steps and rejected attempts.
    nfev : int
        Calls of the right-hand side.
    residual : float
        The largest of `error_estimate`.
    settings : Settings
        Method, tolerances, norm and adjoint.
    """

    ys: Any = None
    t: Any = None
    h: Any = None
    error_estimate: Any = None
    stiffness: Any = None
    states: Any = None
    stages: Any = None
    rejected_t: Any = None
    rejected_h: Any = None
    naccepted: Any = 0
    nrejected: Any = 0
    nfev: Any = 0
    settings: Settings | None = field(default=None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; a result of JAX is a pytree from then on."""
        self.__dict__.update(state)
        if "jax" in sys.modules:
            register()

    @property
    def y(self) -> Any:
        """The state at the end, `x`."""
        return self.x

    @property
    def message(self) -> str:
        """Why the solver stopped, in words."""
        status = self.status
        if getattr(status, "shape", ()) == ():
            try:
                meaning = MEANING.get(Status(int(status)))
            except Exception:  # a traced status has no number
                meaning = None
            if meaning is not None:
                return meaning
        return super().message

    @property
    def stability_size(self) -> float:
        """Extent of the method's stability region: `h * stiffness` near it means that stability limits h."""
        assert self.settings is not None
        return stability_size(self.settings.method)

    def __call__(self, t: float | Array) -> Any:
        """Evaluate the dense output, which is differentiable; the solve needs ``dense=True``.

        Parameters
        ----------
        t : float or array of shape (m,)
            Times inside the span.

        Returns
        -------
        pytree of arrays
            The states, along a leading axis if `t` is an array.
        """
        settings = self.settings
        if self.stages is None or settings is None or settings.norm == "sample":
            raise ValueError("the result has no dense output; call odesolve with dense=True and a batch norm")
        import jax
        import jax.numpy as jnp

        dense = TABLEAUS[settings.method].dense
        count = self.naccepted
        sign = jnp.sign(self.h[0])
        starts = jnp.where(jnp.arange(self.t.shape[0]) < count, sign * self.t, jnp.inf)
        leaves, tree = jax.tree.flatten(self.states)

        def one(t: Any) -> Any:
            n = jnp.clip(jnp.searchsorted(starts, sign * t, side="right") - 1, 0, jnp.maximum(count - 1, 0))
            part = (t - self.t[n]) / self.h[n]
            inside = (part >= -1e-3) & (part <= 1.001)
            ok = jnp.where(inside & (self.status == Status.CONVERGED.value), 1.0, jnp.nan)
            weights = jnp.stack([polynomial(row, part) for row in dense])
            out = [
                ok * (y[n] + self.h[n] * jnp.tensordot(weights, k[n], axes=1))
                for y, k in zip(leaves, jax.tree.leaves(self.stages), strict=True)
            ]
            return jax.tree.unflatten(tree, out)

        times = jnp.asarray(t, self.t.dtype)
        return one(times) if times.ndim == 0 else jax.vmap(one)(times)

    def plot(self, ax: Axes | None = None, *, sample: int = 0, **style: Unpack[LineStyle]) -> Axes:
        """Draw step sizes, errors, stiffness and rejected attempts against time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        sample : int
            Which sample, with ``norm="sample"``.
        **style
            Colour, label and the like, for the step sizes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ._picture import plot_steps

        return plot_steps(self, ax, checks.integer("sample", sample, low=0), **style)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SDEResult(ODEResult):
    """A path of a stochastic differential equation; fields as of `ODEResult`.

    `nfev` counts calls of the drift; the diffusion is called as often.
    """


def stability_size(method: str) -> float:
    """Of a method by name; 10.6 is that of the SOSRI family."""
    tableau = TABLEAUS.get(method)
    return 10.6 if tableau is None else tableau.stability_size


@cache
def register() -> None:
    """Tell JAX that results are pytrees; once, when JAX is loaded."""
    import jax

    for kind in (ODEResult, SDEResult):
        names = [f.name for f in dataclasses.fields(kind) if f.name not in STATIC]
        jax.tree_util.register_dataclass(kind, data_fields=names, meta_fields=list(STATIC))
