"""Programs that JAX has compiled for a function of the user's: the last ones, not all.

One ``jax.jit`` for all programs would keep thousands of them, some megabytes each, with the functions they
call: what makes a new function in each round of a loop would fill the memory. Here each program has a
``jax.jit`` of its own, and what JAX keeps goes with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Programs that are kept.
KEPT = 64


@lru_cache(maxsize=KEPT)
def jitted(program: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled form of a program, which is compiled again if so many others came since."""
    import jax

    compiled: Callable[..., Any] = jax.jit(program)
    return compiled
