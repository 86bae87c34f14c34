"""Many atoms at once, on any executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numsolve._core.parallel import map_tasks

from .dft import AtomDFT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from .result import AtomResult


def solve_atoms(
    specs: Iterable[Any], *, executor: Executor | None = None, progress: bool = False, **settings: Any
) -> list[AtomResult]:
    """Solve atoms one after the other, or by the workers of an executor.

    Parameters
    ----------
    specs : iterable
        Of nuclear charges, dictionaries of arguments of `AtomDFT`, or `AtomDFT` objects.
    executor : concurrent.futures.Executor, optional
        The compiled loop releases the interpreter's lock, so that threads run side by side.
    progress : bool
        Show a progress bar.
    **settings
        Arguments of `AtomDFT` for all specs that are not `AtomDFT` objects; a dictionary's own come first.

    Returns
    -------
    list of AtomResult
        In the order of the specs.

    Raises
    ------
    ParallelError
        If some failed; it carries the results of the others.
    ValueError, TypeError
        If a spec is not valid; nothing is solved then.

    Examples
    --------
    >>> from numsolve.atomic import solve_atoms
    >>> helium, neon = solve_atoms([2, {"Z": 10, "relativistic": True}])
    >>> round(helium.total_energy, 6), round(neon.total_energy, 6)
    (-2.834836, -128.336403)
    """
    atoms = [_atom(spec, settings) for spec in specs]
    return map_tasks(
        AtomDFT.run, atoms, executor=executor, warm_up=AtomDFT(1).run, progress=progress, label="atoms"
    )


def _atom(spec: Any, settings: dict[str, Any]) -> AtomDFT:
    if isinstance(spec, AtomDFT):
        return spec
    return AtomDFT(**{**settings, **(spec if isinstance(spec, dict) else {"Z": spec})})
