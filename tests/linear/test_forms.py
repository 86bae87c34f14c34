"""A matrix in every form that people hold one in, and a matrix of nothing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from numsolve import linear

SOLVERS = (
    linear.sor,
    linear.ssor,
    linear.gauss_seidel,
    linear.cg,
    linear.ssor_cg,
    linear.ict_cg,
    linear.bicgstab,
    linear.gmres,
)


def forms(D):
    """A matrix in the ways that people hold one."""
    A = sp.csr_array(D)
    order = np.concatenate([np.arange(*ends)[::-1] for ends in zip(A.indptr[:-1], A.indptr[1:], strict=True)])
    wide = sp.csr_array(A)
    wide.indices, wide.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    locked = D.copy()
    locked.flags.writeable = False
    return {
        "lists": D.tolist(),
        "dense": D,
        "by columns": np.asfortranarray(D),
        "read-only": locked,
        "single": D.astype(np.float32),
        "integers": D.astype(int),
        "the other byte order": D.astype(D.dtype.newbyteorder()),
        **{kind: getattr(sp, f"{kind}_array")(D) for kind in ("csc", "coo", "dia", "bsr", "lil", "dok")},
        "the old kind": sp.csr_matrix(D),
        "sparse integers": A.astype(int),
        "sparse, the other byte order": sp.csr_array((A.data.astype(">f8"), A.indices, A.indptr), A.shape),
        "unsorted": sp.csr_array((A.data[order], A.indices[order], A.indptr), A.shape),
        "duplicates": sp.csr_array(
            (np.repeat(A.data / 2, 2), np.repeat(A.indices, 2), 2 * A.indptr), A.shape
        ),
        "stored zeros": sp.csr_array(
            (np.r_[A.data, 0], np.r_[A.indices, 0], np.r_[A.indptr[:-1], A.nnz + 1])
        ),
        "long indices": wide,
    }


MATRIX = np.diag(np.full(5, 3.0)) - np.eye(5, k=1) - np.eye(5, k=-1)
VECTOR = np.arange(1.0, 6.0)
USES = {
    **{solver.__name__: lambda A, solver=solver: solver(A, VECTOR, rtol=1e-7).x for solver in SOLVERS},
    "cg, flexible, checked": lambda A: linear.cg(A, VECTOR, rtol=1e-7, flexible=True, check="symmetric").x,
    "ssor_cg, checked": lambda A: linear.ssor_cg(A, VECTOR, rtol=1e-7, check="symmetric").x,
    "ssor_cg, standard": lambda A: linear.ssor_cg(A, VECTOR, rtol=1e-7, method="standard").x,
    "SSOR": lambda A: linear.SSOR(A, 1.2) @ VECTOR,
    "ICT": lambda A: linear.ICT(A) @ VECTOR,
    "ILU": lambda A: linear.ILU(A) @ VECTOR,
    "SweepPlan": lambda A: linear.SweepPlan(A).update(A).halves()[-1],
    "TunedSolver": lambda A: linear.TunedSolver(rng=0, rtol=1e-7)(A, VECTOR).x,
    "TunedSolver, auto": lambda A: linear.TunedSolver("auto", rtol=1e-7)(A, VECTOR).x,
    "optimal_omega": linear.optimal_omega,
    "automatic_context": linear.automatic_context,
    "ssor_condition": lambda A: linear.theory.ssor_condition(A, 1.2),
    "dcdm": lambda A: linear.dcdm(A, VECTOR, lambda r: r, rtol=1e-7).x,
    "ritz_training_vectors": lambda A: linear.ritz_training_vectors(
        np.array(A) if isinstance(A, list) else A, 4, 2, rng=0
    ),
}


@pytest.mark.parametrize("name", USES)
def test_a_matrix_means_the_same_in_every_form_and_is_left_as_it_is(name):
    use, expected = USES[name], USES[name](MATRIX)
    for kind, A in forms(MATRIX).items():
        before = [A.data.copy(), A.indices.copy()] if hasattr(A, "indices") else []
        assert use(A) == pytest.approx(expected, rel=1e-4), kind
        assert all(map(np.array_equal, before, [A.data, A.indices] if before else [])), kind


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_system_of_nothing_is_solved(solver):
    assert solver(sp.csr_array((0, 0)), np.ones(0)).success
    if solver in {linear.cg, linear.ssor_cg}:
        assert solver(np.ones((0, 0)), np.ones(0), check="symmetric").success


def test_a_matrix_of_nothing_has_no_condition():
    with pytest.raises(ValueError, match="A must have a row"):
        linear.theory.ssor_condition(np.ones((0, 0)), 1.0)
