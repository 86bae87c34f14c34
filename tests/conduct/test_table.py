"""The table of public solvers is whole."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from solvers import COLUMNS, JAX

#: Public names that solve nothing by themselves, and why.
EXCUSED = {
    "holds a result": {
        "transport": "CloudPlan DivergenceResult Gradient PatternResult SampleGradient SampleResult "
        "SparseTransportResult TransportResult",
        "linear": "DCDMResult LinearResult SequenceHistory",
        "monotone": "GameResult LPResult LinprogResult MonotoneResult",
        "fractional": "DiscSolution FirstPassageResult FractionalDiffusionResult JacobiSolution "
        "RieszBatchResult RieszEigResult RieszFamilyResult RieszPlaneResult RieszResult SineSolution "
        "SymbolAnalysis TensorSine TensorSpline",
        "atomic": "AtomFunctions AtomResult Orbital RadialResult",
        "bilevel": "BilevelResult BlockResult HypergradientResult",
        "sketch": "LinearResult LstsqResult SketchResult",
        "neural_ode": "ODEResult SDEResult TrainResult",
        "special": "VMFResult",
    },
    "describes a problem, which the solvers of the table are given": {
        "monotone": "AffineFiniteSum BilinearGame FiniteSum",
        "bilevel": "BilevelProblem BlockOracle EstimatorProblem from_estimator",
        "atomic": "RadialMesh",
        "neural_ode": "CostTarget ExponentialDecay taylor_dynamics",
        "implicit": "make_kkt_optimality_fun",
        "sketch": "Sketch",
        "linear": "PoissonMultigrid",
    },
    "a network whose product is a `DCDMNet`'s": {"linear": "NPSDNet"},
    "a warning": {"atomic": "UnboundWarning"},
    "follows scikit-learn, whose checks are in its own tests": {
        "transport": "DomainAdaptation",
        "sketch": "ConstrainedLogisticRegression",
        "special": "VMFMixture",
    },
    "wraps what another package solves": {"implicit": "from_jaxopt"},
}


@pytest.mark.parametrize("area", COLUMNS)
def test_every_public_solver_is_in_the_table(area):
    column = importlib.import_module(f"numsolve.{area}")
    public = {name for name in column.__all__ if not isinstance(getattr(column, name), ModuleType)}
    if not JAX:
        public -= {"train", "odesolve", "sdesolve"}
    listed = {name.partition(",")[0] for name in COLUMNS[area]}
    excused = {name for names in EXCUSED.values() for name in names.get(area, "").split()}
    assert listed <= public
    assert not listed & excused
    if JAX:
        assert public == listed | excused
