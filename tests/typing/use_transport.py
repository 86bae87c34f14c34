"""What a type checker sees of numsolve.transport. Checked in strict mode, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.sparse import csr_array

from numsolve import Status, transport
from numsolve._core.result import History

rng = np.random.default_rng(0)
M = rng.random((20, 30))
a, b = np.full(20, 1 / 20), np.full(30, 1 / 30)
X, Y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2))


def one_problem() -> float:
    """The front page of the documentation."""
    result = transport.solve(M, reg=0.01)
    assert_type(result, transport.TransportResult)
    assert_type(result.plan, NDArray[Any])
    assert_type(result.status, Status)
    assert_type(result.success, bool)
    assert_type(result.message, str)
    assert_type(result.nit, int)
    assert_type(result.residual, float)
    assert_type(result.history, History | None)
    assert_type(result.value, float)
    assert_type(result.value_linear, float)
    assert_type(result.marginal_error, float)
    assert_type(result.potentials, tuple[NDArray[Any], NDArray[Any]])
    assert_type(result.bounds, tuple[float, float])
    assert_type(result.raise_for_status(), transport.TransportResult)
    assert_type(result.barycentric_map(Y), NDArray[Any])
    assert_type(result.plot(), Axes)
    if result.status is Status.MAXITER:
        print(result.status.advice)
    gradient = result.gradient()
    assert_type(gradient, transport.Gradient)
    assert_type(gradient.M, NDArray[Any])
    assert_type(result.vjp(result.plan).a, NDArray[Any])
    return result.value


def sparse_costs_and_exact_plans() -> float:
    """What is not stored is forbidden; no regularisation is exact transport."""
    result: transport.TransportResult = transport.solve(csr_array(M), reg=0)
    if isinstance(result, transport.PatternResult):
        assert_type(result.barycentric_map(Y), NDArray[Any])
        assert_type(result.plot(), Axes)
    return transport.solve(M, reg_type="none").value


def many_problems() -> None:
    """One regularisation for each problem of a batch, and problems of any sizes."""
    transport.solve(M, reg=[0.1, 0.2])
    results = transport.solve_many([(M,), {"M": M, "tol": 1e-6}], reg=0.1, unbalanced=None)
    assert_type(results, list[transport.TransportResult])
    transport.solve_sample(X, Y, reg=0.1, unbalanced=(1.0, 2.0))


def published_methods() -> None:
    """Each has the arguments of POT in front."""
    assert_type(transport.sinkhorn(a, b, M, 0.1, method="log"), transport.TransportResult)
    assert_type(transport.sinkhorn_newton_sparse(a, b, M, 0.1), transport.TransportResult)
    assert_type(transport.sinkhorn_unbalanced(a, b, M, 0.1, 1.0), transport.TransportResult)
    sharp = transport.quadratic(a, b, M, 0.1)
    assert_type(sharp, transport.SparseTransportResult)
    assert_type(sharp.gap, float)
    few = transport.sparsity_constrained(a, b, M, 0.1, 3, formulation="perspective")
    assert_type(few, transport.SparseTransportResult)
    assert_type(few.nnz_max, int)


def clouds() -> None:
    """No matrix: the plan is an operator."""
    result = transport.solve_sample(X, Y, reg=0.1)
    assert_type(result, transport.SampleResult)
    assert_type(result.plan, transport.CloudPlan)
    assert_type(result.plan.toarray(), NDArray[Any])
    assert_type(result.plan.matvec(b), NDArray[Any])
    assert_type(result.plan.shape, tuple[int, int])
    assert_type(result.gradient(), transport.SampleGradient)
    assert_type(result.gradient().X_a, NDArray[Any])
    divergence = transport.sinkhorn_divergence(X, Y, reg=0.1)
    assert_type(divergence, transport.DivergenceResult)
    assert_type(divergence.value, float)


def domains(X: NDArray[np.float64]) -> NDArray[Any]:
    """An estimator."""
    model = transport.DomainAdaptation(0.1, metric="euclidean").fit(X, Xt=X)
    assert_type(model, transport.DomainAdaptation)
    assert_type(model.result_, transport.SampleResult)
    return model.transform(X)


def arguments() -> None:
    """Lists are arrays too; functions may watch."""
    seen: list[int] = []

    def watch(intermediate_result: transport.TransportResult) -> bool:
        seen.append(intermediate_result.nit)
        return len(seen) > 3

    transport.solve([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5], reg=0.1, callback=watch, time_limit=1.0, maxiter=9)
    transport.solve(M, reg=0.1, unbalanced=1.0, unbalanced_type="KL", reg_type="KL")
    transport.solve_sample(X, Y, reg=0.1, metric=lambda x, y: float(np.abs(x - y).sum()))


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    transport.solve(M, reg=0.1, method="newtn")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transport.solve(M, reg=0.1, reg_type="KLL")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transport.solve(M, reg=0.1, maxiter=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transport.sinkhorn(a, b, M, 0.1, method="sinkhorn_log")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transport.solve_sample(X, Y, reg=0.1, method="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transport.sparsity_constrained(
        a,
        b,
        M,
        0.1,
        3,
        formulation="perspectiv",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    transport.solve(M, regularisation=0.1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    result = transport.solve(M, reg=0.1)
    print(result.plam)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    result.value = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def neighbours() -> None:
    """The public modules of the column."""
    X_a, X_b = transport.problems.clouds(10, 10)[:2]
    assert_type(X_a, NDArray[np.float64])
    assert_type(X_b, NDArray[np.float64])
    print(transport.optimality.sinkhorn, transport.optimality.quadratic, transport.optimality.active_set)
