"""Who makes the passes over the pairs of two clouds, and until when."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from numsolve._core.result import caller_level
from numsolve.transport._deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numsolve._core.typing import Array

#: Pairs up to which a pass takes a millisecond or two, and is made even if the time is over.
TIMELESS = 500_000


@dataclass(frozen=True)
class Workers:
    """Who makes the passes over the pairs, and until when: a later pass ends in `TimeUp`."""

    executor: Executor | None = None
    deadline: Deadline = field(default_factory=Deadline)
    _failures: list[BaseException] = field(default_factory=list)

    def map(self, part: Callable[[int], Array], tasks: int, pairs: int, threaded: bool) -> list[Array]:
        """Compute ``part(0), part(1), ...`` of a pass over so many pairs, by threads if that pays."""
        if pairs <= TIMELESS:
            return list(map(part, range(tasks)))
        if not threaded:
            return list(map(self._timely(part), range(tasks)))
        if isinstance(self.executor, ThreadPoolExecutor):
            return _collected(self.executor, self._timely(part), tasks)
        from numba import get_num_threads

        with ThreadPoolExecutor(get_num_threads()) as pool:
            return _collected(pool, self._timely(part), tasks)

    @property
    def apart(self) -> bool:
        """Whether they may share no memory with this process."""
        here = self.executor is None or isinstance(self.executor, ThreadPoolExecutor)
        return not (here or self._failures)

    def give_up(self, error: BaseException) -> None:
        """Use the executor no more: this process goes on by itself, to the same numbers."""
        self._failures.append(error)
        warnings.warn(
            f"the executor lost a worker and takes no more tasks ({error}); this process goes on alone",
            RuntimeWarning,
            stacklevel=caller_level(),
        )

    def prepare(self, pairs: int) -> None:
        """Leave by `TimeUp` before the preparation of a pass over so many pairs that would come too late."""
        if pairs > TIMELESS:
            self.deadline.check()

    def _timely(self, part: Callable[[int], Array]) -> Callable[[int], Array]:
        def timely(task: int) -> Array:
            self.deadline.check()
            return part(task)

        return timely


def _collected(pool: Executor, part: Callable[[int], Array], tasks: int) -> list[Array]:
    """What the tasks return, in order; when one fails, or at Ctrl-C, the others are not started any more."""
    futures = [pool.submit(part, task) for task in range(tasks)]
    try:
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
