"""Optional packages: imported where they are needed, with a hint when they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import nullcontext
from typing import Any

from .unheard import unheard

#: package -> the extra of numsolve that installs it
EXTRAS = {
    "jax": "jax",
    "jaxopt": "jax",
    "optax": "jax",
    "matplotlib": "plot",
    "cupy": "gpu",
    "cupyx": "gpu",
    "highspy": "highs",
    "dask": "distributed",
    "distributed": "distributed",
    "mpi4py": "distributed",
    "sklearn": "sklearn",
}


def require(module: str, purpose: str) -> Any:
    """Import an optional module, or say how to install it.

    Parameters
    ----------
    module : str
        Its full name, as ``"matplotlib.pyplot"``.
    purpose : str
        What needs it, for the error message: "plotting a result".

    Returns
    -------
    module
    """
    package = module.partition(".")[0]
    try:
        # jaxopt announces at import that it is no longer maintained; our users cannot act on it.
        with unheard(DeprecationWarning) if package == "jaxopt" else nullcontext():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package and installed(package):
            raise  # the package is there, but a part of it or something that it needs is not
        extra = EXTRAS.get(package)
        command = f'pip install "numsolve[{extra}]"' if extra else f"pip install {package}"
        raise ModuleNotFoundError(
            f"{purpose} needs the package {package}, which is not installed; try: {command}", name=package
        ) from error


def installed(module: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
