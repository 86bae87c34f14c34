"""Functions that other functions make, and that still pickle: by how they were made."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


class Made:
    """What a factory made of its arguments; pickling keeps these, and makes it again."""

    def __init__(self, factory: Callable[..., Callable[..., Any]], args: Any, settings: Any) -> None:
        self._recipe = factory, args, settings
        function = factory(*args, **settings)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call the function that was made."""
        return self.__wrapped__(*args, **settings)  # type: ignore[attr-defined]  # set by update_wrapper

    def __reduce__(self) -> Any:
        factory, args, settings = self._recipe
        return functools.partial(_again, factory.__module__, factory.__qualname__), (args, settings)


def remade(factory: Callable[P, Callable[..., Any]]) -> Callable[P, Callable[..., Any]]:
    """Let what a factory returns pickle, if the factory's arguments do."""

    @functools.wraps(factory)
    def make(*args: P.args, **settings: P.kwargs) -> Callable[..., Any]:
        return Made(factory, args, settings)

    return make


def _again(module: str, name: str, args: Any, settings: Any) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)(*args, **settings)
