from . import optimality as optimality
from . import problems as problems
from .adaptation import DomainAdaptation as DomainAdaptation
from .clouds.divergence import DivergenceResult as DivergenceResult
from .clouds.divergence import sinkhorn_divergence as sinkhorn_divergence
from .clouds.plan import CloudPlan as CloudPlan
from .clouds.result import SampleGradient as SampleGradient
from .clouds.result import SampleResult as SampleResult
from .clouds.sample import solve_sample as solve_sample
from .many import solve_many as solve_many
from .pattern_result import PatternResult as PatternResult
from .result import Gradient as Gradient
from .result import TransportResult as TransportResult
from .sinkhorn import sinkhorn as sinkhorn
from .sns import sinkhorn_newton_sparse as sinkhorn_newton_sparse
from .solve import solve as solve
from .sparse.quadratic import quadratic as quadratic
from .sparse.result import SparseTransportResult as SparseTransportResult
from .sparse.sparsity_constrained import sparsity_constrained as sparsity_constrained
from .unbalanced import sinkhorn_unbalanced as sinkhorn_unbalanced

__all__ = [
    "CloudPlan",
    "DivergenceResult",
    "DomainAdaptation",
    "Gradient",
    "PatternResult",
    "SampleGradient",
    "SampleResult",
    "SparseTransportResult",
    "TransportResult",
    "optimality",
    "problems",
    "quadratic",
    "sinkhorn",
    "sinkhorn_divergence",
    "sinkhorn_newton_sparse",
    "sinkhorn_unbalanced",
    "solve",
    "solve_many",
    "solve_sample",
    "sparsity_constrained",
]
