"""One small call of what is compiled: for ``python -m numsolve warm`` and the benchmarks of first calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def _tv_denoising() -> object:
    from .minimize import minimize_bilevel
    from .problems import tv_denoising

    clean = np.zeros((1, 6, 6))
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    return minimize_bilevel(tv_denoising(noisy, clean), [-3.0, -3.0], noisy, maxiter=2)


CALLS: dict[str, Callable[[], object]] = {"tv_denoising": _tv_denoising}
