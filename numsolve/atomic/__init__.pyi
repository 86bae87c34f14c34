from . import optimality as optimality
from . import problems as problems
from ._radial import UnboundWarning as UnboundWarning
from .atom_result import AtomResult as AtomResult
from .batch import solve_atoms as solve_atoms
from .configuration import ground_configuration as ground_configuration
from .dft import AtomDFT as AtomDFT
from .dirac import solve_radial_dirac as solve_radial_dirac
from .functions import AtomFunctions as AtomFunctions
from .mesh import RadialMesh as RadialMesh
from .problems import hydrogenic_energy as hydrogenic_energy
from .result import Orbital as Orbital
from .result import RadialResult as RadialResult
from .schroedinger import solve_radial_schroedinger as solve_radial_schroedinger
from .thomas_fermi import thomas_fermi_potential as thomas_fermi_potential
from .xc import vwn_lda as vwn_lda
from .xc import vwn_lsda as vwn_lsda

__all__ = [
    "AtomDFT",
    "AtomFunctions",
    "AtomResult",
    "Orbital",
    "RadialMesh",
    "RadialResult",
    "UnboundWarning",
    "ground_configuration",
    "hydrogenic_energy",
    "optimality",
    "problems",
    "solve_atoms",
    "solve_radial_dirac",
    "solve_radial_schroedinger",
    "thomas_fermi_potential",
    "vwn_lda",
    "vwn_lsda",
]
