from . import optimality as optimality
from . import problems as problems
from .from_jaxopt import from_jaxopt as from_jaxopt
from .linear_solve import solve_bicgstab as solve_bicgstab
from .linear_solve import solve_cg as solve_cg
from .linear_solve import solve_cholesky as solve_cholesky
from .linear_solve import solve_dense as solve_dense
from .linear_solve import solve_gmres as solve_gmres
from .linear_solve import solve_host as solve_host
from .linear_solve import solve_lsmr as solve_lsmr
from .optimality import make_kkt_optimality_fun as make_kkt_optimality_fun
from .products import root_jvp as root_jvp
from .products import root_vjp as root_vjp
from .products import solution_jacobian as solution_jacobian
from .root import custom_fixed_point as custom_fixed_point
from .root import custom_root as custom_root
from .root import differentiable as differentiable

__all__ = [
    "custom_fixed_point",
    "custom_root",
    "differentiable",
    "from_jaxopt",
    "make_kkt_optimality_fun",
    "optimality",
    "problems",
    "root_jvp",
    "root_vjp",
    "solution_jacobian",
    "solve_bicgstab",
    "solve_cg",
    "solve_cholesky",
    "solve_dense",
    "solve_gmres",
    "solve_host",
    "solve_lsmr",
]
