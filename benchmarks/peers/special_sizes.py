"""How the time of the logarithms of Bessel functions grows with the number of values, beside SciPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ive, kve

from _harness import Case, Peer, main
from numsolve import special


def cases(quick: bool) -> Iterator[Case]:
    for n in (100, 1000) if quick else (100, 1000, 10_000, 100_000):
        v, x = np.random.default_rng(0).uniform(1, 50, (2, n))
        for name, ours, theirs in (
            ("log I", special.log_iv, lambda v, x: np.log(ive(v, x)) + x),
            ("log K", special.log_kv, lambda v, x: np.log(kve(v, x)) - x),
        ):
            truth = ours(v, x)
            yield Case(
                f"{name} of {n} values, v and x in 1..50",
                ours=lambda f=ours, v=v, x=x: f(v, x),
                peers=[Peer("scipy", lambda f=theirs, v=v, x=x: f(v, x), "SciPy log of ive or kve")],
                error=lambda out, truth=truth: float(abs(out - truth).max()),
                tol=1e-11,
                first_call=False,
                size=n,
                series=f"{name} of N values",
            )


if __name__ == "__main__":
    main(cases)
