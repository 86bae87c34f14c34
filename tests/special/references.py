"""The table that ``data/make_references.py`` made with mpmath, and the measure of errors."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np


@cache
def table() -> dict[str, np.ndarray]:
    """Its columns, rounded to floats."""
    with (Path(__file__).parent / "data" / "references.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def error(value, reference):
    """|value - reference| / max(1, |reference|): the logarithms vanish on a curve."""
    return np.abs(value - reference) / np.maximum(1.0, np.abs(reference))
