"""Derivatives of solutions beside jaxopt, unrolled loops, and the forward solve alone.

"Derivative" rows are a value and its gradient, the forward solve included on both sides, compiled beforehand.
The error of a gradient is relative to that of the exact linear solve (a dense factorisation in the formula of
the implicit function theorem, or the closed form). Unrolled loops have another error, that of their truncated
iteration.

How far from the floor: a derivative needs the forward solve and one more linear solve. On the diffusion
problem that solve reuses the factorisation (two triangular solves), and the row against the forward solve
alone is the distance from that floor. Under `jit` both sides call the same NumPy function from compiled code:
jaxopt's by `jax.pure_callback`, ours on XLA's own buffers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import implicit, transport
from numsolve.implicit import problems


def relative_to(reference: Any) -> Callable[[Any], float]:
    """The relative distance of a gradient from a reference."""
    return lambda out: float(np.linalg.norm(np.asarray(out).ravel() - reference) / np.linalg.norm(reference))


def loaded() -> tuple[Any, Any, Any]:
    """JAX in double precision, and jaxopt."""
    import jax

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxopt
    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy, jaxopt


def diffusion_case(n: int) -> Case:
    """The factorisation of the forward solve serves the derivative, without JAX."""
    _, _, jaxopt = loaded()
    problem = problems.Diffusion(n)
    theta = 0.3 * np.random.default_rng(0).standard_normal((n + 1, n + 1))
    ones = np.ones(n * n)

    def ours() -> Any:
        u, factor = problem.solve(theta)
        J = implicit.solution_jacobian(
            problem.equation, u, theta, vjp_theta=partial(problem.vjp_theta, u, theta), solve=factor
        )
        return J.rmatvec(ones)

    def theirs(**solve: Any) -> Callable[[], Any]:
        return diffusion_by_jaxopt(problem, theta, **solve)

    u, factor = problem.solve(theta)
    reference = -problem.vjp_theta(u, theta, factor.solve(ones))
    peers = [
        Peer(
            "scipy",
            lambda: problem.solve(theta),
            name="SciPy splu",
            error=lambda out: float(abs(out[0] - u).max()),
            note="the forward solve alone",
        )
    ]
    solve_cg = partial(jaxopt.linear_solve.solve_cg, tol=1e-10)
    peers.append(Peer("jaxopt", theirs(solve=solve_cg), name="jaxopt solve_cg"))
    if n <= 64:
        peers.append(Peer("jaxopt", theirs(), name="jaxopt default", note="conjugate gradients on A'A"))
    return Case(
        f"diffusion, {n} x {n} unknowns",
        ours,
        peers,
        metric="derivative",
        error=relative_to(reference.ravel()),
        tol=1e-8,
        repeats=15,
        first_call=False,
        note="NumPy; ours includes the forward solve",
    )


def diffusion_by_jaxopt(problem: Any, theta: Any, **solve: Any) -> Callable[[], Any]:
    """The compiled gradient of the sum of a diffusion problem's solution, by jaxopt's decorator."""
    jax, jnp, jaxopt = loaded()
    n = problem.n

    # On one thread `jax.pure_callback` waits for ever for an array above some 100 kB: hand it over in pieces.
    def pieces(theta: Any) -> Any:
        return [theta] if n <= 64 else jnp.array_split(theta, 4)

    def host(*pieces: Any) -> Any:
        return problem.solve(np.concatenate([np.asarray(piece) for piece in pieces]))[0]

    @jaxopt.implicit_diff.custom_root(problem.equation, **solve)
    def solver(_: Any, theta: Any) -> Any:
        return jax.pure_callback(host, jax.ShapeDtypeStruct((n * n,), jnp.float64), *pieces(theta))

    gradient = jax.jit(jax.grad(lambda theta: solver(None, theta).sum()))
    return lambda: gradient(theta).block_until_ready()


def sparse_jit_case(n: int) -> Case:
    """The factorisation of the forward solve serves the derivative in a compiled program."""
    jax, jnp, jaxopt = loaded()
    problem = problems.Diffusion(n)
    theta = jnp.asarray(0.3 * np.random.default_rng(0).standard_normal((n + 1, n + 1)))
    shape = jax.ShapeDtypeStruct((n * n,), jnp.float64)

    def solve(_: Any, theta: Any) -> Any:
        return problem.solve(theta)

    solution = implicit.differentiable(solve, problem.equation, solve="factor", result_shape=shape)
    forward = jax.jit(lambda theta: solution(None, theta))
    gradient = jax.jit(jax.grad(lambda theta: solution(None, theta).sum()))
    u, factor = problem.solve(np.asarray(theta))
    reference = -problem.vjp_theta(u, np.asarray(theta), factor.solve(np.ones(n * n)))
    solve_cg = partial(jaxopt.linear_solve.solve_cg, tol=1e-10)
    return Case(
        f"diffusion under jit, {n} x {n} unknowns",
        lambda: gradient(theta).block_until_ready(),
        [
            Peer(
                "jax",
                lambda: forward(theta).block_until_ready(),
                name="the same solver under jit",
                error=lambda out: float(abs(np.asarray(out) - u).max()),
                note="the forward solve alone",
            ),
            Peer("jaxopt", diffusion_by_jaxopt(problem, theta, solve=solve_cg), name="jaxopt solve_cg"),
        ],
        metric="derivative",
        error=relative_to(reference.ravel()),
        tol=1e-8,
        repeats=15,
        first_call=False,
        note="SuperLU in a callback on all sides; ours includes the forward solve",
    )


def species_case() -> Case:
    """A chemical equilibrium in cm^-3 and seconds: equations of size 1e-12, unknowns of size 1e17."""
    jax, jnp, jaxopt = loaded()
    pairing, opening, ratio, total = 1e-46, 1e-29, 0.5, 1e17

    def F(n: Any, total: Any) -> Any:
        a, b, c = n
        return jnp.stack([pairing * a**2 - opening * b, 1e-20 * (ratio * b - c), a + 2 * b + 2 * c - total])

    K = pairing / opening
    a = (np.sqrt(1 + 8 * K * (1 + ratio) * total) - 1) / (4 * K * (1 + ratio))
    n = np.array([a, K * a**2, ratio * K * a**2])
    da = 1 / (1 + 4 * K * (1 + ratio) * a)
    error = relative_to(np.array([da, 2 * K * a * da, 2 * ratio * K * a * da]))
    one = (jnp.asarray(1.0),)

    def derivative(root_jvp: Any) -> Any:
        compiled = jax.jit(lambda n, total: root_jvp(F, n, (total,), one))
        return lambda: compiled(jnp.asarray(n), jnp.asarray(total)).block_until_ready()

    return Case(
        "species in equilibrium, in units of 1e17 and 1e-20",
        derivative(implicit.root_jvp),
        [
            Peer("jaxopt", derivative(jaxopt.implicit_diff.root_jvp), name="jaxopt default"),
            Peer(
                "jaxopt",
                derivative(partial(jaxopt.implicit_diff.root_jvp, solve=jaxopt.linear_solve.solve_lu)),
                name="jaxopt solve_lu",
            ),
        ],
        metric="error of the derivative",
        unit="relative",
        value=error,
        error=error,
        tol=1e-8,
        repeats=1,
        first_call=False,
        note="defaults of ours",
    )


def host_case() -> Case:
    """A ridge regression by LAPACK in a callback, under jit: what the wrapping costs."""
    jax, jnp, jaxopt = loaded()
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 50)), rng.standard_normal(200)
    XX, Xy = X.T @ X / 200, X.T @ y / 200
    A, b = jnp.asarray(XX), jnp.asarray(Xy)
    start, penalties = jnp.zeros(50), jnp.linspace(0.1, 1.0, 50)

    def solve(_: Any, lam: Any) -> Any:
        return np.linalg.solve(XX + np.diag(lam), Xy)

    def F(w: Any, lam: Any) -> Any:
        return A @ w + lam * w - b

    @jaxopt.implicit_diff.custom_root(F, solve=jaxopt.linear_solve.solve_lu)
    def theirs(init: Any, lam: Any) -> Any:
        return jax.pure_callback(
            lambda init, lam: solve(np.asarray(init), np.asarray(lam)),
            jax.ShapeDtypeStruct((50,), jnp.float64),
            init,
            lam,
        )

    ours = implicit.differentiable(solve, F)

    def repeated(solver: Any) -> Callable[[], Any]:
        gradient = jax.jit(jax.grad(lambda lam: (solver(start, lam) ** 2).sum()))

        def run() -> Any:
            for _ in range(200):
                out = gradient(penalties).block_until_ready()
            return out

        return run

    H = XX + np.diag(penalties)
    w = np.linalg.solve(H, Xy)
    reference = -2 * w * np.linalg.solve(H, w)
    return Case(
        "ridge by LAPACK in a callback, 50 unknowns",
        repeated(ours),
        [Peer("jaxopt", repeated(theirs), name="jaxopt solve_lu")],
        metric="200 derivatives under jit",
        error=relative_to(reference),
        tol=1e-10,
        repeats=15,
        note="the same host function on both sides",
    )


def svm_case(m: int, p: int, unrolled: int = 500) -> Case:
    """Multi-class support vector machine, its penalty: implicit against an unrolled loop."""
    jax, jnp, jaxopt = loaded()
    X, Y = map(jnp.asarray, problems.classes(m, p, rng=0))
    X_val, Y_val = map(jnp.asarray, problems.classes(100, p, rng=1))
    penalty = jnp.asarray(3.0)

    def dual(beta: Any, lam: Any) -> Any:
        W = X.T @ (Y - beta)
        return (W**2).sum() / (2 * lam) + jnp.vdot(beta, Y)

    def projection(beta: Any, _: Any) -> Any:
        return jax.vmap(jaxopt.projection.projection_simplex)(beta)

    def solver(tol: float = 1e-9, maxiter: int = unrolled, **settings: Any) -> Any:
        step = float(penalty / jnp.linalg.norm(X, 2) ** 2)
        return jaxopt.ProjectedGradient(
            dual, projection, stepsize=step, maxiter=maxiter, tol=tol, acceleration=True, **settings
        )

    def derivative(run: Any) -> Callable[[], Any]:
        def loss(lam: Any) -> Any:
            beta = run(jnp.full_like(Y, 1 / Y.shape[1]), None, lam).params
            return ((X_val @ (X.T @ (Y - beta)) / lam - Y_val) ** 2).mean()

        gradient = jax.jit(jax.value_and_grad(loss))
        return lambda: jax.block_until_ready(gradient(penalty))[1]

    exact = float(derivative(implicit.from_jaxopt(solver(1e-14, 20000), solve="dense"))())
    steps = int(solver().run(jnp.full_like(Y, 1 / Y.shape[1]), None, penalty).state.iter_num)
    full, short = (solver(0.0, k, implicit_diff=False) for k in (unrolled, steps))
    return Case(
        f"multi-class SVM, {m} samples, {p} features",
        derivative(implicit.from_jaxopt(solver())),
        [
            Peer("jaxopt", derivative(full.run), name=f"jaxopt unrolled {unrolled}"),
            Peer(
                "jaxopt", derivative(short.run), name=f"jaxopt unrolled {steps}", note="our number of steps"
            ),
            Peer("jaxopt", derivative(solver().run), name="jaxopt implicit"),
        ],
        metric="derivative",
        error=relative_to(np.array([exact])),
        tol=1e-6,
        repeats=7,
        note="the same projected gradient steps; implicit stops at a residual of 1e-9",
    )


def sinkhorn_case(n: int = 60, sweeps: int = 500, reg: float = 0.1) -> Case:
    """Entropic transport: a host solver and one linear solve against unrolled sweeps."""
    jax, jnp, _ = loaded()
    rng = np.random.default_rng(0)
    x, y = rng.random((n, 2)), rng.random((n, 2))
    M = ((x[:, None] - y) ** 2).sum(axis=2)
    a, b = np.full(n, 1 / n), np.full(n, 1 / n)
    Q = rng.random((n, n))

    def host(_: Any, M: Any) -> Any:
        f, g = transport.solve(M, a, b, reg, tol=1e-13, return_plan=False).potentials
        return f + g[-1], (g - g[-1])[:-1]

    def plan(potentials: Any, M: Any) -> Any:
        f, g = potentials
        return jnp.exp((f[:, None] + jnp.append(g, 0.0) - M) / reg)

    def F(potentials: Any, M: Any) -> Any:
        P = plan(potentials, M)
        return P.sum(axis=1) - a, (P.sum(axis=0) - b)[:-1]

    solver = implicit.differentiable(host, F, symmetric=True, solve="cholesky")
    start = (jnp.zeros(n), jnp.zeros(n - 1))

    def ours(M: Any) -> Any:
        return (Q * plan(solver(start, M), M)).sum()

    def theirs(M: Any) -> Any:
        def sweep(_: Any, fg: Any) -> Any:
            f = reg * (jnp.log(a) - jax.nn.logsumexp((fg[1] - M) / reg, axis=1))
            return f, reg * (jnp.log(b) - jax.nn.logsumexp((f[:, None] - M) / reg, axis=0))

        f, g = jax.lax.fori_loop(0, sweeps, sweep, (jnp.zeros(n), jnp.zeros(n)))
        return (Q * jnp.exp((f[:, None] + g - M) / reg)).sum()

    exact = transport.solve(M, a, b, reg, tol=1e-13).vjp(Q).M

    def derivative(loss: Any) -> Callable[[], Any]:
        gradient = jax.jit(jax.grad(loss))

        def run() -> Any:
            for _ in range(20):
                out = gradient(M).block_until_ready()
            return out

        return run

    return Case(
        f"entropic transport, {n} x {n}, reg = {reg}",
        derivative(ours),
        [Peer("jax", derivative(theirs), name=f"JAX unrolled {sweeps}")],
        metric="20 derivatives",
        error=relative_to(exact.ravel()),
        tol=1e-8,
        repeats=15,
        note="ours calls numsolve.transport in a callback",
    )


def conditioning_case(condition: float) -> Case:
    """The error of the default linear solve where the matrix is ill-conditioned."""
    jax, jnp, jaxopt = loaded()
    n, rng = 50, np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    A = Q @ np.diag(np.geomspace(1, 1 / condition, n)) @ Q.T
    A, c = (A + A.T) / 2, rng.standard_normal(n)
    b = A @ rng.standard_normal(n)
    x = np.linalg.solve(A, b)
    reference = np.linalg.solve(A, c)

    def F(x: Any, b: Any) -> Any:
        return A @ x - b

    error = relative_to(reference)
    theirs = jax.jit(lambda x, b: jaxopt.implicit_diff.root_vjp(F, x, (b,), jnp.asarray(c))[0])
    ours = jax.jit(lambda x, b: implicit.root_vjp(F, x, (b,), jnp.asarray(c))[0])
    return Case(
        f"linear system, condition {condition:.0e}",
        lambda: ours(x, b).block_until_ready(),
        [Peer("jaxopt", lambda: theirs(x, b).block_until_ready(), name="jaxopt default")],
        metric="error of the derivative",
        unit="relative",
        value=error,
        error=error,
        tol=1e-8,
        repeats=1,
        first_call=False,
        note="defaults on both sides",
    )


def kepler(count: int) -> tuple[Any, Any, Any, Any]:
    """Kepler's equation: random data, the equation, and Newton's method."""
    _, jnp, _ = loaded()
    rng = np.random.default_rng(0)
    M, e = jnp.asarray(rng.uniform(0, 6, count)), jnp.asarray(rng.uniform(0, 0.9, count))

    def F(E: Any, M: Any, e: Any) -> Any:
        return E - e * jnp.sin(E) - M

    def newton(_: Any, M: Any, e: Any) -> Any:
        import jax

        def step(_: Any, E: Any) -> Any:
            return E - F(E, M, e) / (1 - e * jnp.cos(E))

        return jax.lax.fori_loop(0, 12, step, M + e * jnp.sin(M))

    return M, e, F, newton


def batch_of_roots(count: int = 10_000, order: int = 1) -> Case:
    """Kepler's equation, a scalar root for each problem of a batch: first or second derivatives in e."""
    jax, jnp, jaxopt = loaded()
    M, e, F, newton = kepler(count)

    def derivative(solver: Any) -> Callable[[], Any]:
        def loss(e: Any) -> Any:
            return jax.vmap(lambda M, e: solver(0.0 * M, M, e))(M, e).sum()

        def second(M: Any, e: Any) -> Any:
            return jax.grad(jax.grad(lambda e: solver(0.0 * M, M, e)))(e)

        compiled = jax.jit(jax.grad(loss) if order == 1 else lambda e: jax.vmap(second)(M, e))
        return lambda: compiled(e).block_until_ready()

    E, e_ = np.asarray(newton(None, M, e)), np.asarray(e)
    slope = 1 - e_ * np.cos(E)
    first = np.sin(E) / slope
    reference = first if order == 1 else (2 * np.cos(E) - e_ * np.sin(E) * first) * first / slope
    peers = [Peer("jaxopt", derivative(jaxopt.implicit_diff.custom_root(F)(newton)), name="jaxopt default")]
    peers += optimistix_peers(derivative, F, lambda _, M, e: M + e * jnp.sin(M), 12)
    return Case(
        f"batch of {count} scalar roots",
        derivative(implicit.custom_root(F)(newton)),
        peers,
        metric="derivative" if order == 1 else "second derivative",
        error=relative_to(reference),
        tol=1e-8,
        repeats=15,
        note="Newton's method in JAX on both sides, under vmap",
    )


def batch_of_systems(count: int = 1000, n: int = 20) -> Case:
    """A batch of nonlinear systems with dense Jacobians."""
    jax, jnp, jaxopt = loaded()
    rng = np.random.default_rng(0)
    A = jnp.asarray(rng.standard_normal((count, n, n)) / (2 * n**0.5) + 2 * np.eye(n))
    b, start = jnp.asarray(rng.standard_normal((count, n))), jnp.zeros(n)

    def F(x: Any, A: Any, b: Any) -> Any:
        return A @ x + x**3 - b

    def newton(x: Any, A: Any, b: Any) -> Any:
        def step(_: Any, x: Any) -> Any:
            return x - jnp.linalg.solve(A + jnp.diag(3 * x**2), F(x, A, b))

        return jax.lax.fori_loop(0, 8, step, x)

    def derivative(solver: Any) -> Callable[[], Any]:
        def loss(b: Any) -> Any:
            return jax.vmap(lambda A, b: (solver(start, A, b) ** 2).sum())(A, b).sum()

        gradient = jax.jit(jax.grad(loss))
        return lambda: gradient(b).block_until_ready()

    x = np.asarray(jax.vmap(lambda A, b: newton(start, A, b))(A, b))
    jacobian = np.asarray(A) + 3 * np.eye(n) * x[:, :, None] ** 2
    reference = np.linalg.solve(np.swapaxes(jacobian, 1, 2), 2 * x[:, :, None]).ravel()
    by_lu = jaxopt.implicit_diff.custom_root(F, solve=jaxopt.linear_solve.solve_lu)(newton)
    peers = [
        Peer("jaxopt", derivative(jaxopt.implicit_diff.custom_root(F)(newton)), name="jaxopt default"),
        Peer("jaxopt", derivative(by_lu), name="jaxopt solve_lu"),
    ]
    peers += optimistix_peers(derivative, F, lambda start, *_: start, 8)
    return Case(
        f"batch of {count} systems, {n} unknowns",
        derivative(implicit.custom_root(F)(newton)),
        peers,
        metric="derivative",
        error=relative_to(reference),
        tol=1e-8,
        repeats=9,
        note="Newton's method in JAX on both sides, under vmap",
    )


def optimistix_peers(derivative: Any, F: Any, start: Any, steps: int) -> list[Peer]:
    """Newton's method of optimistix, with its own implicit adjoint, where it is installed."""
    try:
        import optimistix
    except ImportError:
        return []

    def solver(init: Any, *theta: Any) -> Any:
        return optimistix.root_find(
            lambda x, theta: F(x, *theta),
            optimistix.Newton(1e-12, 1e-12),
            start(init, *theta),
            theta,
            throw=False,
            max_steps=steps,
        ).value

    return [Peer("optimistix", derivative(solver), name="optimistix Newton")]


def matrix_case(n: int = 100) -> Case:
    """The derivative of w'x in all entries of A, A x = b, without JAX; jaxopt's is compiled."""
    jax, jnp, jaxopt = loaded()
    rng = np.random.default_rng(0)
    A, b, w = rng.standard_normal((n, n)) + 20 * np.eye(n), rng.standard_normal(n), rng.standard_normal(n)
    x = np.linalg.solve(A, b)

    def F(x: Any, A: Any, b: Any) -> Any:
        return A @ x - b

    theirs = jax.jit(
        lambda x, A, b, w: jaxopt.implicit_diff.root_vjp(F, x, (A, b), w, solve=jaxopt.linear_solve.solve_lu)[
            0
        ]
    )
    given = tuple(map(jnp.asarray, (x, A, b, w)))
    return Case(
        f"gradient in a matrix of {n} x {n}",
        lambda: implicit.root_vjp(F, x, (A, b), w)[0],
        [Peer("jaxopt", lambda: theirs(*given).block_until_ready(), name="jaxopt solve_lu under jit")],
        metric="derivative",
        error=relative_to(-np.outer(np.linalg.solve(A.T, w), x).ravel()),
        tol=1e-8,
        repeats=15,
        first_call=False,
        note="ours differentiates a function of NumPy, of which it knows nothing",
    )


def cases(quick: bool) -> Iterator[Case]:
    """Factor reuse, callbacks, unrolled loops, conditioning, batches, matrices."""
    yield diffusion_case(64 if quick else 128)
    yield sparse_jit_case(64 if quick else 100)
    yield host_case()
    yield svm_case(100, 500)
    if not quick:
        yield svm_case(200, 2000)
    yield sinkhorn_case()
    yield conditioning_case(1e4)
    yield species_case()
    yield batch_of_roots()
    yield batch_of_roots(order=2)
    yield batch_of_systems()
    yield matrix_case()


if __name__ == "__main__":
    main(cases)
