"""One call for each public solver on tiny data: what `python -m numsolve warm transport` compiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _balanced() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(50, rng=0)
    return transport.solve(M, a, b, reg=1e-2)


def _large() -> object:
    """More than stays in a cache: the kernels that threads share."""
    import numpy as np

    from numsolve import transport

    return transport.solve(np.random.default_rng(0).random((1300, 1200)), reg=0.3)


def _batch() -> object:
    import numpy as np

    from numsolve import transport

    return transport.solve(np.random.default_rng(0).random((4, 8, 9)), reg=1e-2)


def _unbalanced() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(50, rng=0)
    return transport.solve(M, a, b, reg=1e-2, unbalanced=1.0)


def _sinkhorn() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.sinkhorn(a, b, M, 0.1)


def _sinkhorn_log() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.sinkhorn(a, b, M, 0.1, method="log")


def _sinkhorn_unbalanced() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.sinkhorn_unbalanced(a, b, M, 0.1, 1.0)


def _sns() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.sinkhorn_newton_sparse(a, b, M, 0.02, density=0.5)


def _sample() -> object:
    from numsolve import transport

    X_a, X_b = transport.problems.clouds(60, 2, rng=0)
    return transport.solve_sample(X_a, X_b, reg=0.05)


def _divergence() -> object:
    from numsolve import transport

    X_a, X_b = transport.problems.clouds(60, 2, rng=0)
    return transport.sinkhorn_divergence(X_a, X_b, reg=0.05)


def _quadratic() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.quadratic(a, b, M, reg=1.0)


def _sparse() -> object:
    from numsolve import transport

    M, a, b = transport.problems.random_assignment(20, rng=0)
    return transport.sparsity_constrained(a, b, M, reg=1.0, max_nz=3)


CALLS: dict[str, Callable[[], object]] = {
    "solve": _balanced,
    "solve, large": _large,
    "solve, batch": _batch,
    "solve, unbalanced": _unbalanced,
    "sinkhorn": _sinkhorn,
    "sinkhorn, log": _sinkhorn_log,
    "sinkhorn_unbalanced": _sinkhorn_unbalanced,
    "sinkhorn_newton_sparse": _sns,
    "solve_sample": _sample,
    "sinkhorn_divergence": _divergence,
    "quadratic": _quadratic,
    "sparsity_constrained": _sparse,
}
