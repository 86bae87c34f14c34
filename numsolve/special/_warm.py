"""Tiny calls that compile each kernel, for ``python -m numsolve warm special``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _call(name: str, *arguments: float) -> Callable[[], object]:
    def call() -> object:
        from numsolve import special

        function: Callable[..., object] = getattr(special, name)
        return function(*arguments)

    return call


CALLS: dict[str, Callable[[], object]] = {
    "log_iv": _call("log_iv", 1.0, 1.0),
    "log_kv": _call("log_kv", 1.0, 1.0),
    "iv_ratio": _call("iv_ratio", 1.0, 1.0),
    "kv_ratio": _call("kv_ratio", 1.0, 1.0),
    "log_iv_grad": _call("log_iv_grad", 1.0, 1.0),
    "log_kv_grad": _call("log_kv_grad", 1.0, 1.0),
}
