"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

#: Where Linux says what a container may use, in its second and its first version of control groups.
CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Where nothing can be found out.
UNKNOWN = 4 << 30


def memory() -> int:
    """Return the bytes of the machine, or of the container or the limit of the process if these are less."""
    found = [_of_container(path) for path in CONTAINER]
    try:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # Windows
        found.append(UNKNOWN)
    try:
        import resource

        found.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    except ImportError:  # Windows
        pass
    return min(number for number in found if number > 0)  # no limit is -1


def _of_container(path: str) -> int:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return -1
