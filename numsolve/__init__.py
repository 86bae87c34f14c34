"""Scientific solvers from recent papers, one column of the package for each area.

The stub ``__init__.pyi`` lists the public names; each is imported when it is first used, so that
``import numsolve`` costs a few milliseconds.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
