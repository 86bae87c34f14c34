"""Costs between points: by name, or a function that the user compiled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from numsolve._core import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array

MetricName = Literal["sqeuclidean", "euclidean", "cityblock", "power", "cosine"]
#: name: the kind of its kernel, and the degree in which the cost grows with the distance
METRICS: dict[MetricName, tuple[str, float]] = {
    "sqeuclidean": ("squared", 2.0),
    "euclidean": ("euclidean", 1.0),
    "cityblock": ("cityblock", 1.0),
    "power": ("power", 0.0),
    "cosine": ("squared", 2.0),
}
#: Words of SciPy and POT for metrics.
FOREIGN = {
    "minkowski": "the sum of |x_k - y_k| ** p, without the root, is 'power'",
    "manhattan": "this is 'cityblock'",
    "l1": "this is 'cityblock'",
    "l2": "this is 'euclidean'",
}


@dataclass(frozen=True)
class Metric:
    """``factor`` times the cost of a kind, homogeneous of some degree; or a compiled function of two rows.

    The kind "inner" is the squared distance without its terms of x and of y alone, -2 x.y: its plans are the
    same, and products of matrices make it. Both kinds may have clouds in frames of their own, whose origins
    are `apart`, that of the sources less that of the targets.
    """

    name: MetricName | Literal["function"]
    kind: str = ""
    degree: float = 0.0
    factor: float = 1.0
    p: float = 2.0
    function: Any = None
    swapped: bool = False
    apart: Array | None = None

    @property
    def T(self) -> Metric:  # noqa: N802
        """The cost with its two points exchanged."""
        if self.apart is not None:
            return replace(self, apart=-self.apart)
        return self if self.function is None else replace(self, swapped=not self.swapped)


def make_metric(metric: str | Callable[[Array, Array], float], p: float) -> Metric:
    """Check the arguments `metric` and `p` of a solver."""
    if callable(metric):
        if not hasattr(metric, "py_func"):
            raise TypeError(
                f"metric must be compiled, got the Python function {getattr(metric, '__name__', metric)!r}; "
                "decorate it with numba.njit"
            )
        return Metric("function", function=metric)
    name: Any = checks.choice("metric", metric, METRICS, foreign=FOREIGN)
    kind, degree = METRICS[name]
    if name == "power":
        p = degree = checks.real("p", p, low=0.0, open_low=True)
        return Metric(name, kind, degree, p=p)
    return Metric(name, kind, degree, factor=0.5 if name == "cosine" else 1.0)
