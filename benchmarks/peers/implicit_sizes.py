"""How the time of a derivative grows with the number of unknowns of a diffusion, beside jaxopt.

On one thread `jax.pure_callback`, which jaxopt's side needs, waits for ever for larger arrays than these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from implicit import diffusion_case

from _harness import Case, main


def cases(quick: bool) -> Iterator[Case]:
    for n in (16, 32) if quick else (16, 32, 64, 128):
        yield replace(diffusion_case(n), size=n * n, series="diffusion, N unknowns", repeats=5, budget=20.0)


if __name__ == "__main__":
    main(cases)
