"""Bilevel optimisation: hundreds of regularisation weights, or other upper variables, fitted to data."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
