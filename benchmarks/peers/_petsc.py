"""Krylov methods of PETSc as peers, through petsc4py: their own preconditioners, and those of hypre.

petsc4py has no wheels: distributions and conda have it, and `pip install petsc petsc4py` builds both, hypre
only if PETSC_CONFIGURE_OPTIONS asks for it. Where it is missing, its rows say so.
"""

from __future__ import annotations

from typing import Any


class Krylov:
    """A method with a preconditioner, for matrices with one pattern; solves to a residual of rtol ``||b||``.

    With ``eisenstat`` PETSc only knows the residual of its transformed system; such a solve takes as many
    steps as it is told.
    """

    def __init__(
        self, A: Any, preconditioner: str, method: str = "cg", *, omega: float = 1.0, rtol: float = 1e-8
    ) -> None:
        from petsc4py import PETSc

        self.matrix = PETSc.Mat().createAIJ(A.shape, csr=(A.indptr, A.indices, A.data))
        self.matrix.setOption(PETSc.Mat.Option.SPD, method == "cg")
        self.solver = PETSc.KSP().create()
        self.solver.setOperators(self.matrix)
        self.solver.setType(method)
        if method != "cg":
            self.solver.setPCSide(PETSc.PC.Side.RIGHT)  # which leaves the residual as it is
        self.solver.getPC().setType(preconditioner)
        kinds = PETSc.KSP.NormType
        eisenstat = preconditioner == "eisenstat"
        self.solver.setNormType(kinds.NONE if eisenstat else kinds.UNPRECONDITIONED)
        if eisenstat:
            PETSc.Options()["pc_eisenstat_omega"] = omega
            self.solver.setFromOptions()
        self.rtol = rtol
        self.b, self.x = self.matrix.createVecs()

    def solve(self, b: Any, x0: Any = None, *, A: Any = None, steps: int = 10_000) -> Any:
        """The solution, from x0, with the values of A if they are new."""
        if A is not None:
            self.matrix.setValuesCSR(A.indptr, A.indices, A.data)
            self.matrix.assemble()
            self.solver.setOperators(self.matrix)
        self.solver.setTolerances(rtol=self.rtol, atol=0.0, max_it=steps)
        self.solver.setInitialGuessNonzero(x0 is not None)
        self.b.setArray(b)
        if x0 is not None:
            self.x.setArray(x0)
        self.solver.solve(self.b, self.x)
        return self.x.getArray().copy()
