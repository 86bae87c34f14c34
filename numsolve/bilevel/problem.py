"""The statement of a bilevel problem: `BilevelProblem`.

    minimise over theta   phi(theta) = F(x*(theta), theta),   x*(theta) = argmin_x f(x, theta).

F is the upper, f the lower objective. H = d2f/dx2 and C = d2f/(dx dtheta) are the lower objective's
derivatives; only the products H v and C'q are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

    #: A number, or a function of theta.
    Constant: TypeAlias = float | Callable[[Array], float] | None

#: What each name is called with, for error messages.
ORACLES = {
    "upper_grad": "(x, theta), returning dF/dx and dF/dtheta",
    "lower_grad": "(x, theta), returning df/dx",
    "lower_hvp": "(x, theta, v), returning the Hessian of f times v",
    "lower_hess": "(x, theta), returning the Hessian of f as a matrix",
    "lower_cross_vjp": "(x, theta, q), returning C'q",
    "lower_grad_theta": "(x, theta), returning df/dtheta",
}


class BilevelProblem:
    r"""A bilevel problem.

    Parameters
    ----------
    upper, lower : callable
        ``F(x, theta)`` and ``f(x, theta)``, returning numbers.
    upper_grad : callable
        ``(x, theta) -> (dF/dx, dF/dtheta)``; None in place of the second where F does not see theta.
    lower_grad : callable
        ``(x, theta) -> df/dx``.
    lower_hvp : callable, optional
        ``(x, theta, v) -> H v``.
    lower_cross_vjp : callable, optional
        ``(x, theta, q) -> C'q``, of the shape of theta.
    lower_grad_theta : callable, optional
        ``(x, theta) -> df/dtheta``: for the penalty methods and LV-HBA.
    lower_hess : callable, optional
        ``(x, theta) -> H``, a matrix over the ravelled x, for up to some thousand unknowns in NumPy. Newton's
        method and the adjoint system then take a Cholesky factorisation in place of products, and
        `lower_hvp` need not be given. It counts as one product for each unknown.
    mu, L : float or callable, optional
        Bounds of the eigenvalues of H, or functions of theta that give them. Without mu no error can be
        bounded, only estimated.
    lipschitz_upper, lipschitz_hess, lipschitz_cross, cross_norm : float or callable, optional
        Lipschitz constants in x of the upper gradient, of H and of C, and a bound of ``||C||`` at the lower
        solution. Those that are missing are estimated by differences where they are needed.
    lower_solver : callable, optional
        ``(theta, x0, tol) -> x`` with ``||df/dx|| <= tol``: your own solver of the lower problem, or another
        area's. It may return a `numsolve.Result`. What it returns is measured by `lower_grad`.
    lower_eq, lower_ineq : tuple, optional
        Coupled constraints ``(A_x, A_theta, b)`` of the lower problem: ``A_x x + A_theta theta = b``, or
        ``<= b``. LV-HBA only.
    lower_project : callable, optional
        The projection of x on a convex set, called as ``(x, step)``: penalty methods only. Other proximal
        maps are not taken, as the values that the steps are judged by lack their functions.
    theta_bounds : tuple, optional
        ``(low, high)``: numbers or arrays; None for no bound.
    theta_project : callable, optional
        The projection of theta on a convex set: penalty methods and LV-HBA.
    samples : tuple of int, optional
        How many samples ``(upper, lower)`` the two objectives are means over, for the stochastic methods.
        Each function is then called with a keyword `batch` too: an array of indices, or None for all.
    backend : {"numpy", "jax"}
        With "jax", `upper` and `lower` are JAX functions, and whatever derivative is not given comes from
        JAX, in double precision. Arrays go in and come out as NumPy's.

    Raises
    ------
    TypeError
        If something that should be callable is not.
    ValueError
        If a constant is not positive, or there is neither a gradient nor `backend="jax"`.

    Examples
    --------
    Ridge regression whose penalty e^theta is chosen by a validation set:

    >>> import numpy as np
    >>> from numsolve import bilevel
    >>> rng = np.random.default_rng(0)
    >>> A, A_val = rng.normal(size=(30, 5)), rng.normal(size=(20, 5))
    >>> b, b_val = A.sum(axis=1) + rng.normal(size=30), A_val.sum(axis=1)
    >>> problem = bilevel.BilevelProblem(
    ...     lambda x, t: 0.5 * np.sum((A_val @ x - b_val) ** 2),
    ...     lambda x, t: 0.5 * np.sum((A @ x - b) ** 2) + 0.5 * np.exp(t[0]) * x @ x,
    ...     upper_grad=lambda x, t: (A_val.T @ (A_val @ x - b_val), None),
    ...     lower_grad=lambda x, t: A.T @ (A @ x - b) + np.exp(t[0]) * x,
    ...     lower_hvp=lambda x, t, v: A.T @ (A @ v) + np.exp(t[0]) * v,
    ...     lower_cross_vjp=lambda x, t, q: np.array([np.exp(t[0]) * x @ q]),
    ...     mu=lambda t: np.exp(t[0]),
    ... )
    >>> result = bilevel.minimize_bilevel(problem, [0.0], np.zeros(5))
    >>> bool(result.success), result.error_bound < 1e-6
    (True, True)
    """

    def __init__(
        self,
        upper: Callable[..., Any],
        lower: Callable[..., Any],
        *,
        upper_grad: Callable[..., Any] | None = None,
        lower_grad: Callable[..., Any] | None = None,
        lower_hvp: Callable[..., Any] | None = None,
        lower_cross_vjp: Callable[..., Any] | None = None,
        lower_grad_theta: Callable[..., Any] | None = None,
        lower_hess: Callable[..., Any] | None = None,
        mu: Constant = None,
        L: Constant = None,
        lipschitz_upper: Constant = None,
        lipschitz_hess: Constant = None,
        lipschitz_cross: Constant = None,
        cross_norm: Constant = None,
        lower_solver: Callable[..., Any] | None = None,
        lower_eq: tuple[Any, Any, Any] | None = None,
        lower_ineq: tuple[Any, Any, Any] | None = None,
        lower_project: Callable[..., Any] | None = None,
        theta_bounds: tuple[Any, Any] | None = None,
        theta_project: Callable[..., Any] | None = None,
        samples: tuple[int, int] | None = None,
        backend: Literal["numpy", "jax"] = "numpy",
    ) -> None:
        self.upper = checks.function("upper", upper)
        self.lower = checks.function("lower", lower)
        checks.choice("backend", backend, ("numpy", "jax"))
        given = {
            "upper_grad": upper_grad,
            "lower_grad": lower_grad,
            "lower_hvp": lower_hvp,
            "lower_cross_vjp": lower_cross_vjp,
            "lower_grad_theta": lower_grad_theta,
            "lower_hess": lower_hess,
        }
        for name, value in given.items():
            checks.function(name, value, optional=True)
        if backend == "jax":
            from ._jaxed import derivatives

            made = derivatives(upper, lower)
            self.upper, self.lower = made.pop("upper"), made.pop("lower")
            given = {name: made.get(name) if value is None else value for name, value in given.items()}
        self.upper_grad = given["upper_grad"]
        self.lower_grad = given["lower_grad"]
        self.lower_hess = lower_hess
        # True where products are made by Hessians.
        self.only_hess = given["lower_hvp"] is None and lower_hess is not None
        self.lower_hvp = self._product if self.only_hess else given["lower_hvp"]
        self.lower_cross_vjp = given["lower_cross_vjp"]
        self.lower_grad_theta = given["lower_grad_theta"]
        self.require("a bilevel problem", "upper_grad", "lower_grad")
        self.lower_solver = checks.function("lower_solver", lower_solver, optional=True)
        self.lower_project = checks.function("lower_project", lower_project, optional=True)
        self.theta_project = checks.function("theta_project", theta_project, optional=True)
        self.backend = backend
        self.constants: dict[str, Constant] = {}
        for name, constant in {
            "mu": mu, "L": L, "lipschitz_upper": lipschitz_upper, "lipschitz_hess": lipschitz_hess,
            "lipschitz_cross": lipschitz_cross, "cross_norm": cross_norm,
        }.items():  # fmt: skip
            if constant is not None and not callable(constant):
                positive = name in {"mu", "L"}
                self.constants[name] = checks.real(name, constant, low=0.0, open_low=positive)
            else:
                self.constants[name] = constant
        numbers = [self.constants["mu"], self.constants["L"]]
        known = [number for number in numbers if isinstance(number, float)]
        if len(known) == 2 and known[0] > known[1]:
            raise ValueError(f"mu must be at most L, got mu = {mu} and L = {L}")
        self.lower_eq = self._coupling("lower_eq", lower_eq)
        self.lower_ineq = self._coupling("lower_ineq", lower_ineq)
        self.theta_bounds = theta_bounds
        if samples is not None:
            if backend == "jax":
                raise ValueError("samples are for NumPy callables; with JAX, draw inside of them")
            if len(samples) != 2:
                raise ValueError("samples must be a pair, (upper, lower)")
            upper_samples, lower_samples = samples
            samples = (
                checks.integer("samples[0]", upper_samples, low=1),
                checks.integer("samples[1]", lower_samples, low=1),
            )
        self.samples = samples
        #: False where derivatives have corners, so that differences cannot judge them.
        self.smooth = True

    def _product(self, x: Array, theta: Array, v: Array, **batch: Any) -> Array:
        """H v by the Hessian."""
        assert self.lower_hess is not None
        product: Array = np.asarray(self.lower_hess(x, theta, **batch)) @ v.reshape(-1)
        return product.reshape(v.shape)

    def require(self, who: str, *names: str) -> None:
        """Refuse a method whose oracles are missing.

        Parameters
        ----------
        who : str
            What needs them.
        *names : str
            Their names.
        """
        for name in names:
            if getattr(self, name) is None:
                raise ValueError(f"{who} needs {name}, a function of {ORACLES[name]}; or backend='jax'")

    def constant(self, name: str, theta: Array) -> float | None:
        """Evaluate one of the constants.

        Parameters
        ----------
        name : str
            "mu", "L", "lipschitz_upper", "lipschitz_hess", "lipschitz_cross" or "cross_norm".
        theta : array
            Where.

        Returns
        -------
        float or None
            None where it is not known.
        """
        value = self.constants[name]
        if not callable(value):
            return value
        return checks.real(f"{name}(theta)", value(theta), low=0.0, open_low=name in {"mu", "L"})

    def _coupling(self, name: str, value: Any) -> tuple[Array, Array, Array] | None:
        """Check (A_x, A_theta, b)."""
        if value is None:
            return None
        if not isinstance(value, tuple | list) or len(value) != 3:
            raise ValueError(f"{name} must be a tuple (A_x, A_theta, b)")
        A_x = checks.array(f"{name}[0]", value[0], ndim=2)
        A_theta = checks.array(f"{name}[1]", value[1], ndim=2, shape=(A_x.shape[0], None))
        b = checks.array(f"{name}[2]", value[2], shape=(A_x.shape[0],))
        joint = np.concatenate([A_x, A_theta], axis=1)
        if name == "lower_eq" and b.size:
            found = np.linalg.lstsq(joint, b, rcond=None)[0]
            if arrays.norm(np, joint @ found - b) > 1e-8 * max(1.0, arrays.norm(np, b)):
                raise ValueError("lower_eq has no solution: its equations contradict each other")
        return A_x, A_theta, b
