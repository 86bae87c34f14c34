"""Warnings that a block of code keeps to itself, in its own thread alone.

`warnings.catch_warnings` saves the filters of the whole process and puts them back: where threads overlap,
the later one puts back those of the earlier, which stay for good, and both lose the warnings of every other
thread. Here one filter, of a category that each thread answers for by itself, is there while anyone needs it.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any, Self


class Thread(threading.local):
    """The categories that this thread does not want to hear now."""

    hidden: tuple[type[Warning], ...] = ()


class _OfThisThread(type):
    def __subclasscheck__(cls, category: Any) -> bool:
        return issubclass(category, thread.hidden)


class Hidden(Warning, metaclass=_OfThisThread):
    """Whatever the thread that warns does not want to hear."""


class unheard:  # noqa: N801  # used like `warnings.catch_warnings`
    """Hide warnings of a category in this thread: ``with unheard(ConvergenceWarning): ...``."""

    def __init__(self, category: type[Warning] = Warning) -> None:
        self._category = category

    def __enter__(self) -> Self:
        global _blocks  # noqa: PLW0603
        self._before = thread.hidden
        with _lock:
            _blocks += 1
            # In front again, whatever other filters came since; it is never there twice.
            warnings.simplefilter("ignore", Hidden)
        thread.hidden = (*self._before, self._category)
        return self

    def __exit__(self, *error: object) -> None:
        global _blocks  # noqa: PLW0603
        thread.hidden = self._before
        with _lock:
            _blocks -= 1
            if _blocks == 0 and _FILTER in warnings.filters:
                warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]  # a list


thread = Thread()
_FILTER = ("ignore", None, Hidden, None, 0)
_lock = threading.Lock()
_blocks = 0
