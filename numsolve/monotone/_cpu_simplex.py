"""The compiled projection on the simplex, which games and variance reduction share."""

from numsolve._core.compiled import inner, kernel


@kernel
def project_on_simplex(v, radius):
    """`project`, to be called from Python."""
    project(v, radius)


@inner
def project(v, radius):
    """Project on the simplex of nonnegative vectors with the sum `radius`, in place.

    The solution is max(v - t, 0), where t is the mean excess of the entries above t (C. Michelot, 1986).
    These are found by dropping what lies below the mean excess of the entries kept so far, beginning with
    those within `radius` of the largest, which are the only ones that can stay. A round that drops nothing
    is the last; so there are no more rounds than entries, whatever the rounding, and the sum of the kept
    entries settles t. Differences to the largest entry keep the digits of that sum whatever the offset; NaN
    stays NaN.
    """
    top = v[0]
    for i in range(v.size):
        top = max(top, v[i])
    kept, t = v.size + 1, -radius
    for _ in range(v.size):
        count, total = 0, 0.0
        for i in range(v.size):
            d = v[i] - top
            if d > t:
                count += 1
                total += d
        if count == 0 or count >= kept:
            break
        kept = count
        t = (total - radius) / kept
    for i in range(v.size):
        d = (v[i] - top) - t
        v[i] = 0.0 if d <= 0.0 else d  # noqa: FURB136  # max would lose NaN
