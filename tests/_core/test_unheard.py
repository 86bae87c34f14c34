"""Warnings are hidden in the thread that asks for it, and the filters of the process stay as they are."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from numsolve import ConvergenceWarning, PrecisionWarning
from numsolve._core.unheard import unheard


def test_only_the_category_is_hidden_and_only_inside():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with unheard(ConvergenceWarning):
            warnings.warn("hidden", ConvergenceWarning, stacklevel=1)
            warnings.warn("heard", PrecisionWarning, stacklevel=1)
            with unheard():
                warnings.warn("hidden", PrecisionWarning, stacklevel=1)
            warnings.warn("heard", PrecisionWarning, stacklevel=1)
            warnings.warn("hidden", ConvergenceWarning, stacklevel=1)
        warnings.warn("heard", ConvergenceWarning, stacklevel=1)
        assert warnings.filters == before
    assert [str(w.message) for w in caught] == ["heard"] * 3


def test_a_warning_that_the_user_made_an_error_is_hidden_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with unheard(np.exceptions.ComplexWarning):
            assert float(np.asarray(1j).astype(float)) == 0.0
        with pytest.raises(np.exceptions.ComplexWarning):
            np.asarray(1j).astype(float)


def test_threads_that_overlap_neither_hear_each_other_nor_leave_a_filter():
    """The first to come is the first to go: what it saved is not put back by the second."""
    entered, left = threading.Event(), threading.Event()

    def second():
        with unheard(ConvergenceWarning):
            entered.set()
            left.wait(10)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        thread = threading.Thread(target=second)
        with unheard(ConvergenceWarning):
            thread.start()
            entered.wait(10)
        warnings.warn("heard, though the other thread hides its own", ConvergenceWarning, stacklevel=1)
        left.set()
        thread.join(10)
        assert warnings.filters == before
    assert len(caught) == 1


def test_an_error_ends_the_hiding():
    with pytest.raises(ZeroDivisionError), unheard():
        raise ZeroDivisionError
    with pytest.warns(ConvergenceWarning):
        warnings.warn("heard", ConvergenceWarning, stacklevel=1)
