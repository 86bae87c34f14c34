"""Linear systems before their own residuals, in extended precision, and LAPACK."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from robustness.frame import Call, Draw, close, dense, eps, sweep

from numsolve import linear


def _matrix(d: Draw):
    """Symmetric positive definite: a grid, or dense."""
    n, rng = d.pick(6, 1, 12, 25), d.rng()
    if d.seldom(2):
        B = rng.standard_normal((n, n))
        A = B @ B.T + n * np.eye(n)
    else:
        A = 2.1 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return A * d.pick(1.0, 1e-6, 1e6), rng


def _long(v) -> np.ndarray:
    """In extended precision, real or complex."""
    v = np.asarray(v.toarray() if sp.issparse(v) else v)
    return v.astype(np.clongdouble if v.dtype.kind == "c" else np.longdouble)


def _judge(got, A, b, x0=None, *, rtol=1e-5, atol=0.0, stop="b", **_):
    A, b, x = (_long(v) for v in (A, b, got.x))
    top, size = np.abs(A).max(initial=0), np.abs(b).max(initial=0)
    if not top or top * np.abs(x).max(initial=0) > 1e300 or not 1e-290 < size < 1e290:
        return
    start = b if x0 is None else b - A @ _long(x0).reshape(b.shape)
    r, at_start, at_zero = (
        np.linalg.norm(np.abs(v / size).astype(float), axis=0) for v in (A @ x - b, start, b)
    )
    reference = np.maximum(at_start, at_zero)
    room = 1e3 * eps(got.x) * (np.abs(A) @ np.abs(x) / size + 1).max(initial=0) * len(b)
    wanted = np.maximum(float(rtol) * reference, float(atol) / size)
    assert (r <= 1.01 * wanted + room).all()


def _solver(name: str):
    def make(d: Draw) -> Call:
        A, rng = _matrix(d)
        if name in {"bicgstab", "gmres"}:
            A = A + np.triu(A, 1) * 0.3
        if name == "cg" and d.seldom(4):  # a Hermitian matrix
            turn = np.exp(1j * rng.uniform(0, 6, len(A)))
            A = A * np.outer(turn, turn.conj())
        several = name in {"ict_cg", "bicgstab", "gmres"} and d.seldom(3)
        b = rng.standard_normal((len(A), 2) if several else len(A))
        settings = d.options(rtol=(1e-5, 1e-10, 0.1), atol=(0.0, 1e-3), stop=("b", "r0")) | d.limits()
        extra = {
            "sor": {"omega": (1.0, 1.5, "adaptive", 0.3), "sweep": ("forward", "backward", "symmetric")},
            "ssor": {"omega": (1.0, 1.5)},
            "ssor_cg": {"omega": (1.0, 1.5), "method": ("auto", "eisenstat", "standard")},
            "cg": {"flexible": (False, True), "check": (None, "symmetric")},
            "ict_cg": {"droptol": (1e-3, 0.0, 0.1), "fill": (8, 0, 2)},
            "gmres": {"restart": (30, 1, 5)},
        }.get(name, {})
        x0 = (rng.standard_normal(b.shape),) if d.seldom(3) else ()
        settings |= d.options(**extra)
        if settings.get("sweep") == "symmetric" and settings.get("omega") == "adaptive":
            settings.pop("omega")  # for forward and backward sweeps
        mixed = (0, 1, 2) if name == "cg" else ()
        return Call(getattr(linear, name), (d.sparse(A), b, *x0), settings, _judge, complex=mixed)

    return make


def _factor(name: str):
    """A preconditioner: linear, finite, and exact where nothing is dropped."""

    def judge(got, A, *args, **settings):
        A = dense(A)
        n = len(A)
        v = np.ones(n, getattr(got, "dtype", float))
        y = got @ v
        assert y.shape == (n,)
        if 1e-100 < np.abs(A).max(initial=0) < 1e100:
            assert np.isfinite(y).all()
            close(got @ (2 * v), 2 * y, 1e-4, 1e-4 * np.abs(y).max())

    def make(d: Draw) -> Call:
        A, _ = _matrix(d)
        settings = {
            "ICT": {"droptol": (1e-3, 0.0), "fill": (8, 0)},
            "ILU": {"droptol": (0.0, 1e-2), "fill": (None, 3)},
            "SSOR": {"omega": (1.0, 1.7), "order": ("forward", "backward")},
        }[name]
        return Call(getattr(linear, name), (d.sparse(A),), d.options(**settings), judge)

    return make


def SweepPlan(d: Draw) -> Call:
    def judge(got, A, ordering="level", **_):
        assert got.shape == np.shape(dense(A)) if hasattr(got, "shape") else True

    orders = ("level", "natural", "multicolor", "redblack")
    A = 2.1 * np.eye(8) - np.eye(8, k=1) - np.eye(8, k=-1)
    return Call(linear.SweepPlan, (d.sparse(A),), d.options(ordering=orders), judge)


def relax(d: Draw) -> Call:
    A, rng = _matrix(d)
    x, b = rng.standard_normal(len(A)), rng.standard_normal(len(A))
    before = x.copy()

    def judge(got, A, x, b, omega=1.0, sweep="forward", iterations=1):
        A, b, omega, y = dense(A), dense(b), float(omega), before.copy()
        if sweep == "forward" and int(iterations) < 50 and 1e-100 < np.abs(A).max() < 1e100:
            for _ in range(int(iterations)):
                for i in range(len(A)):
                    y[i] += omega * (b[i] - A[i] @ y) / A[i, i]
            close(x, y, 1e-6 + 1e3 * eps(x), 1e-6 * max(np.abs(y).max(), np.abs(before).max()))

    settings = d.options(
        omega=(1.0, 1.5, 0.2), sweep=("forward", "backward", "symmetric"), iterations=(1, 0, 3)
    )
    return Call(linear.sweep, (d.sparse(A), x, b), settings, judge, writes=(1,))


def optimal_omega(d: Draw) -> Call:
    def judge(got, A, method="lanczos", rtol=1e-3):
        A = dense(A)
        assert 0 < float(got) < 2
        D = np.diag(A)
        if (
            A.size
            and 1e-100 < np.abs(A).max() < 1e100
            and (np.abs(A - np.diag(D) - np.tril(A, -1) - np.triu(A, 1)) == 0).all()
        ):
            rho = np.abs(np.linalg.eigvals(np.eye(len(A)) - A / D[:, None])).max()
            if rho < 0.999:
                close(float(got), 2 / (1 + np.sqrt(1 - rho**2)), max(0.05, float(rtol)))

    n = d.pick(6, 1, 20)
    A = 2.1 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    settings = d.options(method=("lanczos", "exact"), rtol=(1e-3, 1e-6))
    return Call(linear.optimal_omega, (d.sparse(A),), settings, judge)


def _is_finite(got, A) -> None:
    assert np.isfinite(got)


def automatic_context(d: Draw) -> Call:
    A, _ = _matrix(d)
    return Call(linear.automatic_context, (d.sparse(A),), {}, _is_finite)


# -- tuners ------------------------------------------------------------------------------------------


def _tuner(name: str):
    def judge(got, arms, **settings):
        arms = list(arms)
        for k in range(4):
            low, high = settings.get("context_range") or (0.0, 1.0)  # without one any context will do
            context = () if name == "TsallisINF" else (0.5 * (float(low) + float(high)),)
            chosen = got.suggest(*context)
            assert any(np.array_equal(chosen, arm) for arm in arms)
            got.observe(1.0 + 0.1 * k)

    def make(d: Draw) -> Call:
        settings = {"rng": 0} | d.options(discount=(1.0, 0.9)) if name != "ChebCB" else {"rng": 0}
        if name != "TsallisINF":
            settings |= {"context_range": d.pick((0.0, 1.0), (-5.0, 5.0))}
        if name == "SmoothCB":
            settings |= d.options(exploration=("lcb", "ts", "igw"))
        arms = d.pick(np.linspace(1.0, 1.9, 5), np.array([1.5]), np.array([1.0, 1.2]))
        return Call(getattr(linear, name), (arms,), settings, judge, nan=True)  # arms are anything

    return make


def TunedSolver(d: Draw) -> Call:
    A, rng = _matrix(d)
    b = rng.standard_normal(len(A))

    def TunedSolver(**settings):  # what its solver is told, that checks
        return linear.TunedSolver(**settings)(A, b)

    def judge(got, **settings):
        _judge(got, A, b, rtol=settings.get("rtol", 1e-5))

    settings = d.options(
        solver=("ssor_cg", "sor", "ssor", "auto"), cost=("auto", "iterations"), rtol=(1e-5, 1e-8),
        warm_start=("previous", "linear", "quadratic"),
    )  # fmt: skip
    if settings.get("solver") == "auto" and settings.get("cost") == "iterations":
        settings.pop("cost")  # it counts seconds
    return Call(TunedSolver, (), settings | {"rng": 0}, judge)


def solve_sequence(d: Draw) -> Call:
    A, rng = _matrix(d)
    systems = [(A * (1 + 0.1 * k), rng.standard_normal(len(A))) for k in range(d.size(0, 3))]

    def judge(got, systems, solver="ssor_cg", **settings):
        for result, (B, b) in zip(got, systems, strict=True):
            if result.success:
                _judge(result, B, b, rtol=settings.get("rtol", 1e-5))

    settings = d.options(solver=("ssor_cg", "sor", "ssor", "auto"), rtol=(1e-5, 1e-8)) | {"rng": 0}
    return Call(lambda systems, **s: list(linear.solve_sequence(systems, **s)), (systems,), settings, judge)


# -- Poisson -----------------------------------------------------------------------------------------


def _flags(d: Draw):
    shape = d.pick((6, 5), (4, 4), (3, 4, 5), (12, 9))
    rng = d.rng()
    flags = rng.choice([0, 1, 2], size=shape, p=[0.75, 0.15, 0.1])
    flags[..., 0] = 2
    rows = flags.reshape(-1, flags.shape[-1])  # each unknown can go to an open cell, so that any b will do
    rows[np.cumsum(rows == 1, axis=-1) > 0] = 1
    return flags, rng


def GridPoisson(d: Draw) -> Call:
    flags, _ = _flags(d)

    def judge(got, flags, spacing=1.0, face_coefficients=None):
        A, v = got.to_csr(), np.linspace(-1, 1, got.n)
        size = np.abs(A.data).max(initial=0)
        if size < 1e200:
            close(got @ v, A @ v, 1e-9, 1e-9 * size)
        assert abs(A - A.T).max() <= 1e-12 * size if got.n else True

    settings = d.options(spacing=(1.0, 0.1, 1e3))
    return Call(linear.GridPoisson, (flags,), settings, judge)


def _unknowns(A, v) -> list[np.ndarray]:
    """The vectors of the unknowns: of one right-hand side or several, on the grid or packed."""
    grid = A.grid_shape
    if grid not in {v.shape, v.shape[:-1]}:
        return list(v.reshape(A.n, -1).T)
    return [A.pack(one) for one in np.moveaxis(v.reshape(*grid, -1), -1, 0)]


def solve_poisson(d: Draw) -> Call:
    flags, rng = _flags(d)
    b = rng.standard_normal(d.pick(flags.shape, (*flags.shape, 2), int((flags == 0).sum())))

    def judge(got, flags, b, x0=None, rtol=1e-6, atol=0.0, spacing=1.0, **settings):
        if settings.get("boundary_values") is not None or settings.get("project"):
            return
        A = linear.GridPoisson(dense(flags).astype(int), spacing=spacing)
        B, columns = A.to_csr(), [_unknowns(A, dense(v)) for v in (got.x, b)]
        for x, side in zip(*columns, strict=True):
            size = np.linalg.norm(side)
            if 1e-100 < size < 1e100:
                room = 1e3 * eps(got.x) * (abs(B) @ np.abs(x)).max(initial=0)
                assert np.linalg.norm(B @ x - side) <= 1.01 * max(float(rtol) * size, float(atol)) + room

    settings = d.options(
        method=("auto", "mgpcg", "cg", "ssor"), spacing=(1.0, 0.1), rtol=(1e-6, 1e-10), project=(False, True),
        n_smooth=(None, 2),
    )  # fmt: skip
    return Call(linear.solve_poisson, (flags, b), settings | d.limits(), judge)


def poisson_multigrid(d: Draw) -> Call:
    flags, _ = _flags(d)

    def judge(got, problem, **_):
        v = np.ones(got.shape[1])
        assert np.isfinite(got @ v).all()

    settings = d.options(n_smooth=(1, 2), dtype=("float32", "float64"), coarse_size=(100, 5))
    return Call(linear.poisson_multigrid, (flags,), settings, judge)


def dcdm(d: Draw) -> Call:
    A, rng = _matrix(d)

    def judge(got, A, b, predictor, x0=None, rtol=1e-4, **settings):
        _judge(got, A, b, x0, rtol=rtol, **settings)

    settings = (
        d.options(n_orth=(2, 1, 5), rtol=(1e-4, 1e-8), stop=("b", "r0"), recompute_every=(1, 5)) | d.limits()
    )
    return Call(linear.dcdm, (d.sparse(A), rng.standard_normal(len(A)), lambda r: r), settings, judge)


def ritz_training_vectors(d: Draw) -> Call:
    A = sp.csr_array(2.1 * np.eye(30) - np.eye(30, k=1) - np.eye(30, k=-1))

    def judge(got, A, n_ritz, n_samples, **_):
        assert np.isfinite(got).all()
        assert int(n_samples) in got.shape

    return Call(linear.ritz_training_vectors, (A, d.pick(10, 5), d.pick(4, 1)), {"rng": 0}, judge)


SOLVERS = ("sor", "ssor", "gauss_seidel", "cg", "ssor_cg", "ict_cg", "bicgstab", "gmres")
calls = {
    **{name: _solver(name) for name in SOLVERS},
    **{name: _factor(name) for name in ("ICT", "ILU", "SSOR")},
    **{name: _tuner(name) for name in ("TsallisINF", "TsallisINFCB", "ChebCB", "SmoothCB")},
    "sweep": relax,
    **{
        f.__name__: f
        for f in (
            SweepPlan,
            optimal_omega,
            automatic_context,
            TunedSolver,
            solve_sequence,
            GridPoisson,
            solve_poisson,
            poisson_multigrid,
            dcdm,
            ritz_training_vectors,
        )
    },
}
TestLinear = sweep(
    "linear",
    calls,
    without=dict.fromkeys(
        ("DCDMNet", "NPSDNet", "train_dcdm", "train_multigrid", "train_npsd"), "training takes minutes"
    )
    | {"PoissonMultigrid": "made by poisson_multigrid", "SequenceHistory": "made by a solver"},
    seldom=("ritz_training_vectors", "solve_sequence", "TunedSolver"),
)
