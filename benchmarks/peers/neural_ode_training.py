"""Evaluations of a solve after training with each penalty, beside training without one.

The runs themselves take half an hour and more: ``docs/benchmarks/gallery/record_digits_nfe.py`` trains and
keeps them, for the digits of scikit-learn and for 4000 images of MNIST; here their means over the seeds
become rows. A count does not depend on the load of the machine, so these rows are apart from the times of
``neural_ode.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _harness import Case, Peer, main

KEPT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "gallery"


def wrong(row: dict[str, Any]) -> float:
    """The part of wrong test digits."""
    return 1.0 - float(np.mean(row["accuracy"]))


def evaluations(row: dict[str, Any]) -> float:
    """Of one solve of all test digits."""
    return float(np.mean(row["nfev"]))


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{np.mean(values):.{digits}f} +- {np.std(values):.{digits}f}"


def cases(quick: bool) -> Iterator[Case]:
    """A case for each penalty and coefficient."""
    del quick
    for name in ("digits", "mnist"):
        kept = json.loads((KEPT / f"{name}_nfe.json").read_text())
        plain, *rows = kept["rows"]
        for row in rows:
            yield Case(
                f"{name}, {row['penalty']}, {row['coefficient']}",
                lambda row=row: row,
                [Peer("numsolve", lambda plain=plain: plain, name="numsolve no penalty")],
                metric="evaluations of a trained solve",
                unit="calls",
                value=evaluations,
                error=wrong,
                repeats=1,
                first_call=False,
                note=f"tolerance {kept['tolerance']:g}, {len(row['nfev'])} seeds: "
                f"{spread(row['nfev'], 1)} evaluations, accuracy {spread(row['accuracy'], 4)}, "
                f"{spread(plain['accuracy'], 4)} without; the error is the part of wrong test digits",
            )


if __name__ == "__main__":
    main(cases)
