"""What stands in single backticks: a link where it names something public, code where it does not.

Docstrings write parameters and objects alike. A parameter of the documented function is code. Another name
is looked up as Python would from the place where it stands, then among the functions and classes of the same
area, then among those of ``numsolve`` itself. A full name that is not in the reference ends the build.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.roles import XRefRole

SINGLE = re.compile(r"(?<![`:\w])`(\w+)`(?![`_\w])")
LINKED = {"function", "class", "exception", "module"}


class Name(XRefRole):
    """A reference that may stay without a target."""

    def process_link(
        self, env: Any, refnode: Any, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """Note where the name stands."""
        del has_explicit_title
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        refnode["py:module"] = env.ref_context.get("py:module")
        refnode["py:class"] = env.ref_context.get("py:class")
        refnode["plain"] = True
        return title, target.removesuffix("()")


def area_of(node: Any) -> str:
    """The area in whose reference or gallery a name stands, as ``numsolve.area``."""
    if module := node.get("py:module"):
        return ".".join(module.split(".")[:2])
    folders = node.get("refdoc", "").split("/")
    return (
        f"numsolve.{folders[1]}"
        if folders[0] == "gallery" and len(folders) > 2
        else "numsolve"
    )


def look_further(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """The one function or class of that name in the same area, or in numsolve itself; else plain code."""
    if not node.get("plain") and node.get("reftype") != "obj":
        return None
    name, domain = node["reftarget"], env.domains["py"]
    for prefix in (area_of(node), "numsolve"):
        found = [
            full
            for full, entry in domain.objects.items()
            if entry.objtype in LINKED
            and not entry.aliased
            and (
                full == f"{prefix}.{name}"
                or (full.startswith(f"{prefix}.") and full.endswith(f".{name}"))
            )
            and (prefix != "numsolve" or full == f"{prefix}.{name}")
        ]
        # what the area exports itself comes first
        found.sort(key=lambda full: full.count("."))
        if found and (len(found) == 1 or found[0].count(".") < found[1].count(".")):
            node = node.deepcopy()
            node["reftarget"] = found[0]
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", found[0], node, contnode
            )
    if not node.get("plain") or name.startswith("numsolve."):
        return None  # Sphinx warns
    return nodes.literal("", contnode.astext())


def quote_parameters(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Write the function's own parameters as code, so that none is taken for an object of the same name."""
    del app, what, name, options
    try:
        parameters = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return
    for k, line in enumerate(lines):
        lines[k] = SINGLE.sub(
            lambda m: f"``{m[1]}``" if m[1] in parameters else m[0], line
        )


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx; ``default_role`` is ``name``."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_role("name", Name())
    app.connect("missing-reference", look_further, priority=400)
    app.connect("autodoc-process-docstring", quote_parameters, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
