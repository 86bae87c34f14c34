"""Print, as constraints for pip, the oldest release of each dependency that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,-]+\])?>=(?P<bound>[\w.]+)\s*(?P<marker>;.*)?")


def oldest(pyproject: Path) -> list[str]:
    """``name==bound`` for each requirement of the package and its extras."""
    project = tomllib.loads(pyproject.read_text())["project"]
    lines = set()
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        if requirement.startswith(f"{project['name']}["):
            continue  # one extra that includes another
        parts = REQUIREMENT.fullmatch(requirement)
        if parts is None:
            raise SystemExit(f"{requirement!r} has no lower bound that this script can read")
        lines.add(f"{parts['name']}=={parts['bound']}{parts['marker'] or ''}")
    return sorted(lines)


if __name__ == "__main__":
    print(*oldest(Path(__file__).parents[1] / "pyproject.toml"), sep="\n")
