"""Files of trained networks: their settings and their numbers, without pickle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numsolve._core.typing import Array

    from .grid import GridPoisson

#: Of the layout of the files.
VERSION = 1
#: Where the weights that come with the package are.
SHIPPED = Path(__file__).parent / "weights"


class Network:
    """What the networks have in common: a number of axes, settings and numbers that go to files."""

    kind: ClassVar[str]
    ndim: int

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : str or Path
            An ``.npz`` file.

        Returns
        -------
        DCDMNet or NPSDNet
            The class that it is called on.
        """
        settings, numbers = read(path, cls.kind)
        net = cls(**settings)
        net.fill(numbers, path)
        return net

    @classmethod
    def shipped(cls, ndim: int = 2) -> Self:
        """Read the network that comes with the package.

        Parameters
        ----------
        ndim : int
            Axes of the grid; there is one for two axes.

        Returns
        -------
        DCDMNet or NPSDNet
            The class that it is called on.
        """
        path = SHIPPED / f"{cls.kind}_{ndim}d.npz"
        if not path.exists():
            raise ValueError(
                f"weights of a {cls.__name__} for grids of {ndim} axes are not shipped; "
                f"linear.train_{cls.kind} makes some"
            )
        return cls.from_file(path)

    def settings(self) -> dict[str, int]:
        """What the network is made with."""
        raise NotImplementedError

    def numbers(self) -> list[Array]:
        """All its numbers, array by array."""
        raise NotImplementedError

    def check(self, problem: GridPoisson) -> None:
        """Refuse a grid of another number of axes."""
        if problem.ndim_grid != self.ndim:
            raise ValueError(
                f"the network is for grids of {self.ndim} axes, got one of {problem.ndim_grid} "
                f"(shape {problem.grid_shape})"
            )

    def save(self, path: str | Path) -> None:
        """Write the network to an ``.npz`` file.

        Parameters
        ----------
        path : str or Path
            Where; the numbers are in single precision.
        """
        write(path, self.kind, self.settings(), self.numbers())

    def fill(self, numbers: Array, path: str | Path) -> None:
        """Take over numbers of a file."""
        own = self.numbers()
        wanted = sum(x.size for x in own)
        if numbers.shape != (wanted,):
            raise ValueError(f"{path} must hold {wanted} numbers for these settings, got {numbers.size}")
        start = 0
        for x in own:
            x[...] = numbers[start : start + x.size].reshape(x.shape)
            start += x.size


def settings_of(net: Any, names: Iterable[str]) -> dict[str, int]:
    """Some attributes by name."""
    return {name: int(getattr(net, name)) for name in names}


def write(path: str | Path, kind: str, settings: dict[str, int], numbers: Iterable[Array]) -> None:
    """Write numbers and settings."""
    flat = np.concatenate([np.ravel(x) for x in numbers]).astype(np.float32)
    if not np.isfinite(flat).all():
        raise ValueError("the network must hold finite numbers to be saved")
    entries: dict[str, Any] = {"version": VERSION, "kind": kind, "numbers": flat}
    entries |= {f"setting_{name}": value for name, value in settings.items()}
    np.savez_compressed(path, **entries)


def read(path: str | Path, kind: str) -> tuple[dict[str, int], Array]:
    """Read settings and numbers; ValueError for other files."""
    with np.load(path, allow_pickle=False) as file:
        if not {"version", "kind", "numbers"} <= set(file.files):
            raise ValueError(f"{path} must be a file of weights, got entries {sorted(file.files)}")
        if int(file["version"]) != VERSION:
            raise ValueError(f"{path} must be of version {VERSION}, got {int(file['version'])}")
        if str(file["kind"]) != kind:
            raise ValueError(f"{path} must hold weights of kind {kind!r}, got {str(file['kind'])!r}")
        prefix = "setting_"
        settings = {k.removeprefix(prefix): int(file[k]) for k in file.files if k.startswith(prefix)}
        numbers = np.asarray(file["numbers"], dtype=np.float32)
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or not math.isfinite(float(numbers.sum())):
        raise ValueError(f"{path} must hold one array of finite numbers")
    return settings, numbers
