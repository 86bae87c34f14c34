"""Logarithms of modified Bessel functions with all derivatives; von Mises-Fisher and Matérn on top."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
