r"""Poisson's equation on a Cartesian grid with obstacles.

For every unknown cell i of the grid

    (A u)_i = sum_j w_ij (u_i - u_j),                                     (1)

over the face neighbours j that are not walls, with the weights ``w = k / h^2`` of a face with coefficient k
between cells at the distance h. In open cells u is given, and moves to the right-hand side. The outside of
the grid counts as wall.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from numsolve._core import arrays, checks

from ._given import OPEN, UNKNOWN, WALL, checked_faces, checked_flags, checked_spacing
from ._layout import Cells, layout, places, positions
from ._tuples import N0, N1, N2, ROW, SIZE, STRIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numsolve._core.typing import Array, ArrayLike, Dtype

#: The least number of full precision.
TINY = float(np.finfo(float).tiny)
#: What `cells` have at an unknown beside an open cell.
CONTACT = 4


class GridPoisson(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """The matrix of Poisson's equation on a grid with walls and open cells, as an operator.

    It acts on vectors of the unknowns, in the C order of ``flags == 0``.

    Parameters
    ----------
    flags : array of int of shape (n0, n1) or (n0, n1, n2)
        0 for unknown (fluid), 1 for wall (no flux), 2 for open (the value is given). The outside is wall.
    spacing : float or sequence of float
        The distance of cells, one number or one for each axis.
    face_coefficients : sequence of arrays, optional
        A positive coefficient for each face: for each axis an array of the shape of the grid, less one along
        that axis; its entry i belongs to the face between the cells i and i + 1. All 1 by default.

    Attributes
    ----------
    n : int
        The number of unknowns.
    grid_shape : tuple of int
        The shape of the flags; `shape` is (n, n), as of any operator.
    ndim_grid : int
        2 or 3.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> flags = np.zeros((4, 5), dtype=int)
    >>> flags[:, -1] = 2
    >>> A = linear.GridPoisson(flags)
    >>> A.n, A.n_components, A.is_singular
    (16, 1, False)
    >>> A.to_csr().diagonal()[:4]
    array([2., 3., 3., 3.])
    """

    def __init__(
        self,
        flags: ArrayLike,
        *,
        spacing: float | Sequence[float] = 1.0,
        face_coefficients: Sequence[ArrayLike] | None = None,
    ) -> None:
        self.flags = checked_flags(flags)
        self.grid_shape: tuple[int, ...] = self.flags.shape
        self.spacing = checked_spacing(spacing, self.flags.ndim)
        reference = min(self.spacing)
        self.ratio = np.ones(3)
        self.ratio[3 - self.flags.ndim :] = [(reference / h) * (reference / h) for h in self.spacing]
        self.scale = 1.0 / reference / reference
        if self.ratio.min() < TINY or not TINY <= self.scale < math.inf:
            raise ValueError(f"spacing must have squares and ratios in the range of floats, got {spacing}")
        self.row = layout(self.grid_shape)
        self.cells = np.ones((*(self.row[[N0, N1, N2]] + 2),), dtype=np.uint8)
        self._interior()[...] = self.flags
        self.faces: tuple[Array, ...] | None = None
        self.weights: tuple[Array | None, Array, Array] | None = None
        self.opened: Array | None = None
        self._diagonals()
        if face_coefficients is not None:
            self.faces = checked_faces(face_coefficients, self.grid_shape)
            counted = [k[self._counts(a)] for a, k in enumerate(self.faces)]
            largest = max((float(k.max()) for k in counted if k.size), default=1.0)
            self.scale *= largest
            if not TINY <= self.scale < math.inf:
                raise ValueError(
                    f"the largest of face_coefficients over spacing squared must be a float of full "
                    f"precision, got {largest:.3g} for a spacing of {reference:.3g}"
                )
            self._weigh(largest)
        self._labels: tuple[Array, int] | None = None
        super().__init__(np.dtype(float), (self.n, self.n))

    # -- what there is -----------------------------------------------------------------------------

    @property
    def ndim_grid(self) -> int:
        """The number of axes of the grid."""
        return self.flags.ndim

    @property
    def size(self) -> int:
        """Places of the layout: both colours, padding included."""
        return 2 * int(self.row[SIZE])

    @property
    def n_components(self) -> int:
        """The number of connected components of unknown cells."""
        return self.components()[1]

    @property
    def is_singular(self) -> bool:
        """Whether a component of unknown cells touches no open cell."""
        return bool(self.closed().size)

    def components(self) -> tuple[Array, int]:
        """The number of each unknown cell's component, from 1, and the number of components.

        Returns
        -------
        labels : array of int of the shape of the grid
            0 where there is no unknown.
        count : int
            The number of components.
        """
        if self._labels is None:
            from scipy.ndimage import label

            labels, count = label(self.flags == UNKNOWN)
            self._labels = labels, int(count)
        return self._labels

    def closed(self) -> Array:
        """The numbers of the components that touch no open cell: A does not see a constant on them.

        Returns
        -------
        array of int
            Numbers as in `components`.
        """
        labels, count = self.components()
        touched = np.zeros(count + 1, dtype=bool)
        touched[0] = True
        is_open = self.flags == OPEN
        if is_open.any():
            for axis in range(self.flags.ndim):
                behind = (slice(None),) * axis + (slice(None, -1),)
                ahead = (slice(None),) * axis + (slice(1, None),)
                touched[labels[behind][is_open[ahead]]] = True
                touched[labels[ahead][is_open[behind]]] = True
        return np.flatnonzero(~touched)

    # -- vectors and grids -------------------------------------------------------------------------

    def pack(self, grid: ArrayLike) -> Array:
        """Take the values of the unknown cells.

        Parameters
        ----------
        grid : array of the shape of the grid
            Numbers.

        Returns
        -------
        array of shape (n,)
        """
        values = np.asarray(grid)
        if values.shape != self.grid_shape:
            raise ValueError(f"grid must have shape {self.grid_shape}, got {values.shape}")
        packed: Array = values[self.flags == UNKNOWN]
        return packed

    def unpack(self, vector: ArrayLike, fill: float = 0.0) -> Array:
        """Put a vector of the unknowns on the grid.

        Parameters
        ----------
        vector : array of shape (n,)
            The unknowns.
        fill : float
            What the other cells get.

        Returns
        -------
        array of the shape of the grid
        """
        values: Array = checks.array("vector", vector, shape=(self.n,), check_finite=False)
        grid = np.full(self.grid_shape, fill, dtype=values.dtype)
        grid[self.flags == UNKNOWN] = values
        return grid

    def spread(self, values: Array, factor: float = 1.0) -> Array:
        """Numbers of the grid, or of its unknowns, in the order of the kernels."""
        from ._cpu_cg import spread

        out = np.zeros(self.size)
        packed = values.ndim == 1
        spread(np.ascontiguousarray(values).reshape(-1), self.cells, self.row, factor, packed, out)
        return out

    def collect(self, places: Array, factor: float = 1.0, *, packed: bool, fill: float = 0.0) -> Array:
        """The inverse of `spread`."""
        from ._cpu_cg import collect

        out = np.empty(self.n if packed else self.grid_shape)
        collect(places, self.cells, self.row, factor, packed, fill, out.reshape(-1))
        return out

    def places(self) -> Array:
        """The places of the unknowns in the order of the kernels."""
        cells = np.nonzero(self.flags == UNKNOWN)
        a, b, j = (np.zeros_like(cells[0]), *cells) if self.flags.ndim == 2 else cells
        return places(self.row, a, b, j)

    def arguments(self) -> tuple[Any, ...]:
        """What the kernels of the product take beside the vectors."""
        plane = np.uint64(self.row[STRIDE] * self.row[ROW]) if self.flags.ndim == 3 else None
        weights = (None, None, None) if self.weights is None else self.weights
        return self.diag, *weights, self.ratio, plane

    # -- the operator ------------------------------------------------------------------------------

    def _matvec(self, x: Array) -> Array:
        from ._cpu_cg import product

        arrays.working_dtype(np, x=x)
        p = self.spread(np.asarray(x, dtype=float).reshape(-1))
        q = np.zeros_like(p)
        product(self.row, p, q, *self.arguments())
        return self.collect(q, self.scale, packed=True)

    def _rmatvec(self, x: Array) -> Array:
        return self._matvec(x)

    def _adjoint(self) -> GridPoisson:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.flags, self.spacing, self.faces)

    def to_csr(self, *, scaled: bool = False) -> sp.csr_array:
        """Return the matrix.

        Parameters
        ----------
        scaled : bool
            Without the factor that makes the largest weight along the axis of the smallest spacing 1: what
            the kernels see.

        Returns
        -------
        scipy.sparse.csr_array of shape (n, n)
        """
        factor = 1.0 if scaled else self.scale
        number = np.full(self.grid_shape, -1)
        number[self.flags == UNKNOWN] = np.arange(self.n)
        diagonal, rows, columns, values = np.zeros(self.n), [], [], []
        for axis, w in enumerate(self.face_weights()):
            behind = (slice(None),) * axis + (slice(None, -1),)
            ahead = (slice(None),) * axis + (slice(1, None),)
            i, j = number[behind], number[ahead]
            both = (i >= 0) & (j >= 0)
            for own, other in ((i, self.flags[ahead]), (j, self.flags[behind])):
                near = (own >= 0) & (other != WALL)
                diagonal += np.bincount(own[near], w[near], self.n)
            rows += [i[both], j[both]]
            columns += [j[both], i[both]]
            values += [-w[both], -w[both]]
        every = np.arange(self.n)
        data = np.concatenate([*values, diagonal]) * factor
        ij = np.concatenate([*rows, every]), np.concatenate([*columns, every])
        return sp.coo_array((data, ij), shape=(self.n, self.n)).tocsr()

    def face_weights(self) -> list[Array]:
        """The scaled weight of each face, for each axis, as `face_coefficients` has them."""
        shape, out = self.grid_shape, []
        for axis in range(len(shape)):
            faces = tuple(max(n - (a == axis), 0) for a, n in enumerate(shape))
            w = np.full(faces, self.ratio[3 - len(shape) + axis])
            if self.faces is not None:
                counts = self._counts(axis)
                w[counts] *= self.faces[axis][counts] / self._largest
                w[~counts] = 0.0
            out.append(w)
        return out

    def _counts(self, axis: int) -> Array:
        """Which faces along an axis have an unknown on one side and no wall on the other."""
        behind = self.flags[(slice(None),) * axis + (slice(None, -1),)]
        ahead = self.flags[(slice(None),) * axis + (slice(1, None),)]
        counts: Array = ((behind == UNKNOWN) & (ahead != WALL)) | ((ahead == UNKNOWN) & (behind != WALL))
        return counts

    def _interior(self) -> Array:
        """The cells without their padding."""
        inner = self.cells[1:-1, 1:-1, 1:-1]
        return inner[0] if self.flags.ndim == 2 else inner

    def _diagonals(self) -> None:
        from ._cpu_setup import first_level

        plain = bool((self.ratio == 1.0).all())
        self.diag = np.zeros(self.size, dtype=np.int8 if plain else float)
        self.reciprocal = np.zeros(self.size, dtype=np.float32)
        spans = Cells(self.row).spans()
        self.n, self.n_contacts = map(
            int, first_level(self.cells, spans, self.row, self.ratio, self.diag, self.reciprocal)
        )

    def moved(self, flags: ArrayLike) -> tuple[GridPoisson, Cells | None]:
        """The same grid with other flags, and the cells at which coefficients changed; None for all."""
        from ._cpu_setup import first_level

        new_flags = checked_flags(flags)
        if new_flags.shape != self.grid_shape:
            raise ValueError(f"flags must have shape {self.grid_shape}, got {new_flags.shape}")
        if self.weights is not None:
            new = GridPoisson(new_flags, spacing=self.spacing, face_coefficients=self.faces)
            return new, self._differing(new)
        cells = Cells(self.row, np.flatnonzero(new_flags != self.flags)).beside(-1, 1)
        new = object.__new__(GridPoisson)
        new.__dict__.update(vars(self))
        new.cells, new.diag, new.reciprocal = self.cells.copy(), self.diag.copy(), self.reciprocal.copy()
        new.flags, new._labels = new_flags, None
        assert cells.keys is not None
        inner, at = new.cells[1:-1, 1:-1, 1:-1], np.unravel_index(cells.keys, cells.shape)
        contacts = np.count_nonzero(inner[at] == CONTACT)
        inner[at] = new_flags.reshape(-1)[cells.keys]
        new.diag[cells.places()] = new.reciprocal[cells.places()] = 0
        unknown = np.count_nonzero(self.flags.reshape(-1)[cells.keys] == UNKNOWN)
        now = first_level(new.cells, cells.spans(), new.row, new.ratio, new.diag, new.reciprocal)
        new.n, new.n_contacts = int(self.n - unknown + now[0]), int(self.n_contacts - contacts + now[1])
        LinearOperator.__init__(new, np.dtype(float), (new.n, new.n))
        return new, cells

    def _differing(self, other: GridPoisson) -> Cells | None:
        """The cells at which the weights differ; None where their scale does."""
        if self.scale != other.scale:
            return None
        differs, mine, its = self.diag != other.diag, self.weights or (), other.weights or ()
        for w, v in zip((*mine, self.opened), (*its, other.opened), strict=True):
            if w is not None and v is not None:
                differs |= np.reshape(w != v, (-1, self.size)).any(axis=0)
        return Cells.at(self.row, *positions(self.row, np.flatnonzero(differs))).beside(-1, 1)

    def inverse_diagonal(self, dtype: Dtype) -> Array:
        """The reciprocals of the scaled diagonal, 0 where there is no unknown or it has no neighbour."""
        if dtype == np.float32 and self.weights is None:
            return self.reciprocal
        return np.divide(1.0, self.diag, out=np.zeros(self.size, dtype), where=self.diag > 0)

    def _weigh(self, largest: float) -> None:
        """Weights of faces, and towards open cells, in the order of the kernels."""
        self._largest = largest
        kinds = np.pad(self.flags, 1, constant_values=WALL)
        inside = (slice(1, -1),) * self.flags.ndim
        unknown = kinds[inside] == UNKNOWN
        extra, shape = 3 - self.flags.ndim, self.grid_shape
        weights: list[Array | None] = [None, None, None]
        opened = np.zeros((6, self.size))
        total = np.zeros(shape)
        for axis, w in enumerate(self.face_weights()):
            for forth in range(2):
                one = slice(2, None) if forth else slice(None, -2)
                shift = tuple(one if a == axis else slice(1, -1) for a in range(len(shape)))
                pad = [((0, 1) if forth else (1, 0)) if a == axis else (0, 0) for a in range(len(shape))]
                here = np.where(unknown, np.pad(w, pad), 0.0)
                beside = kinds[shift]
                if forth:
                    weights[extra + axis] = self.spread(np.where(beside == UNKNOWN, here, 0.0))
                opened[2 * (extra + axis) + forth] = self.spread(np.where(beside == OPEN, here, 0.0))
                total += np.where(beside == WALL, 0.0, here)
        w0, w1, w2 = weights
        assert w1 is not None
        assert w2 is not None
        self.weights, self.opened, self.diag = (w0, w1, w2), opened, self.spread(total)


def _again(flags: Array, spacing: tuple[float, ...], faces: tuple[Array, ...] | None) -> GridPoisson:
    return GridPoisson(flags, spacing=spacing, face_coefficients=faces)
