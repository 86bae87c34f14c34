"""Factorisations that a compiled program leaves on the host for its derivative.

XLA hands numbers over, not objects: a factorisation waits here, under the numbers that it was made of.
Whoever asks with the same numbers gets a factorisation of the same matrix, whichever program, thread or batch
it comes from, and however often a program runs. What has been given up to save memory is made again.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.implicit._direct import both_ways

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

#: Bytes of factorisations that are kept, the last one whatever its size.
KEPT_BYTES = 2**28
#: How many are kept, and what one counts for whose size is not known.
KEPT = 1024
UNKNOWN = 2**24
#: A value and an index for each entry that a sparse factorisation has filled in.
BYTES_OF_ENTRY = 16


class Factor:
    """A factorisation, or a pair of functions, as such a pair; none of a singular matrix."""

    def __init__(self, given: Any) -> None:
        self.both_ways: Any = None if given is None else both_ways(given)
        entries = getattr(given, "nnz", None)
        self.size = UNKNOWN if entries is None else BYTES_OF_ENTRY * int(entries)


class Store:
    """The last factorisations that were made, under their keys; safe in threads."""

    def __init__(self, kept_bytes: int = KEPT_BYTES, kept: int = KEPT) -> None:
        self.kept_bytes, self.kept = kept_bytes, kept
        self.size = 0
        self._found: OrderedDict[Hashable, Factor] = OrderedDict()
        self._gone: deque[int] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Hashable, make: Callable[[], Factor]) -> Factor:
        """The one that is stored under a key; it is made if it is not there."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        self.put(key, made)
        return made

    def put(self, key: Hashable, made: Factor) -> None:
        """Store one, and give up the oldest of the others that have no room."""
        with self._lock:
            self._sweep()
            self._drop(key)
            self._found[key] = made
            self.size += made.size
            while len(self._found) > 1 and (self.size > self.kept_bytes or len(self._found) > self.kept):
                self._drop(next(iter(self._found)))

    def forget(self, owner: int) -> None:
        """Give up what belongs to an owner, the first entry of its keys: now, or when somebody next puts.

        The collector of garbage may call this in the middle of the other methods, whose lock is taken then.
        """
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self._lock.release()

    def _sweep(self) -> None:
        while self._gone:
            owner = self._gone.popleft()
            for key in list(self._found):
                if isinstance(key, tuple) and key[0] == owner:
                    self._drop(key)

    def _drop(self, key: Hashable) -> None:
        found = self._found.pop(key, None)
        self.size -= 0 if found is None else found.size


#: The one store of the process.
STORE = Store()
_OWNERS = itertools.count()


def new_owner() -> int:
    """A number that no other owner of factorisations has or will have."""
    return next(_OWNERS)


def digest(arrays: Iterable[Any]) -> bytes:
    """A fingerprint of arrays: their types, shapes and bytes."""
    found = hashlib.blake2b(digest_size=20)
    for array in map(np.asarray, arrays):
        found.update(f"{array.dtype.str}{array.shape};".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.digest()
