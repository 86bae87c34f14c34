"""Monotone inclusions, games and linear programs: Halpern iterations with variance reduction and restarts."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
