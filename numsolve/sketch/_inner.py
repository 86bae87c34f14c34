"""Inner solvers: the system of a Newton step, and whether it is one of a convex model.

[[H + dw I, G'], [G, -dc I]] z = b                                                                 (3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, splu

from numsolve._core import arrays, checks

from ._minres import minres
from .project import Projector

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, Matrix

#: The largest dense system, and the largest sparse one that is made dense.
DENSE, SMALL = 1500, 120
#: The shift of a sparse system over its largest entry, solves with its factors, and the residual, over that
#: of zero, beyond which it is factorised with pivoting.
STATIC, REFINEMENTS, LOOSE = 1e-11, 6, 1e-10
#: The relative residual of a solve without refinement up to which the signs of the pivots are believed.
TRUSTED = 1e-6
QUASI_DEFINITE = {
    "permc_spec": "MMD_AT_PLUS_A",
    "options": {"SymmetricMode": True},
    "diag_pivot_thresh": 0.0,
}
#: Scalings of a dense system before it is factorised.
EQUILIBRATIONS = 3
#: Constraints up to which the rows of a Jacobian that is an operator are worth their products.
FEW = 200
NAMES = ("auto", "ldl", "splu", "minres", "kaczmarz", "gaussian", "block", "sparse-sign")
#: Curvature of the model along a step that counts as positive, over what it could be.
CURVATURE = 1e-8


@dataclass(frozen=True)
class Step:
    """What came of (3): the solution, and whether the model is convex on the constraints."""

    z: Array
    convex: bool
    regular: bool = True


class Inner:
    """A solver of (3) for one H and G after the other; counts its own steps."""

    #: whether the answer does not depend on the tolerance
    exact = False
    #: whether the time is over
    late: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, n: int, m: int) -> None:
        self.n, self.m, self.steps = n, m, 0

    def prepare(self, H: Any, G: Matrix) -> None:
        """Take the matrices of a new iterate."""
        self.H, self.G = H, G

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:
        """Solve (3) to a relative residual of `rtol`."""
        raise NotImplementedError

    def product(self, z: Array, dw: float, dc: float) -> Array:
        """The matrix of (3) times z."""
        x, y = z[: self.n], z[self.n :]
        return np.concatenate([self.H @ x + dw * x + self.G.T @ y, self.G @ x - dc * y])

    def curvature(self, z: Array, c: Array, dw: float) -> bool:
        """The inertia-free test: the model is convex along the step, up to its part off the constraints."""
        x = z[: self.n]
        image = self.H @ x + dw * x
        along = float(x @ image) + max(float(z[self.n :] @ c), 0.0)
        return along >= CURVATURE * arrays.norm(np, x) * arrays.norm(np, image)


class Ldl(Inner):
    """Dense: Bunch-Kaufman, whose blocks tell the inertia."""

    exact = True

    def prepare(self, H: Any, G: Matrix) -> None:
        super().prepare(dense(H, self.n), dense(G, self.n))
        self.key: Any = None
        size = self.n + self.m
        self.K = np.zeros((size, size), order="F")
        self.K[: self.n, : self.n] = self.H
        self.K[self.n :, : self.n] = self.G

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:  # noqa: ARG002
        if self.key != (dw, dc):
            self.key = (dw, dc)
            self.steps += 1
            K = self.K.copy(order="F")
            diagonal = np.arange(self.n + self.m)
            K[diagonal[: self.n], diagonal[: self.n]] += dw
            K[diagonal[self.n :], diagonal[self.n :]] -= dc
            self.scale = _equilibrate(K)
            self.factor, self.pivots, info = sl.lapack.dsytrf(
                K, lower=1, overwrite_a=1, lwork=_work(K.shape[0])
            )
            d = np.diag(self.factor)[self.pivots > 0]
            pairs = int(np.sum(self.pivots < 0)) // 2  # a block of two has one eigenvalue of each sign
            self.positive, self.negative = int(np.sum(d > 0)) + pairs, int(np.sum(d < 0)) + pairs
            size = float(np.max(np.abs(d), initial=0.0))
            smallest = float(np.min(np.abs(d), initial=math.inf))
            self.regular = info == 0 and smallest > 1e-15 * size
        if self.positive + self.negative < self.n + self.m:
            return Step(np.zeros_like(b), convex=self.negative <= self.m, regular=False)
        z = self._solved(b)
        if np.isfinite(z).all():  # one refinement
            z = z + self._solved(b - self.product(z, dw, dc))
        good = bool(np.isfinite(z).all())
        return Step(z if good else np.zeros_like(b), self.negative == self.m, self.regular and good)

    def _solved(self, b: Array) -> Array:
        z = sl.lapack.dsytrs(self.factor, self.pivots, self.scale * b, lower=1)[0]
        with np.errstate(over="ignore", invalid="ignore"):  # a step that is not finite is not taken
            return np.asarray(self.scale * z.reshape(-1))


def _equilibrate(K: Array) -> Array:
    """Scale the lower triangle K to s K s with rows of about one, which leaves the inertia; return s."""
    s = np.ones(K.shape[0])
    for _ in range(EQUILIBRATIONS):
        rows = np.abs(K)
        largest = np.maximum(rows.max(axis=0), rows.max(axis=1))  # of the rows of the symmetric matrix
        root = np.sqrt(np.where(largest > 0.0, largest, 1.0))
        factor = np.ldexp(1.0, -np.frexp(root)[1] + 1)
        K *= factor
        K *= factor[:, None]
        s *= factor
    return s


class Splu(Inner):
    """Sparse: SuperLU, with the curvature test where the inertia is unknown.

    First without pivoting, in an order for symmetric matrices, of (3) with a tiny shift of both signs, which
    makes a convex model quasi-definite [1]_; refinement takes the shift out. The signs of these pivots are
    the inertia. Where that fails, with pivoting.

    .. [1] Vanderbei, SIAM J. Optim. 5 (1995) 100.
    """

    exact = True

    def prepare(self, H: Any, G: Matrix) -> None:
        super().prepare(sp.csc_array(H), sp.csc_array(G))
        self.key: Any = None
        self.lu: Any = None
        self.pivoted = False
        self.negative: int | None = None

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:  # noqa: ARG002
        self._factorise(dw, dc)
        size = arrays.norm(np, b)
        z, left = self._refined(b, dw, dc)
        if not left <= LOOSE * size and not self.pivoted:
            self.pivoted = True
            self.lu, self.negative = _factorised(self._matrix(dw, dc)), None
            z, left = self._refined(b, dw, dc)
        if not math.isfinite(left):
            return Step(np.zeros_like(b), convex=False, regular=False)
        known = self.negative is not None
        convex = self.negative == self.m if known else self.curvature(z, -b[self.n :], dw)
        return Step(z, convex, left <= 1e-6 * size)

    def negatives(self) -> int | None:
        """How many eigenvalues of (3), without shifts, are negative; None if that is unknown.

        Without pivoting the factors may be those of another matrix: a solve tells how near it is.
        """
        self._factorise(0.0, 0.0)
        if self.negative is None:
            return None
        b = np.ones(self.n + self.m)
        missed = arrays.norm(np, b - self.product(self.lu.solve(b), 0.0, 0.0))
        return self.negative if missed <= TRUSTED * arrays.norm(np, b) else None

    def _factorise(self, dw: float, dc: float) -> None:
        if self.key == (dw, dc):
            return
        self.key, self.pivoted = (dw, dc), False
        self.steps += 1
        largest = max(np.max(np.abs(M.data), initial=0.0) for M in (self.H, self.G))
        shift = STATIC * float(largest)
        self.lu = _factorised(self._matrix(dw + shift, dc + shift), **QUASI_DEFINITE)
        self.negative = _negative_pivots(self.lu)

    def _matrix(self, dw: float, dc: float) -> Any:
        H = self.H + dw * sp.eye_array(self.n)
        K = sp.block_array([[H, self.G.T], [self.G, -dc * sp.eye_array(self.m)]]) if self.m else H
        return sp.csc_matrix(K)

    def _refined(self, b: Array, dw: float, dc: float) -> tuple[Array, float]:
        """The solution by the factors, refined, and what is left of b; nan without factors."""
        z, best = np.zeros_like(b), math.inf
        if self.lu is None:
            return z, math.nan
        r = b
        for _ in range(REFINEMENTS):
            trial = z + self.lu.solve(r)
            r = b - self.product(trial, dw, dc)
            left = arrays.norm(np, r)
            if not left < 0.5 * best:
                break
            z, best = trial, left
        return z, best


def _factorised(K: Any, **settings: Any) -> Any:
    """SuperLU's factors, or None of a matrix that is singular to it."""
    try:
        return splu(K, **settings)
    except RuntimeError:
        return None


def _negative_pivots(lu: Any) -> int | None:
    """How many eigenvalues are negative, by Sylvester's law; None if rows were exchanged."""
    if lu is None or (lu.perm_r != lu.perm_c).any():
        return None
    return int(np.sum(lu.U.diagonal() < 0.0))


class Minres(Inner):
    """Matrix-free: MINRES with the preconditioner diag(P, G P^-1 G') for P near H."""

    def __init__(self, n: int, m: int, preconditioner: Callable[[Array], Any] | None) -> None:
        super().__init__(n, m)
        self.preconditioner = preconditioner

    def at(self, x: Array) -> None:
        """Let the user make P^-1 for this iterate."""
        self.inverse = None if self.preconditioner is None else self.preconditioner(x)

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:
        size, wanted = self.n + self.m, rtol * arrays.norm(np, b)
        M = self._block_diagonal(dw)
        z, left, limit = np.zeros(size), rtol, min(5 * size, 2000)
        for _ in range(4):  # restarted, so that the recursion does not drift from the true residual
            start, r = z, b - self.product(z, dw, dc)
            size_r, left = arrays.norm(np, r), rtol
            if size_r <= wanted or self.late():
                break
            steps = minres(lambda v: self.product(v, dw, dc), r, M)
            for k, (step, estimate) in zip(range(limit), steps, strict=False):
                self.steps += 1
                z = start + step
                # The estimate is in the norm of the preconditioner: the true residual decides.
                if estimate <= left * wanted / (rtol * size_r) or k % 100 == 99:
                    if arrays.norm(np, b - self.product(z, dw, dc)) <= wanted or self.late():
                        break
                    left *= 0.3
        if not np.isfinite(z).all():
            return Step(np.zeros_like(b), convex=False, regular=False)
        fine = arrays.norm(np, b - self.product(z, dw, dc)) <= max(2.0 * wanted, 1e-14 * arrays.norm(np, b))
        return Step(z, self.curvature(z, -b[self.n :], dw), fine)

    def _block_diagonal(self, dw: float) -> Callable[[Array], Array]:
        H, n, m = self.H, self.n, self.m
        if self.inverse is None and isinstance(H, LinearOperator):
            d = np.ones(n)
        elif self.inverse is None:
            d = np.maximum(np.abs((H.diagonal() if sp.issparse(H) else np.diag(H)) + dw), 1e-8)
        else:
            d = None
        P: Any = self.inverse if d is None else (lambda v: v / d)
        schur = self._schur(P, d) if m else None

        def apply(v: Array) -> Array:
            top = np.asarray(P(v[:n])).reshape(-1)
            return top if schur is None else np.concatenate([top, np.asarray(schur(v[n:])).reshape(-1)])

        return apply

    def _schur(self, P: Any, d: Any) -> Callable[[Array], Any]:
        """The inverse of G P^-1 G', or the identity where there is none or it is too much work."""
        G, n, m = self.G, self.n, self.m
        if isinstance(G, LinearOperator) and m > FEW:
            return lambda v: v
        try:
            if d is not None and sp.issparse(G):
                S = sp.csc_matrix(G @ sp.diags_array(1.0 / d) @ G.T + 1e-12 * sp.eye_array(m))
                inverse: Callable[[Array], Any] = splu(S).solve
                return inverse
            D = dense(G, n)
            S = D @ (D.T / d[:, None] if d is not None else np.column_stack([P(row) for row in D]))
            S = 0.5 * (S + S.T) + 1e-12 * max(float(np.trace(S)) / m, 1e-300) * np.eye(m)
            factor = sl.cho_factor(S)
        except (np.linalg.LinAlgError, RuntimeError, ValueError):  # dependent rows
            return lambda v: v
        return lambda v: sl.cho_solve(factor, v)


class Project(Inner):
    """Sketch-and-project on the rows of the dense matrix of (3)."""

    def __init__(self, n: int, m: int, kind: str, rng: np.random.Generator, size: int | None) -> None:
        super().__init__(n, m)
        self.kind, self.rng, self.size = kind, rng, size

    def prepare(self, H: Any, G: Matrix) -> None:
        super().prepare(dense(H, self.n), dense(G, self.n))

    def matrix(self, dw: float, dc: float) -> Array:
        """The matrix of (3)."""
        H = self.H + dw * np.eye(self.n)
        return np.block([[H, self.G.T], [self.G, -dc * np.eye(self.m)]])

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:
        projector = Projector(self.matrix(dw, dc), b, self.kind, self.size, self.rng)
        wanted = rtol * arrays.norm(np, b)
        count, limit = (20, 2000) if self.kind in {"block", "sparse-sign"} else (2000, 2_000_000)
        while projector.residual() > wanted and projector.steps < limit and not self.late():
            projector.advance(count)
        self.steps += projector.steps
        return Step(
            projector.z, self.curvature(projector.z, -b[self.n :], dw), projector.residual() <= wanted
        )


class User(Inner):
    """The user's own ``inner(A, b, rtol, z0)``, which returns z and SciPy's info."""

    def __init__(self, n: int, m: int, function: Callable[..., Any]) -> None:
        super().__init__(n, m)
        self.function = function

    def solve(self, b: Array, dw: float, dc: float, rtol: float) -> Step:
        size = self.n + self.m

        def product(z: Array) -> Array:
            return self.product(z.reshape(-1), dw, dc)

        A = LinearOperator((size, size), matvec=product, rmatvec=product, dtype=np.dtype(float))
        self.steps += 1
        z, _ = self.function(A, b.copy(), rtol, np.zeros(size))
        z = checks.array("the result of inner", z, shape=(size,), dtype=np.float64, check_finite=False)
        if not np.isfinite(z).all():
            return Step(np.zeros_like(b), convex=False, regular=False)
        fine = arrays.norm(np, b - A @ z) <= max(2.0 * rtol, 1e-12) * arrays.norm(np, b)
        return Step(z, self.curvature(z, -b[self.n :], dw), fine)


def choose(
    inner: Any, H: Any, G: Matrix, preconditioner: Any, rng: np.random.Generator, size: int | None
) -> tuple[str, Inner]:
    """The solver that is named, or the one that fits the matrices."""
    m, n = G.shape
    if callable(inner):
        return getattr(inner, "__name__", "user"), User(n, m, inner)
    checks.choice("inner", inner, NAMES)
    free = isinstance(H, LinearOperator) or isinstance(G, LinearOperator)
    if inner == "auto":
        sparse = sp.issparse(H) and (sp.issparse(G) or m == 0)
        inner = "minres" if free else "splu" if sparse and n + m > SMALL else "ldl"
        if inner == "ldl" and n + m > 4 * DENSE:
            inner = "minres"
    if free and inner != "minres":
        raise ValueError(
            f"inner={inner!r} needs matrices; the Hessian or the Jacobian is an operator: use 'minres'"
        )
    if inner == "minres":
        return inner, Minres(n, m, preconditioner)
    if inner in {"ldl", "splu"}:
        return inner, (Ldl if inner == "ldl" else Splu)(n, m)
    return inner, Project(n, m, inner, rng, size)


def frobenius(A: Any) -> float:
    """The Frobenius norm; zero for an operator, whose entries are unknown."""
    if isinstance(A, LinearOperator):
        return 0.0
    return arrays.norm(np, A.data if sp.issparse(A) else A)


def dense(A: Any, n: int) -> Array:
    """A matrix of any kind as an array."""
    if isinstance(A, LinearOperator):
        return np.asarray(A @ np.eye(n))
    return A.toarray() if sp.issparse(A) else np.asarray(A, dtype=float)


def _work(size: int) -> int:
    return 64 * max(size, 1)
