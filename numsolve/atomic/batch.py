"""Many atoms at once, on any executor."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from numsolve._core.foreign import answers
from numsolve._core.keyboard import Guarded
from numsolve._core.limits import Limits
from numsolve._core.parallel import map_tasks

from .configuration import read_charge
from .dft import AtomDFT

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ._radial import Potential
    from .atom_result import AtomResult
    from .configuration import Configuration
    from .mesh import RadialMesh


class AtomSettings(TypedDict, total=False):
    """The keywords of `AtomDFT`."""

    n_electrons: float | None
    configuration: Configuration | None
    relativistic: bool | Literal["dirac", "scalar"]
    spin_polarized: bool
    xc: Literal["lda", "pbe", "pbesol", "exchange", "hartree"]
    nucleus: Literal["point", "uniform", "gaussian"]
    nuclear_radius: float | None
    external: Potential | None
    temperature: float
    c: float
    mesh: RadialMesh | None
    mixing: Literal["anderson", "linear"]
    mixing_alpha: float
    mixing_depth: int
    tol: float
    error_estimate: bool


class AtomSpec(AtomSettings, total=False):
    """The arguments of `AtomDFT`, the charge among them."""

    Z: float | str


@answers()
def solve_atoms(
    specs: Iterable[float | str | AtomSpec | AtomDFT],
    *,
    executor: Executor | None = None,
    progress: bool = False,
    time_limit: float | None = None,
    **settings: Unpack[AtomSettings],
) -> list[AtomResult]:
    """Solve atoms one after the other, or by the workers of an executor.

    Parameters
    ----------
    specs : iterable
        Of nuclear charges or symbols, dictionaries of arguments of `AtomDFT`, or `AtomDFT` objects.
    executor : concurrent.futures.Executor, optional
        The compiled loop releases the interpreter's lock, so that threads run side by side.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds, for all together.
    **settings
        Arguments of `AtomDFT` for all specs that are not `AtomDFT` objects; a dictionary's own come first.

    Returns
    -------
    list of AtomResult
        In the order of the specs. After Ctrl-C or the end of the time the atoms that were not begun are None.

    Raises
    ------
    ParallelError
        If some failed; it carries the results of the others.
    ValueError, TypeError
        If a spec is not valid; nothing is solved then.

    Warns
    -----
    ConvergenceWarning
        If Ctrl-C or the time limit ended the work; what is done is returned.

    Examples
    --------
    >>> from numsolve.atomic import solve_atoms
    >>> helium, neon = solve_atoms([2, {"Z": 10, "relativistic": True}])
    >>> round(helium.total_energy, 6), round(neon.total_energy, 6)
    (-2.834836, -128.336403)
    """
    limits = Limits(None, time_limit, None, progress)
    given: Any = specs
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise TypeError(f"specs must be an iterable of atoms, got {type(given).__name__}")
    with Guarded():  # reading them may take long
        atoms = [_atom(spec, settings, f"specs[{k}]: Z") for k, spec in enumerate(given)]
        if not atoms:
            _atom(1, settings)  # they are checked, whoever they are for
        results: list[AtomResult] = map_tasks(
            partial(_run, limits=limits),
            atoms,
            executor=executor,
            warm_up=AtomDFT(1).run,
            progress=limits.progress,
            label="atoms",
            limits=limits,
        )
    return results


def _atom(spec: float | str | AtomSpec | AtomDFT, settings: AtomSettings, called: str = "Z") -> AtomDFT:
    if isinstance(spec, AtomDFT):
        return spec
    own: AtomSpec = spec if isinstance(spec, dict) else {"Z": read_charge(spec, called)}
    arguments: dict[str, Any] = {**settings, **own}
    return AtomDFT(**arguments)


def _run(atom: AtomDFT, limits: Limits) -> AtomResult:
    return atom.run() if isinf(limits.deadline) else atom.run(time_limit=limits.seconds_left)
