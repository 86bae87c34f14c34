"""How a solve ended, whoever solved."""

from __future__ import annotations

from typing import Any

import numpy as np

from numsolve._core.result import Status

#: Statuses of solves that were cut off: they cost what they were given.
CAPPED = frozenset({Status.MAXITER, Status.TIME_LIMIT})
#: Statuses of solves that somebody ended: they say nothing of the arm.
ENDED = frozenset({Status.STOPPED, Status.INTERRUPTED})


def succeeded(result: Any) -> bool:
    """Whether each right-hand side was solved."""
    success = getattr(result, "success", True)
    return success if isinstance(success, bool) else bool(np.all(success))


def was_ended(result: Any) -> bool:
    """Whether a callback or Ctrl-C ended the solve (of one of the right-hand sides)."""
    status = getattr(result, "status", None)
    if status is None or isinstance(status, Status):
        return status in ENDED
    return bool(np.isin(status, list(ENDED)).any())
