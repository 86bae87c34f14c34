"""The products of `_transforms` in plain array-API code: the reference in tests, and the path of CuPy."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


class ToeplitzProduct:
    """Products with the Toeplitz matrix that has this first column and this first row."""

    def __init__(self, column: Any, row: Any) -> None:
        xp = array_namespace(column, row)
        self.length = column.shape[0]
        self.spectrum = xp.fft.rfft(xp.concat([column, xp.zeros_like(column[:1]), xp.flip(row[1:])]))

    def __call__(self, x: Any) -> Any:
        """The product with the vector x."""
        return self._apply(x, self.spectrum)

    def transposed(self, x: Any) -> Any:
        """The product of the transpose."""
        return self._apply(x, array_namespace(x).conj(self.spectrum))

    def _apply(self, x: Any, spectrum: Any) -> Any:
        xp, K = array_namespace(x), self.length
        padded = xp.concat([x, xp.zeros_like(x)])
        return xp.fft.irfft(xp.fft.rfft(padded) * spectrum, n=2 * K)[:K]


class TauInverse:
    """Products with the inverse of the tau matrix ``S diag(eigenvalues) S``, S the sine transform."""

    def __init__(self, eigenvalues: Any) -> None:
        self.inverse = 1 / (2 * (eigenvalues.shape[0] + 1) * eigenvalues)

    def __call__(self, x: Any) -> Any:
        """The product with the vector x."""
        return sine_transform(sine_transform(x) * self.inverse)


def sine_transform(x: Any) -> Any:
    """``y_k = 2 sum_j x_j sin(pi (j + 1) (k + 1) / (K + 1))``: the Fourier transform of the odd extension."""
    xp, K = array_namespace(x), x.shape[0]
    zero = xp.zeros_like(x[:1])
    return -xp.imag(xp.fft.rfft(xp.concat([zero, x, zero, -xp.flip(x)])))[1 : K + 1]


class CirculantInverse:
    """Products with the inverse of the circulant matrix that has these eigenvalues (those of a real one)."""

    def __init__(self, eigenvalues: Any, length: int) -> None:
        self.inverse, self.length = 1 / eigenvalues, length

    def __call__(self, x: Any) -> Any:
        """The product with the vector x."""
        xp = array_namespace(x)
        return xp.fft.irfft(xp.fft.rfft(x) * self.inverse, n=self.length)
