"""Products with Toeplitz matrices and with inverses of tau matrices, by SciPy's fast transforms.

Either splits into two parts that know nothing of each other, and run on two cores where the vector is long:
the even and the odd frequencies of the circulant that holds a Toeplitz matrix, and the symmetric and the
antisymmetric part of a vector, which a tau matrix keeps apart.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Callable

#: Length from which a thread of its own, about 0.1 ms, pays.
TWO_THREADS = 1 << 16
#: Sine transforms of at most this length, or of odd N, are left to SciPy as they are.
SMALLEST_FOLD = 2048


class ToeplitzProduct:
    """Products with the Toeplitz matrix that has this first column and this first row.

    A circulant of length 2H holds the matrix. Its even frequencies are a real transform of length H; its odd
    ones come in conjugate pairs, one of each is a complex transform of length H/2.
    """

    def __init__(self, column: Any, row: Any) -> None:
        K = column.shape[0]
        half = fft.next_fast_len(-(-K // 2))
        self.length, H = K, 2 * half
        first = np.zeros(2 * H)
        first[:K], first[2 * H - K + 1 :] = column, row[:0:-1]
        self.twiddle = np.exp(-1j * np.pi / H * np.arange(half))
        self.even = fft.rfft(first[:H] + first[H:])
        self.odd = self._odd_frequencies(first[:H] - first[H:])
        if row is column:  # symmetric: real eigenvalues
            self.even, self.odd = self.even.real.copy(), self.odd.real.copy()

    def __call__(self, x: Any) -> Any:
        """The product with x, along its last axis."""
        return self._apply(x, self.even, self.odd)

    def transposed(self, x: Any) -> Any:
        """The product of the transpose."""
        return self._apply(x, self.even.conj(), self.odd.conj())

    def _apply(self, x: Any, even: Any, odd: Any) -> Any:
        half, K = self.twiddle.shape[0], self.length
        H = 2 * half

        def at_even_frequencies() -> Any:
            y = fft.rfft(x, H)
            y *= even
            return fft.irfft(y, H, overwrite_x=True)

        def at_odd_frequencies() -> Any:
            z = self._odd_frequencies(x)
            z *= odd
            z = fft.ifft(z, overwrite_x=True)
            z *= self.twiddle.conj()
            return z

        y, z = both(at_even_frequencies, at_odd_frequencies, x.size)
        y[..., :half] += z.real
        y[..., half:] -= z.imag
        y = y[..., :K]
        y *= 0.5
        return y

    def _odd_frequencies(self, x: Any) -> Any:
        half = self.twiddle.shape[0]
        z = np.empty((*x.shape[:-1], half), complex)
        z.real = x[..., :half]
        rest = x[..., half:]
        z.imag[..., : rest.shape[-1]] = rest
        z.imag[..., rest.shape[-1] :] = 0.0
        np.conjugate(z, out=z)
        z *= self.twiddle
        return fft.fft(z, overwrite_x=True)


class TauInverse:
    """Products with the inverse of the tau matrix ``S diag(eigenvalues) S``, S the sine transform.

    Folding a vector of length N - 1 into ``v_j + v_{N-j}`` and ``v_j - v_{N-j}`` leaves for the odd
    frequencies a transform of length N/2, and for the even ones the same task of half the size.
    """

    def __init__(self, eigenvalues: Any, scale: float = 1.0) -> None:
        N = eigenvalues.shape[0] + 1
        self.folds = N % 2 == 0 and N > SMALLEST_FOLD
        if self.folds:
            # Two transforms of types 3 and 2 multiply by N; the fold and its inverse by 2.
            self.inverse = scale / (2 * N * eigenvalues[::2])
            self.rest = TauInverse(eigenvalues[1::2], scale / 2)
        else:
            self.inverse = scale / (2 * N * eigenvalues)

    def __call__(self, x: Any) -> Any:
        """The product with x, along its last axis."""
        if not self.folds:
            y = fft.dst(x, type=1)
            y *= self.inverse
            return fft.dst(y, type=1, overwrite_x=True)
        M = self.inverse.shape[0]
        front, back = x[..., : M - 1], x[..., : M - 1 : -1]

        def symmetric() -> Any:
            s = np.empty((*x.shape[:-1], M))
            np.add(front, back, out=s[..., :-1])
            s[..., -1] = 2 * x[..., M - 1]
            s = fft.dst(s, type=3, overwrite_x=True)
            s *= self.inverse
            return fft.dst(s, type=2, overwrite_x=True)

        def antisymmetric() -> Any:
            return self.rest(front - back)

        s, a = both(symmetric, antisymmetric, x.size)
        y = np.empty_like(x)
        np.add(s[..., :-1], a, out=y[..., : M - 1])
        y[..., M - 1] = s[..., -1]
        np.subtract(s[..., :-1], a, out=y[..., : M - 1 : -1])
        return y


class CirculantInverse:
    """Products with the inverse of the circulant matrix that has these eigenvalues (those of a real one)."""

    def __init__(self, eigenvalues: Any, length: int) -> None:
        self.inverse, self.length = 1 / eigenvalues, length

    def __call__(self, x: Any) -> Any:
        """The product with x, along its last axis."""
        y = fft.rfft(x)
        y *= self.inverse
        return fft.irfft(y, self.length, overwrite_x=True)


def both(first: Callable[[], Any], second: Callable[[], Any], size: int) -> tuple[Any, Any]:
    """The results of two independent tasks on `size` numbers, on two cores if that is worth a thread."""
    if size < TWO_THREADS or _cores() < 2:
        return first(), second()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(second)
        result = first()
        return result, future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
