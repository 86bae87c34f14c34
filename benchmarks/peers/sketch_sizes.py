"""How the time of least squares grows with the number of rows, beside LAPACK."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sketch import least_squares

from _harness import Case, main


def cases(quick: bool) -> Iterator[Case]:
    for n in (2000, 4000) if quick else (5000, 20_000, 80_000, 320_000):
        case = least_squares(n, 100, 1e6)
        yield replace(case, size=n, series="least squares, N rows, 100 columns", first_call=False)


if __name__ == "__main__":
    main(cases)
