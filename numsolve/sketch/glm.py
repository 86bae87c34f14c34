"""Generalised linear models: objective, derivatives and products with the Hessian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import diags_array
from scipy.special import expit

from numsolve._core import arrays, checks

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Matrix

FAMILIES = ("logistic", "poisson", "gaussian")
#: Rows of the matrix whose Hessian is summed together.
ROWS = 4096


class GLM:
    """A generalised linear model: ``sum_i phi(a_i'x, y_i) + l2 / 2 ||x||^2``.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, d)
        One row for each observation.
    y : array of shape (n,)
        What was observed: two classes, given as 0 and 1 or -1 and 1, for ``"logistic"``; counts for
        ``"poisson"``; any numbers for ``"gaussian"``.
    family : {"logistic", "poisson", "gaussian"}
        phi(z, y): ``log(1 + exp(z)) - y z``, ``exp(z) - y z``, or ``(z - y)^2 / 2``.
    l2 : float
        Weight of the squared norm.

    Raises
    ------
    ValueError
        If a shape is wrong, a label is not one of the family's, an entry is not finite, or its square
        overflows or vanishes.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> model = sketch.GLM(np.ones((4, 1)), [0, 1, 1, 1])
    >>> print(f"{model.fun(np.zeros(1)):.4f}")
    2.7726
    """

    def __init__(
        self,
        A: Matrix,
        y: ArrayLike,
        family: Literal["logistic", "poisson", "gaussian"] = "logistic",
        l2: float = 0.0,
    ) -> None:
        checks.choice("family", family, FAMILIES)
        self.A = checks.csr("A", A) if arrays.is_sparse(A) else checks.array("A", A, ndim=2, empty=False)
        entries = self.A.data if arrays.is_sparse(self.A) else self.A
        _check_size("A", entries)
        self.family = family
        self.l2 = checks.real("l2", l2, low=0.0)
        self.y = checks.array("y", y, shape=(self.A.shape[0],), dtype=self.A.dtype)
        if family == "logistic":
            labels = np.unique(self.y)
            if not (np.isin(labels, [0, 1]).all() or np.isin(labels, [-1, 1]).all()):
                raise ValueError(f"y must hold 0 and 1, or -1 and 1, for 'logistic'; got {labels[:5]}")
            self.y = (self.y > 0).astype(self.A.dtype)
        elif family == "gaussian":
            _check_size("y", self.y)
        elif (self.y < 0).any():
            raise ValueError("y must be at least 0 everywhere for 'poisson'")

    def value(self, z: Array, x: Array) -> float:
        """The objective for z = A x."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.family == "logistic":
                each = np.logaddexp(0.0, np.where(self.y > 0, -z, z))
            elif self.family == "poisson":
                each = np.exp(z) - self.y * z
            else:
                each = 0.5 * (z - self.y) ** 2
            total = float(each.sum() + 0.5 * self.l2 * (x @ x))
        return math.inf if math.isnan(total) else total  # where z, or what is subtracted, overflows

    def slopes(self, z: Array) -> tuple[Array, Array]:
        """The first and second derivatives of phi in z."""
        if self.family == "logistic":
            p = expit(z)
            return p - self.y, p * (1.0 - p)
        if self.family == "poisson":
            with np.errstate(over="ignore"):
                p = np.exp(z)
            return p - self.y, p
        return z - self.y, np.ones_like(z)

    def fun(self, x: Array) -> float:
        """Compute the objective.

        Parameters
        ----------
        x : array of shape (d,)
            The coefficients.

        Returns
        -------
        float
        """
        return self.value(self.A @ x, x)

    def jac(self, x: Array) -> Array:
        """Compute the gradient.

        Parameters
        ----------
        x : array of shape (d,)
            The coefficients.

        Returns
        -------
        array of shape (d,)
        """
        return np.asarray(self.A.T @ self.slopes(self.A @ x)[0] + self.l2 * x)

    def hess(self, x: Array) -> Array:
        """Compute the Hessian.

        Parameters
        ----------
        x : array of shape (d,)
            The coefficients.

        Returns
        -------
        array of shape (d, d)
        """
        weights = self.slopes(self.A @ x)[1]
        total = np.diag(np.full(x.size, self.l2))
        for first in range(0, self.A.shape[0], ROWS):
            block, part = self.A[first : first + ROWS], weights[first : first + ROWS]
            if arrays.is_sparse(self.A):
                total += (block.T @ diags_array(part) @ block).toarray()
            else:
                half = block * np.sqrt(part)[:, None]
                total += half.T @ half
        return total

    def hessp(self, x: Array, p: Array) -> Array:
        """Compute the Hessian times a vector.

        Parameters
        ----------
        x : array of shape (d,)
            The coefficients.
        p : array of shape (d,)
            The vector.

        Returns
        -------
        array of shape (d,)
        """
        weights = self.slopes(self.A @ x)[1]
        return np.asarray(self.A.T @ (weights * (self.A @ p)) + self.l2 * p)


def check_squares(name: str, values: Array) -> None:
    """Refuse numbers whose squares, which are summed, overflow."""
    top, most = float(np.max(np.abs(values), initial=0.0)), float(np.finfo(values.dtype).max) ** 0.49
    if top > most:
        raise ValueError(
            f"{name} must hold numbers up to {most:.1e}, whose squares are summed; got {top:.2g}"
        )


def _check_size(name: str, values: Array) -> None:
    """Refuse numbers whose squares, which are summed, overflow, or all vanish."""
    check_squares(name, values)
    top, least = float(np.max(np.abs(values), initial=0.0)), float(np.finfo(values.dtype).tiny) ** 0.49
    if 0.0 < top < least:
        raise ValueError(
            f"{name} must hold a number of {least:.1e} or more, or zeros alone: the squares of smaller ones "
            f"vanish; the largest is {top:.2g}"
        )
