"""Writes the reference's pages from the stubs, so that it lists exactly the public names.

They have to be there before Sphinx looks for its sources: autosummary reads them for the names that
get pages of their own.
"""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path


def public_names(stub: Path) -> list[str]:
    """The names in the stub's ``__all__``."""
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"{stub} has no __all__")


def defined_in(module: types.ModuleType) -> list[str]:
    """The public functions and classes of a module that has no stub: its ``__all__``, or what it defines."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and callable(value)
    ]


def listing(title: str, module: str, names: list[str]) -> list[str]:
    """A table of names, each of which gets a page."""
    if not names:
        return []
    return [
        *([title, "-" * len(title), ""] if title else []),
        f".. currentmodule:: {module}",
        "",
        ".. autosummary::",
        "   :toctree: generated",
        "",
        *(f"   {name}" for name in names),
        "",
    ]


def summary(module: types.ModuleType) -> str:
    """The first sentence of the module's docstring."""
    return " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())


def contents(modules: list[str]) -> str:
    """The list of the reference's pages, each with its sentence."""
    lines = []
    for module in modules:
        about = (
            "What every solver returns, and what it warns of."
            if module == "numsolve"
            else summary(importlib.import_module(module))
        )
        lines += [f":doc:`{module}`", f"    {about}", ""]
    return "\n".join(lines)


def page(module: str, names: list[str]) -> str:
    """The page of one module: its docstring, its functions, its classes, and its public submodules."""
    package = importlib.import_module(module)
    kinds: dict[str, list[str]] = {
        "Functions": [],
        "Classes": [],
        "Warnings and errors": [],
    }
    submodules = []
    for name in names:
        value = getattr(package, name)
        if isinstance(value, types.ModuleType):
            submodules.append(name)
        elif isinstance(value, type):
            kinds[
                "Warnings and errors" if issubclass(value, Exception) else "Classes"
            ].append(name)
        elif callable(value):
            kinds["Functions"].append(name)
    label = "Results and warnings" if module == "numsolve" else module
    lines = [label, "=" * len(label), ""]
    if module != "numsolve":
        lines += [f".. automodule:: {module}", "   :no-members:", ""]
    for title, found in kinds.items():
        lines += listing(title, module, found)
    if module != "numsolve":
        for name in submodules:
            submodule = getattr(package, name)
            lines += [f"{module}.{name}", "-" * len(f"{module}.{name}"), ""]
            lines += [f".. module:: {module}.{name}", "", summary(submodule), ""]
            # what the area itself exports has its page there
            own = [
                n
                for n in defined_in(submodule)
                if getattr(package, n, None) is not getattr(submodule, n)
            ]
            lines += listing("", f"{module}.{name}", own)
    return "\n".join(lines)


def write_pages(app, _config) -> None:
    """Write a page for each stub; leave it alone if it has not changed, for fast rebuilds."""
    import numsolve

    root = Path(numsolve.__file__).parent
    folder = Path(app.srcdir) / "api"
    pages = {}
    # inner rooms of an area export their names through the area's own stub
    for stub in [root / "__init__.pyi", *sorted(root.glob("*/__init__.pyi"))]:
        module = ".".join(stub.parent.relative_to(root.parent).parts)
        pages[module] = page(module, public_names(stub))
    pages["contents"] = contents(list(pages))
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
