"""What the compiled and the generic kernel of linear programs have in common: the numbers of their rules.

The functions take floats in compiled code and arrays in generic code.
"""

from __future__ import annotations

from typing import Any

#: Restart when the fixed-point residual has fallen to this share of its first value ...
SUFFICIENT = 0.1
#: ... or to this share, and grows again ...
NECESSARY = 0.8
#: ... or when the iterations since the last restart are this share of all.
ARTIFICIAL = 0.36
#: At a restart the step grows by at most GROW, up to SAFE over the steepness met since the last one; a step
#: that was too long comes back to BACK of itself, and that limit is let go by RELAX a restart.
GROW, SAFE, BACK, RELAX = 1.5, 0.7, 0.7, 1.05
#: If after PATIENCE restarts only one of x and y has ever moved, its steps shrink by STUCK at each further
#: one, and those of the other grow.
PATIENCE, STUCK = 6, 10.0
#: If only one of x and y has moved in so many iterations in a row, the same is done at once; it has not moved
#: if its share of the squared fixed-point residual is below STILL. Beyond WIDEST the weight is left alone.
ALONE, STILL, WIDEST = 32, 1e-20, 1e100
#: After so many steps that were too long, the step is the proven one for good.
REJECTIONS = 100
#: A ray is a certificate when every feasible point would have to be larger than the data by this factor ...
RAY = 1e8
#: ... and when its bound is beyond its rounding errors, which are so many units for each of its terms.
EPS = 2.3e-16


def is_certificate(bound: Any, violation: Any, size: Any, terms: Any, sizes: Any) -> Any:
    """Whether a ray is a proof; `bound` is the sum of `terms` products, whose sizes add up to `sizes`.

    `size` is that of the data: what is small for them, and the bounds or costs that the ray uses.
    """
    return (bound > RAY * size * violation) & (bound > (terms + 16.0) * EPS * sizes)
