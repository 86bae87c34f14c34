from . import problems as problems
from .result import Gradient as Gradient
from .result import TransportResult as TransportResult
from .sinkhorn import sinkhorn as sinkhorn
from .sns import sinkhorn_newton_sparse as sinkhorn_newton_sparse
from .solve import solve as solve

__all__ = ["Gradient", "TransportResult", "problems", "sinkhorn", "sinkhorn_newton_sparse", "solve"]
