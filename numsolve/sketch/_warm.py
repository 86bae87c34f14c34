"""One tiny call of each public solver, for ``python -m numsolve warm sketch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _least_squares() -> object:
    from numsolve import sketch

    A, b = sketch.problems.ill_conditioned(200, 4, 10.0, rng=0)
    return sketch.lstsq(A, b, rng=0)


def _sparse() -> object:
    import scipy.sparse as sp

    from numsolve import sketch

    A, b = sketch.problems.ill_conditioned(200, 4, 10.0, rng=0)
    return sketch.lstsq(sp.csr_array(A), b, rng=0)


def _hadamard() -> object:
    import numpy as np

    from numsolve import sketch

    S = sketch.make_sketch("srht", 8, 20, rng=0)
    return S @ np.eye(20)


def _adjoint() -> object:
    import numpy as np

    from numsolve import sketch

    return sketch.make_sketch("sparse-sign", 8, 20, rng=0).T @ np.ones(8)


def _columns() -> object:
    import numpy as np

    from numsolve import sketch

    return sketch.make_sketch("sparse-sign", 8, 20, rng=0) @ np.ones((20, 2), order="F")


def _project(kind: str) -> Callable[[], object]:
    def call() -> object:
        import numpy as np

        from numsolve import sketch

        return sketch.sketch_project(np.eye(5), np.ones(5), kind=kind, rng=0)  # type: ignore[arg-type]

    return call


def _minimum() -> object:
    from numsolve import sketch

    p = sketch.problems.control(3)
    return sketch.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, constraints=p.constraints)


def _model() -> object:
    from numsolve import sketch

    A, b = sketch.problems.ill_conditioned(200, 4, 10.0, rng=0)
    return sketch.newton_sketch(sketch.GLM(A, b > 0, l2=1.0), rng=0)


CALLS: dict[str, Callable[[], object]] = {
    "lstsq": _least_squares,
    "lstsq, sparse": _sparse,
    "make_sketch, srht": _hadamard,
    "make_sketch, adjoint": _adjoint,
    "make_sketch, columns": _columns,
    "sketch_project": _project("kaczmarz"),
    "sketch_project, gaussian": _project("gaussian"),
    "minimize": _minimum,
    "newton_sketch": _model,
}
