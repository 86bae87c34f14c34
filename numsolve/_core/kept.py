"""Data that workers keep between tasks: each is sent them once, as long as it has room for them."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from .parallel import one_blas_thread, one_thread, process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

#: Bytes of kept data in a worker, at most; the newest are kept in any case.
ROOM = 1 << 28
#: Things that are kept, at most: how large one is that is no array is not known.
ITEMS = 4096
#: Tasks that are on their way at a time: what is sent with them waits in the memory of the executor.
IN_FLIGHT = 1024


class Kept:
    """A value under a name that no other has; only the name goes with each task."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = uuid.uuid4().hex


@dataclass(frozen=True)
class Missing:
    """What a worker answers that was never sent some data, or has dropped them."""

    keys: tuple[str, ...]


class Store:
    """What a worker has kept; the data that were not used for the longest time make room for others."""

    def __init__(self) -> None:
        self.items: OrderedDict[str, Any] = OrderedDict()
        self.lock = Lock()

    def take(self, keys: Sequence[str], sent: dict[str, Any], room: int) -> list[Any] | Missing:
        """The data of all keys, or what is missing of them."""
        with self.lock:
            self.items.update(sent)
            missing = tuple(key for key in keys if key not in self.items)
            if missing:
                return Missing(missing)
            for key in keys:
                self.items.move_to_end(key)
            found = [self.items[key] for key in keys]
            while len(self.items) > len(keys) and (self.size > room or len(self.items) > ITEMS):
                self.items.popitem(last=False)
            return found

    @property
    def size(self) -> int:
        """In bytes, that of arrays."""
        return sum(getattr(item, "nbytes", 0) for item in self.items.values())


store = Store()


def map_kept(
    function: Callable[..., Any],
    tasks: Sequence[tuple[tuple[Kept, ...], tuple[Any, ...]]],
    executor: Executor,
    seconds_left: Callable[[], float],
) -> list[Any]:
    """``function(*data, *arguments)`` for tasks of `Kept` data and arguments; in the order of the tasks.

    A worker that lacks data says so, and the task is sent again with them: to any worker, also to one that
    took the place of another. Raises the first failure, and TimeoutError at the end of the time; what was not
    begun is cancelled then.
    """
    results: list[Any] = [None] * len(tasks)
    done: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    running: dict[int, Any] = {}
    here, room = process(), ROOM

    def submit(i: int, missing: tuple[str, ...] = ()) -> None:
        kept, arguments = tasks[i]
        sent = {item.key: item.value for item in kept if item.key in missing}
        keys = tuple(item.key for item in kept)
        unlike = uuid.uuid4().hex  # Dask would answer two tasks that are alike by one result
        future = executor.submit(_work, function, arguments, keys, sent, room, here, unlike)
        running[i] = future
        future.add_done_callback(lambda ended: done.put((i, ended)))

    waiting = iter(range(len(tasks)))
    try:
        with one_blas_thread():
            for i, _ in zip(waiting, range(IN_FLIGHT), strict=False):
                submit(i)
            left = len(tasks)
            while left:
                seconds = seconds_left()
                try:
                    i, future = done.get(timeout=None if seconds == math.inf else max(seconds, 0.0))
                except Empty:
                    raise TimeoutError from None
                answer = future.result()
                if isinstance(answer, Missing):
                    submit(i, answer.keys)
                    continue
                results[i] = answer
                del running[i]
                left -= 1
                if (new := next(waiting, None)) is not None:
                    submit(new)
    except BaseException:
        for future in running.values():
            future.cancel()
        raise
    return results


def _work(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keys: tuple[str, ...],
    sent: dict[str, Any],
    room: int,
    submitter: tuple[str, int],
    _: str,
) -> Any:
    data = store.take(keys, sent, room)
    if isinstance(data, Missing):
        return data
    return one_thread(_call, (function, *data, *arguments), {}, submitter)


def _call(job: tuple[Any, ...]) -> Any:
    function, *arguments = job
    return function(*arguments)
