"""Columns of a pattern that one product with the matrix can tell apart."""

from __future__ import annotations

from typing import Any


def colour(pattern: Any) -> Any:
    """Colours of the columns of a CSC pattern, such that two columns of one colour share no row."""
    from ._cpu import colour_columns

    rows = pattern.tocsr()
    return colour_columns(pattern.indptr, pattern.indices, rows.indptr, rows.indices)
