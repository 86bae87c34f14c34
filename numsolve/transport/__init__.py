"""Optimal transport: Sinkhorn's iteration, Newton's method, and sparse Newton's method."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
