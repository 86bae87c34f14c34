"""The table of calls in the guide of transport, run: POT's call and ours give the same numbers."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from numsolve import transport

ot = pytest.importorskip("ot")
pytest.importorskip("ot.batch")  # not loaded by `import ot`

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "transport.md"
CALLS = re.findall(r"^\| `(ot\..+)` \| `(.*transport\..+)` \|$", GUIDE.read_text(), flags=re.MULTILINE)


def names():
    """What the calls in the table speak of."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(12, 2)), rng.normal(size=(12, 2)) + 0.5
    a, b = rng.random(12) + 0.1, rng.random(12) + 0.1
    M = ot.dist(X, Y)
    data = {"X": X, "Y": Y, "M": M / M.max(), "Ms": np.stack([M, M**2]) / M.max(), "a": a / a.sum()}
    return {**data, "ot": ot, "transport": transport, "b": b / b.sum(), "reg": 0.1, "reg_m": 1.0}


def test_the_table_has_the_calls_that_users_write():
    theirs = " ".join(call for call, _ in CALLS)
    for name in ("emd", "emd2", "sinkhorn", "sinkhorn2", "solve", "solve_sample", "da.SinkhornTransport"):
        assert f"ot.{name}(" in theirs
    assert len(CALLS) > 20


@pytest.mark.parametrize(("theirs", "ours"), CALLS)
def test_both_calls_give_the_same(theirs, ours):
    """POT stops at its default tolerance, most often 1e-9 in the 2-norm of one marginal."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="ot")
        reference = eval(theirs, names())
    value = eval(ours, names())
    assert np.shape(value) == np.shape(reference)
    np.testing.assert_allclose(value, reference, atol=2e-6)
