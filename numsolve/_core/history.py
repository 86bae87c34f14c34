"""The record of a run: `History`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .typing import Array


class History:
    """Columns of numbers, one row per recorded iteration.

    ``iteration``, ``residual`` and ``seconds`` (since the start, compilation apart) are always there; a
    method may add columns of its own. Columns are read as attributes or by name and are NumPy arrays.
    """

    __slots__ = ("_columns",)

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._columns: dict[str, array[Any]] = {"iteration": array("q")}
        for name in ("residual", "seconds", *extra):
            self._columns[name] = array("d")

    def append(self, iteration: int, residual: float, seconds: float, **extra: float) -> None:
        """Add one row; a column that gets no value gets nan."""
        columns = self._columns
        columns["iteration"].append(iteration)
        columns["residual"].append(residual)
        columns["seconds"].append(seconds)
        if len(columns) > 3:
            for name in list(columns)[3:]:
                columns[name].append(extra.pop(name, float("nan")))
        if extra:
            raise TypeError(f"history has no column {sorted(extra)}; it has {self.names}")

    def extend(self, iteration: Any, residual: Any, seconds: Any, **extra: Any) -> None:
        """Add many rows at once from arrays of one length; all columns grow or none does."""
        import numpy as np

        rows, blocks = len(iteration), {}
        values = {"iteration": iteration, "residual": residual, "seconds": seconds, **extra}
        if unknown := set(values) - set(self._columns):
            raise TypeError(f"history has no column {sorted(unknown)}; it has {self.names}")
        for name in self._columns:
            dtype = np.int64 if name == "iteration" else np.float64
            given = values[name] if name in values else np.full(rows, np.nan)
            block = np.ascontiguousarray(given, dtype=dtype)
            if block.shape != (rows,):
                raise ValueError(f"history column {name!r} got shape {block.shape}, wanted ({rows},)")
            blocks[name] = block.tobytes()
        for name, column in self._columns.items():
            column.frombytes(blocks[name])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return len(self._columns["iteration"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def trim(self) -> None:
        """Drop a last row that an interruption left unfinished."""
        rows = min(map(len, self._columns.values()))
        for column in self._columns.values():
            del column[rows:]

    def keys(self) -> tuple[str, ...]:
        """The names of the columns, so that ``dict(history)`` works, and ``DataFrame(dict(history))``."""
        return self.names

    def __getitem__(self, name: str) -> Array:
        import numpy as np

        column = self._columns[name]
        dtype = np.int64 if column.typecode == "q" else np.float64
        return np.array(column, dtype=dtype)

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(f"history has no column {name!r}")
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._columns]

    def __getstate__(self) -> dict[str, array[Any]]:
        return self._columns

    def __setstate__(self, state: dict[str, array[Any]]) -> None:
        self._columns = state

    def __repr__(self) -> str:
        return f"History({len(self)} rows: {', '.join(self.names)})"
