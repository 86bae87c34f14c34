"""Differentiable adaptive solves of ODEs and SDEs that expose, and let training lower, their own cost."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
