"""The settings of `custom_root`, as one record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numsolve.implicit._jax import require_jax
from numsolve.implicit._settings import check_solve

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The settings of `custom_root`."""

    optimality_fun: Callable[..., Any]
    has_aux: bool
    solve: Any
    symmetric: bool
    argnums: tuple[int, ...] | None
    host: bool | None
    result_shape: Any
    vmap_method: str
    reference_signature: Any
    check: bool
    tol: float | None
    warned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_jax()
        if not self.by_factor:
            check_solve(self.solve)
        elif self.host is False:
            raise ValueError("solve='factor' needs host=True: JAX has no factorisations to hand over")
        elif not self.vmap_method.startswith("sequential"):
            raise ValueError(
                "solve='factor' needs vmap_method='sequential', as each problem has its own factorisation; "
                f"got {self.vmap_method!r}"
            )

    @property
    def by_factor(self) -> bool:
        """Whether the host solver returns a factorisation beside x."""
        return isinstance(self.solve, str) and self.solve == "factor"
