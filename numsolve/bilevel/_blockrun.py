"""The state of a BSVRB run, and the judgement of its end; the numbers are those of `bsvrb`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.kept import Kept, map_kept
from numsolve._core.result import Status

from ._oracle import Halt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from numsolve._core.typing import Array

    from .block_oracle import BlockOracle

#: The exact systems of the judgement are solved to this relative residual, by so many steps of CG for each n.
EXACT, STEPS = 1e-10, 4
#: Newton steps of the judgement, halvings of one, and the relative length of the last.
NEWTON, HALVINGS, SHORT = 50, 30, 1e-8
#: Margin of the error that a Newton step of the lower variables shows.
CAUTION = 2.0


class BlockRun:
    """The state of the iteration."""

    def __init__(
        self, oracle: BlockOracle, variant: str, theta: Array, y: Array, size: int, batch: int | None,
        steps: tuple[float, float, float], weights: tuple[float, float, float], estimator: str, mu_min: float,
        radius: float, rng: np.random.Generator, executor: Executor | None,
    ) -> None:  # fmt: skip
        self.oracle, self.variant, self.size, self.batch = oracle, variant, size, batch
        self.steps, self.weights, self.estimator = steps, weights, estimator
        self.radius, self.rng, self.executor = radius, rng, executor
        self.evaluation = Evaluation(oracle, variant, mu_min)
        self.kept = Kept(self.evaluation)
        m, n = y.shape
        self._all = np.arange(m)
        self.theta, self.y = theta, y
        self.before = theta, y.copy()
        self.s, self.v, self.u = np.zeros((m, n)), np.zeros((m, n)), np.zeros((m, n))
        self.v_before = self.v.copy()
        self.H = np.zeros((m, n, n)) if variant == "v1" else np.zeros((0, 0, 0))
        self.visited = np.zeros(m, dtype=bool)
        self.z = np.zeros(theta.size)
        self.table = np.zeros((m, theta.size)) if estimator == "saga" else np.zeros((0, 0))
        self.mean = np.zeros(theta.size)
        self.changed = np.zeros(0, dtype=int)
        self.nfev = self.nhvp = 0
        self.first, self.clamped = True, False

    def start(self) -> float:
        """The lower gradients of all blocks at the start, their root mean square."""
        g = self._gradient(self.y)
        return math.sqrt(float(np.mean(np.sum(g**2, axis=1))))

    def advance(self) -> float:
        """One iteration; returns the norm of what is tracked."""
        m = self.oracle.n_blocks
        blocks = np.sort(self.rng.choice(m, self.size, replace=False))
        lower, upper = (self._samples(n, blocks.size) for n in (self.oracle.n_lower, self.oracle.n_upper))
        parts = self._parts(blocks, lower, upper)
        now, old = (_joined([part[i] for part in parts]) for i in (0, 1))
        self.nfev += (2 if old is not None else 1) * blocks.size
        self.nhvp += (2 if old is not None else 1) * blocks.size
        y_new, v_new = self._track(blocks, now, old)
        self._move(blocks, now, old)
        self.before[1][self.changed] = self.y[self.changed]  # catches up with the iteration before
        self.v_before[self.changed] = self.v[self.changed]
        self.before[1][blocks], self.v_before[blocks] = self.y[blocks], self.v[blocks]
        self.y = self.y.copy()
        self.y[blocks], self.v[blocks] = y_new, v_new
        self.changed = blocks
        self.before = self.theta, self.before[1]
        self.theta = self.theta - self.steps[0] * self.z
        self.visited[blocks] = True
        self.first = False
        rest = math.sqrt(float(np.mean(np.sum(self.s**2 + self.u**2, axis=1))))
        return arrays.norm(np, self.z) + rest

    def _samples(self, n: int | None, k: int) -> Array | None:
        if n is None or self.batch is None or self.batch >= n:
            return None
        return self.rng.integers(0, n, (k, self.batch))

    def _parts(self, blocks: Array, lower: Array | None, upper: Array | None) -> list[Any]:
        """What the oracles say at both points: (gradient, Hessian or residual of the system, G)."""
        workers = getattr(self.executor, "_max_workers", None) or 2
        pieces = np.array_split(np.arange(blocks.size), 1 if self.executor is None else workers)
        tasks = [self._task(k, blocks, lower, upper) for k in pieces if k.size]
        if self.executor is None:
            found = [both(self.evaluation, *task) for task in tasks]
        else:
            data = ((self.kept,),) * len(tasks)
            found = map_kept(both, list(zip(data, tasks, strict=True)), self.executor, lambda: math.inf)
        self.clamped = any(clamped for _, _, clamped in found)
        return [(now, old) for now, old, _ in found]

    def _task(self, piece: Array, blocks: Array, lower: Array | None, upper: Array | None) -> tuple[Any, ...]:
        """What is known of some of the sampled blocks, and their samples."""
        chosen = blocks[piece]
        low, up = (None if x is None else x[piece] for x in (lower, upper))
        tracked = (self.H[chosen], self.visited[chosen]) if self.variant == "v1" else None
        now = self.theta, self.y[chosen], self.v[chosen]
        old = None if self.first else (self.before[0], self.before[1][chosen], self.v_before[chosen])
        return chosen, low, up, tracked, now, old

    def _product(self, theta: Array, y: Array, i: Array, batch: Array | None, v: Array) -> Array:
        return self.evaluation.product(theta, y, i, batch, v)

    def _cross(self, theta: Array, y: Array, i: Array, batch: Array | None, q: Array) -> Array:
        return self.evaluation.cross(theta, y, i, batch, q)

    # -- the end ----------------------------------------------------------------------------------------

    def judged(self) -> float:
        """The hypergradient's norm and its estimated error, from all blocks and all samples.

        The lower variables take Newton steps to their solutions; the largest of the norms counts, and how
        much the hypergradient changed in the last step.
        """
        ds: list[Array] = []
        for y in self._newton():
            in_y, in_theta = upper_pair(self.oracle, self.theta, y, self._all, None)
            q = self._exactly(y, in_y)
            if q is None:
                return math.inf
            ds.append(np.mean(in_theta - self._cross(self.theta, y, self._all, None, q), axis=0))
        if len(ds) < 2:  # no curvature, or none that can be resolved
            return math.inf
        norms = [arrays.norm(np, d) for d in ds]
        return max(norms) + CAUTION * arrays.norm(np, ds[-1] - ds[-2])

    def _newton(self) -> list[Array]:
        """The lower variables now, near their solutions and there; [] if these are not found."""
        y, path = self.y, [self.y]
        g = self._gradient(y)
        size = np.linalg.norm(g, axis=1)
        for _ in range(NEWTON):
            step = self._exactly(y, g)
            if step is None:
                return []
            share, left = np.ones(len(y)), size > 0.0
            for _ in range(HALVINGS):
                new = y - np.where(left, share, 0.0)[:, None] * step
                after = self._gradient(new)
                lower = np.linalg.norm(after, axis=1) <= size
                if lower.all():
                    break
                share = np.where(lower, share, 0.5 * share)
            else:  # rounding, or no minimum
                return path if len(path) > 1 and self._near(step, y) else []
            moved = self._near(step, y)
            y, g, size = new, after, np.linalg.norm(after, axis=1)
            path = [self.y, path[-1], y]
            if moved:
                return path
        return []

    @staticmethod
    def _near(step: Array, y: Array) -> bool:
        """Whether a Newton step is so short that the next one is rounding."""
        return bool(arrays.norm(np, step) <= SHORT * (1.0 + arrays.norm(np, y)))

    def _gradient(self, y: Array) -> Array:
        self.nfev += len(y)
        return asked("lower_grad", self.oracle.lower_grad, y.shape, self.theta, y, self._all, None)

    def _exactly(self, y: Array, b: Array) -> Array | None:
        """The solutions of all blocks' systems by conjugate gradients; None where they are not found."""
        q, r = np.zeros_like(b), b.copy()
        p, square = r, np.sum(b**2, axis=1)
        enough = (EXACT**2) * square
        for _ in range(STEPS * b.shape[1] + 10):
            going = square > enough
            if not going.any():
                return q
            Hp = self._product(self.theta, y, self._all, None, p)
            self.nhvp += len(y)
            curvature = np.sum(p * Hp, axis=1)
            if not (curvature[going] > 0.0).all():
                return None
            a = np.where(going, square / np.where(going, curvature, 1.0), 0.0)[:, None]
            q, r = q + a * p, r - a * Hp
            new = np.where(going, np.sum(r**2, axis=1), square)
            p = r + np.where(going, new / np.where(going, square, 1.0), 0.0)[:, None] * p
            square = new
        return None

    def _track(self, blocks: Array, now: Any, old: Any) -> tuple[Array, Array]:
        """(1) and its likes; returns the new y and v of the blocks."""
        a, gamma, _ = self.weights
        fresh = ~self.visited[blocks]

        def tracked(x: Array, new: Array, before: Array) -> Array:
            out = (1 - a) * x[blocks] + a * new + gamma * (new - before)
            out[fresh] = new[fresh]  # the first visit has nothing to average
            return np.asarray(out)

        before = now if old is None else old
        self.s[blocks] = tracked(self.s, now[0], before[0])
        y_new = self.y[blocks] - self.steps[1] * self.s[blocks]
        if self.variant == "v1":
            self.H[blocks] = tracked(self.H, now[1], before[1])
            return y_new, self.v[blocks]
        self.u[blocks] = tracked(self.u, now[1], before[1])
        v_new = self.v[blocks] - self.steps[2] * self.u[blocks]  # (3)
        if math.isfinite(self.radius):
            size = np.linalg.norm(v_new, axis=1, keepdims=True)
            v_new = v_new * np.minimum(1.0, self.radius / np.maximum(size, 1e-300))
        return y_new, v_new

    def _move(self, blocks: Array, now: Any, old: Any) -> None:
        """Set theta's direction."""
        b = self.weights[2]
        G = now[2]
        if self.estimator == "saga":
            change = G - self.table[blocks]
            self.z = change.mean(axis=0) + self.mean  # (5)
            self.mean = self.mean + change.sum(axis=0) / self.oracle.n_blocks
            self.table[blocks] = G
        elif old is None:
            self.z = G.mean(axis=0)
        else:
            self.z = (1 - b) * (self.z - old[2].mean(axis=0)) + G.mean(axis=0)  # (4)


@dataclass(frozen=True)
class Evaluation:
    """The oracles of a run, the shapes of their answers checked."""

    oracle: BlockOracle
    variant: str
    mu_min: float

    def at(
        self,
        chosen: Array,
        low: Array | None,
        up: Array | None,
        tracked: Any,
        point: tuple[Array, Array, Array],
    ) -> tuple[tuple[Array, Array, Array], bool]:
        """What the oracles say of some blocks at a point, and whether an eigenvalue was replaced."""
        theta, y, v = point
        g = asked("lower_grad", self.oracle.lower_grad, y.shape, theta, y, chosen, low)
        in_y, in_theta = upper_pair(self.oracle, theta, y, chosen, up)
        clamped = False
        if self.variant == "v1":
            assert self.oracle.lower_hess is not None
            H, known = tracked
            square = (*y.shape, y.shape[1])
            second = asked("lower_hess", self.oracle.lower_hess, square, theta, y, chosen, low)
            v, clamped = self._solve(np.where(known[:, None, None], H, second), in_y)  # (2)
        else:
            second = self.product(theta, y, chosen, low, v) - in_y
        return (g, second, in_theta - self.cross(theta, y, chosen, low, v)), clamped

    def product(self, theta: Array, y: Array, i: Array, batch: Array | None, v: Array) -> Array:
        """Of the lower Hessians with v."""
        if self.oracle.lower_hvp is not None:
            return asked("lower_hvp", self.oracle.lower_hvp, y.shape, theta, y, i, batch, v)
        assert self.oracle.lower_hess is not None
        square = (*y.shape, y.shape[1])
        H = asked("lower_hess", self.oracle.lower_hess, square, theta, y, i, batch)
        return np.asarray(np.einsum("kij,kj->ki", H, v))

    def cross(self, theta: Array, y: Array, i: Array, batch: Array | None, q: Array) -> Array:
        """C'q."""
        shape = y.shape[0], theta.size
        return asked("lower_cross_vjp", self.oracle.lower_cross_vjp, shape, theta, y, i, batch, q)

    def _solve(self, H: Array, b: Array) -> tuple[Array, bool]:
        if not np.isfinite(H).all():
            raise Halt(Status.NONFINITE, "lower_hess returned a NaN or an infinity.")
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        inside = np.einsum("kji,kj->ki", vectors, b) / np.maximum(values, self.mu_min)
        return np.asarray(np.einsum("kij,kj->ki", vectors, inside)), bool(values[:, 0].min() < self.mu_min)


def both(
    evaluation: Evaluation,
    chosen: Array,
    low: Array | None,
    up: Array | None,
    tracked: Any,
    now: Any,
    old: Any,
) -> tuple[Any, Any, bool]:  # fmt: skip
    """What the oracles say of some blocks at the point and at the one before; run by workers."""
    there, clamped = evaluation.at(chosen, low, up, tracked, now)
    if old is None:
        return there, None, clamped
    before, too = evaluation.at(chosen, low, up, tracked, old)
    return there, before, clamped or too


def asked(name: str, function: Any, shape: tuple[int, ...], *arguments: Array | None) -> Array:
    """What an oracle says, given copies of our arrays: it may write into them."""
    return shaped(name, function(*own(arguments)), shape)


def own(arguments: Iterable[Array | None]) -> list[Array | None]:
    """Copies."""
    return [None if x is None else x.copy() for x in arguments]


def shaped(name: str, value: Any, shape: tuple[int, ...], why: str = "") -> Array:
    """A copy of what an oracle returned, perhaps a buffer that it uses again, of the shape wanted."""
    if np.iscomplexobj(value):
        raise ValueError(f"{name} must return real numbers, got {np.asarray(value).dtype}")
    out = np.array(value, dtype=np.float64)
    if out.shape != shape:
        raise ValueError(f"{name} must return shape {shape}{why}, got {out.shape}")
    return out


def upper_pair(
    oracle: BlockOracle, theta: Array, y: Array, i: Array, batch: Array | None
) -> tuple[Array, Array]:
    """The gradients of the upper objectives in y and theta, their shapes checked."""
    pair = oracle.upper_grad(*own((theta, y, i, batch)))
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError("upper_grad must return a pair, dF/dy and dF/dtheta (or None)")
    in_theta = np.zeros((y.shape[0], theta.size)) if pair[1] is None else pair[1]
    return (
        shaped("upper_grad", pair[0], y.shape, ", as x0 says"),
        shaped("upper_grad, in theta,", in_theta, (y.shape[0], theta.size)),
    )


def _joined(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    return tuple(np.concatenate([part[i] for part in parts]) for i in range(3))
