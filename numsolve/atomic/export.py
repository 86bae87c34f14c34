"""Files for other programs: a table of all functions in plain text, and UPF as plane-wave codes read it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

from .configuration import LETTERS, SYMBOLS

if TYPE_CHECKING:
    from numsolve._core.typing import Array

    from .functions import AtomFunctions
    from .result import Orbital

RYDBERGS = 2.0  #: in a hartree


def table(
    Z: float, energy: float, orbitals: tuple[Orbital, ...], now: AtomFunctions, slopes: AtomFunctions
) -> str:
    """Columns under a header; lines of the header begin with #."""
    columns: list[tuple[str, Array]] = [("r", now.r), ("density", now.density)]
    if now.spin_density is not None:
        columns.append(("spin_density", now.spin_density))
    for name in ("v_eff", "v_hartree", "v_xc"):
        values = getattr(now, name)
        ends = ("_up", "_down") if values.ndim == 2 else ("",)
        columns += [(name + end, row) for end, row in zip(ends, np.atleast_2d(values), strict=True)]
    for k, orbital in enumerate(orbitals):
        name = orbital.label.replace(" ", "_")
        columns += [(f"P_{name}", now.P[k]), (f"dP_{name}", slopes.P[k])]
        if now.Q is not None and slopes.Q is not None:
            columns += [(f"Q_{name}", now.Q[k]), (f"dQ_{name}", slopes.Q[k])]
    head = [
        "all-electron atom, in hartree and bohr; P = r R; dP is its derivative",
        f"Z = {Z:g}, total energy = {energy:.12g}",
        *(
            f"{orbital.label}: occupation {orbital.occupation:.12g}, energy {orbital.energy:.15g}"
            for orbital in orbitals
        ),
        " ".join(name for name, _ in columns),
    ]
    rows = np.column_stack([values for _, values in columns])
    lines = [*(f"# {line}" for line in head), *(" ".join(f"{x:.16e}" for x in row) for row in rows)]
    return "\n".join(lines) + "\n"


def upf(
    Z: float,
    energy: float,
    orbitals: tuple[Orbital, ...],
    now: AtomFunctions,
    *,
    relativistic: str,
    functional: str,
    rab: Array,
) -> str:
    """The nucleus as the potential, the orbitals and the density; in rydberg, as UPF has it."""
    is_element = Z == int(Z) and 1 <= Z <= len(SYMBOLS)
    header = {
        "generated": "numsolve",
        "element": SYMBOLS[int(Z) - 1] if is_element else "X",
        "pseudo_type": "1/r",
        "relativistic": relativistic,
        "is_ultrasoft": "F",
        "is_paw": "F",
        "is_coulomb": "T",
        "has_so": "F",
        "has_wfc": "T",
        "has_gipaw": "F",
        "core_correction": "F",
        "functional": functional,
        "z_valence": f"{Z:.12g}",
        "total_psenergy": f"{RYDBERGS * energy:.15g}",
        "l_max": str(max(orbital.l for orbital in orbitals)),
        "l_local": "0",
        "mesh_size": str(now.r.size),
        "number_of_wfc": str(len(orbitals)),
        "number_of_proj": "0",
    }
    parts = [
        '<UPF version="2.0.1">',
        _tag("PP_HEADER", None, **header),
        f'<PP_MESH mesh="{now.r.size}">',
        _tag("PP_R", now.r),
        _tag("PP_RAB", rab),
        "</PP_MESH>",
        _tag("PP_LOCAL", -RYDBERGS * Z / now.r),
        '<PP_NONLOCAL><PP_DIJ type="real" size="0" columns="4"/></PP_NONLOCAL>',
        "<PP_PSWFC>",
        *(
            _tag(
                f"PP_CHI.{k + 1}",
                now.P[k],
                label=f"{orbital.n}{LETTERS[orbital.l].upper()}",
                l=str(orbital.l),
                n=str(orbital.n),
                occupation=f"{orbital.occupation:.12g}",
                pseudo_energy=f"{RYDBERGS * orbital.energy:.15g}",
            )
            for k, orbital in enumerate(orbitals)
        ),
        "</PP_PSWFC>",
        _tag("PP_RHOATOM", 4 * np.pi * now.r**2 * now.density),
        "</UPF>",
    ]
    return "\n".join(parts) + "\n"


def _tag(name: str, values: Array | None, **attributes: str) -> str:
    """An element of XML, with numbers four in a line."""
    words = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    if values is None:
        return f"<{name}{words}/>"
    numbers = [f"{x:.15e}" for x in values.tolist()]
    lines = [" ".join(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
    return "\n".join([f'<{name} type="real" size="{values.size}" columns="4"{words}>', *lines, f"</{name}>"])
