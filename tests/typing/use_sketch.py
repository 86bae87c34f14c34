"""What a type checker sees of numsolve.sketch. Checked in strict mode, never run."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from numsolve import Status, sketch

X = np.ones(3)


def square(x: NDArray[Any]) -> float:
    """A function of the user's, with its derivatives."""
    return float(x @ x)


def gradient(x: NDArray[Any]) -> NDArray[Any]:
    """Of `square`."""
    return 2 * x


def hessian(x: NDArray[Any]) -> NDArray[Any]:
    """Of `square`."""
    return 2 * np.eye(x.size)


def linear_algebra() -> NDArray[Any]:
    """Operators, least squares and projections."""
    S = sketch.make_sketch("srht", 10, 100, rng=0)
    assert_type(S, sketch.Sketch)
    result = sketch.lstsq(np.ones((10, 3)), np.ones(10), method="cholqr", oversample=4.0)
    assert_type(result, sketch.LstsqResult)
    assert_type(result.status, Status)
    assert_type(result.rank, int)
    assert_type(result.cond, float)
    projected = sketch.sketch_project(np.eye(3), X, kind="gaussian")
    assert_type(projected, sketch.LinearResult)
    assert_type(projected.rhs_norm, float)
    return result.x


def classifier() -> NDArray[Any]:
    """An estimator."""
    model = sketch.ConstrainedLogisticRegression(2.0, norm=1.0).fit(np.eye(2), ["a", "b"])
    assert_type(model, sketch.ConstrainedLogisticRegression)
    assert_type(model.result_, sketch.SketchResult)
    assert_type(model.predict_proba(np.eye(2)), NDArray[Any])
    return model.coef_


def minima() -> NDArray[Any]:
    """Both methods give the same kind of result."""
    result = sketch.minimize(square, X, jac=gradient, hess=hessian)
    assert_type(result, sketch.SketchResult)
    assert_type(result.fun, float)
    assert_type(result.nfev, int)
    published = sketch.adasketch_newton(square, X, jac="2-point", hess="2-point", variant="gaussian")
    assert_type(published, sketch.SketchResult)
    model = sketch.GLM(np.ones((10, 3)), np.ones(10), "poisson", l2=1.0)
    assert_type(model.jac(X), NDArray[Any])
    fitted = sketch.newton_sketch(model, sketch="gaussian")
    assert_type(fitted, sketch.SketchResult)
    print(sketch.problems.control(3))
    return result.x


def mistakes() -> None:
    """What a checker has to find before the program runs."""
    sketch.make_sketch("hash", 10, 100)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sketch.lstsq(np.eye(3), X, method="qr")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sketch.sketch_project(np.eye(3), X, kind="srht")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sketch.adasketch_newton(square, X, variant="block")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sketch.GLM(np.eye(3), X, "probit")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
