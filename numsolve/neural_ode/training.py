"""Training that watches what its solves cost, and resumes bit for bit.

Everything random in a step follows from the seed and the number of the step, so that a checkpoint holds
parameters, the optimiser's state, the penalty's coefficient and one number, and the steps after it are those
of a run that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.plotting import new_axes
from numsolve._core.result import Result, Status

from ._checkpoints import Progress, check_path, fingerprint, load, save
from ._field import require_jax
from ._jitted import jitted
from .schedules import CostTarget

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes

    from numsolve._core.typing import Callback, LineStyle, RandomState

    from .schedules import ExponentialDecay

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TrainResult(Result):
    """A trained model, and what its solves cost on the way.

    `x` is the model's parameters: those after the last step if all epochs are done; those of the best batch
    if the run was stopped before. `residual` is the loss of a batch, with its penalty, and `history` has the
    columns `nfev` and `coefficient` beside it.

    Attributes
    ----------
    table : dict of str to array
        One row for each epoch: `epoch`, `loss`, `nfev` and `coefficient` of training, and what `evaluate`
        gave, such as accuracy against evaluations. Epochs before a resumption are in it.
    steps : int
        Steps done in all, those before a resumption too.
    coefficient : float
        The penalty's last one.
    opt_state : pytree
        The optimiser's state after the last step.
    """

    table: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    coefficient: float = 0.0
    opt_state: Any = None

    def plot(self, ax: Axes | None = None, **style: Unpack[LineStyle]) -> Axes:
        """Draw the loss of each batch, and the evaluations of its solve on the right axis.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        **style
            Colour, label and the like, for the loss.

        Returns
        -------
        matplotlib.axes.Axes
        """
        axes = super().plot(new_axes(ax), **style)
        axes.set_xlabel("step")
        axes.set_ylabel("loss of a batch")
        if self.history is not None:
            right = axes.twinx()
            right.plot(self.history["iteration"], self.history["nfev"], color="#c8553d", linewidth=1.0)
            right.set_ylabel("evaluations of a solve", color="#c8553d")
            right.set_ylim(bottom=0)
        return axes


@answers()
def train(
    loss: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    params: Any,
    data: Any,
    optimizer: Any,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    rng: RandomState = 0,
    coefficient: float | ExponentialDecay | CostTarget = 0.0,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> TrainResult:
    """Minimise a loss over batches of data with any optimiser of optax, and keep count of the evaluations.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch, coefficient, key)`` returns the loss, with `coefficient` times a penalty in it,
        and the `ODEResult` or `SDEResult` of its solve. As by ``jax.jit``, it is compiled once for each
        function: what it closes over must not change.
    params : pytree
        The model; its float arrays are trained, everything else in it stays.
    data : pytree of arrays
        Samples along the first axis of each array.
    optimizer : optax.GradientTransformation
        Or anything with its `init` and `update`.
    batch_size : int, optional
        Samples of a step, all by default. A remainder is left out, another one in each epoch.
    epochs : int
        Passes over the data.
    rng : None, int or Generator
        Of the order of the samples and of the keys that `loss` gets. A run with a checkpoint needs an int.
    coefficient : float, ExponentialDecay or CostTarget
        The penalty's coefficient: a number, a function of the step, or the controller of a budget.
    evaluate : callable, optional
        ``evaluate(params)`` returns numbers by name, after each epoch.
    checkpoint : path, optional
        A file that is written at the start, after each epoch and at the end, wherever that is, and read at
        the start if it exists: then the run goes on from there. It must be of the same model, optimiser,
        data, `batch_size` and `rng`.
    maxiter : int, optional
        Most steps in this call; all epochs by default.
    callback, progress, time_limit
        As in every solver; the callback gets the parameters.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If a setting is out of range, samples do not match, or the checkpoint is of another model.

    Warns
    -----
    ConvergenceWarning
        If not all epochs were done.

    Examples
    --------
    Learn the rate of a decay from its end:

    >>> import jax.numpy as jnp
    >>> import optax
    >>> from numsolve.neural_ode import error_penalty, odesolve, train
    >>> def loss(rate, batch, coefficient, key):
    ...     sol = odesolve(lambda t, y, a: -a * y, batch[0], (0.0, 1.0), rate)
    ...     return jnp.mean((sol.y - batch[1]) ** 2) + coefficient * error_penalty(sol), sol
    >>> start = jnp.linspace(1.0, 2.0, 8)
    >>> result = train(loss, jnp.ones(()), (start, 0.2 * start), optax.adam(0.1), epochs=60)
    >>> print(f"{result.x:.1f}")
    1.6
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    jax = require_jax()
    checks.function("loss", loss)
    checks.function("evaluate", evaluate, optional=True)
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(f"optimizer must have init and update, as those of optax, got {optimizer!r}")
    epochs = checks.integer("epochs", epochs, low=1)
    seed = _seed(rng)
    n = _samples(data)
    size = n if batch_size is None else checks.integer("batch_size", batch_size, low=1, high=n)
    if not (callable(coefficient) or isinstance(coefficient, CostTarget)):
        checks.real("coefficient", coefficient, low=0.0)
    leaves, tree = jax.tree.flatten(params)
    trained = tuple(k for k, leaf in enumerate(leaves) if _is_float(leaf))
    if not trained:
        raise ValueError("params must hold at least one array of floats")
    static = tuple(
        (k, leaf) for k, leaf in enumerate(leaves) if not hasattr(leaf, "dtype") and k not in trained
    )
    steps_a_epoch = n // size
    floats = [jax.numpy.asarray(leaves[k]) for k in trained]
    first = coefficient.init() if isinstance(coefficient, CostTarget) else jax.numpy.zeros(())
    rule = coefficient if callable(coefficient) or isinstance(coefficient, CostTarget) else None
    number = coefficient if rule is None else 0.0
    program = _Program(loss, optimizer, rule, tree, trained, static, size, steps_a_epoch)
    initial = jax.tree.map(jax.numpy.asarray, optimizer.init(floats))
    now = Progress((floats, initial, first), 0, {}, [])
    total = epochs * steps_a_epoch
    run: dict[str, Any] = {}
    path = None if checkpoint is None else check_path(checkpoint)
    if path is not None:
        run = {"batch_size": size, "rng": seed, "samples": n, "data": fingerprint(data)}
        if path.exists():
            now = load(path, now.state, run)
        else:
            save(path, now, run)
        if now.step > total:
            least = -(-now.step // steps_a_epoch)
            raise ValueError(f"epochs must be at least {least}, as many as checkpoint has, got {epochs}")
    table = _Table(now.table, now.rows)
    known = {*trained, *dict(static)}
    rest = [leaf for k, leaf in enumerate(leaves) if k not in known]
    with Monitor(
        limits,
        maxiter=max(total - now.step, 1),
        divergence=np.inf,
        columns=("nfev", "coefficient"),
        label="train",
    ) as it:
        shown = program.assemble(now.state[0], rest)
        if now.step >= total:
            it.record(float("nan"), program.assemble(now.state[0], rest), converged=True)
        for _ in it:
            before = now.state[0]
            state, *numbers = jitted(program)(now.state, rest, data, seed, now.step, number)
            value, nfev, strength = map(float, numbers)
            done = now.step + 1
            extra = None
            if done % steps_a_epoch == 0:
                extra = {} if evaluate is None else _numbers(evaluate(program.assemble(state[0], rest)))
            # One assignment, so that an interruption leaves a whole step.
            now = Progress(state, done, *table.note(done // steps_a_epoch, value, nfev, strength, extra))
            end = done == total
            shown = program.assemble(state[0] if end else before, rest)
            if path is not None and extra is not None and np.isfinite(value):
                save(path, now, run)
            it.record(value, shown, converged=end and np.isfinite(value), nfev=nfev, coefficient=strength)
    if path is not None and it.status is not Status.NONFINITE:
        save(path, now, run)
    last = table.strength
    if isinstance(coefficient, CostTarget):
        last = float(coefficient.coefficient(now.state[2]))
    return it.result(
        TrainResult,
        **({} if it.nit else {"x": shown}),
        table={name: np.asarray(values) for name, values in now.table.items()},
        steps=now.step,
        coefficient=last,
        opt_state=now.state[1],
    )


def _seed(rng: RandomState) -> int:
    """An int as it is, so that a checkpoint knows it again; from a generator, one that it draws."""
    if isinstance(rng, int | np.integer):
        return checks.integer("rng", rng, low=0, high=2**31 - 1)
    return int(checks.generator(rng).integers(2**31))


def _numbers(given: Any) -> dict[str, float]:
    """What `evaluate` returned."""
    try:
        return {name: float(value) for name, value in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(f"evaluate must return numbers by name, it returns {given!r}") from error


class _Table:
    """Rows of epochs, from the numbers of their steps."""

    def __init__(self, columns: dict[str, list[float]], rows: list[Any]) -> None:
        self.columns, self.rows = columns, rows
        self.strength = columns["coefficient"][-1] if columns else 0.0

    def note(
        self, epoch: int, loss: float, nfev: float, strength: float, extra: Mapping[str, float] | None
    ) -> tuple[dict[str, list[float]], list[Any]]:
        """Add a step; at the end of an epoch, `extra` is no longer None and the step closes its row."""
        self.strength, rows = strength, [*self.rows, (loss, nfev)]
        columns = dict(self.columns)
        if extra is not None:
            loss, nfev = np.mean(rows, axis=0)
            row = {"epoch": epoch, "loss": loss, "nfev": nfev, "coefficient": strength}
            taken = set(row) & set(extra)
            if taken:
                raise ValueError(f"evaluate must not return the names {sorted(taken)}, which the table has")
            for name, value in {**row, **extra}.items():
                columns[name] = [*columns.get(name, []), value]
            rows = []
        self.columns, self.rows = columns, rows
        return columns, rows


@dataclass(frozen=True)
class _Program:
    """What decides the compiled step."""

    loss: Any
    optimizer: Any
    coefficient: Any
    tree: Any
    trained: tuple[int, ...]
    static: tuple[tuple[int, Any], ...]  #: leaves that are no arrays: functions, Python's integers
    size: int
    steps_a_epoch: int

    def assemble(self, floats: list[Any], rest: list[Any]) -> Any:
        """The model, from what is trained and what is not."""
        import jax

        given, others, static = iter(floats), iter(rest), dict(self.static)
        count = len(floats) + len(rest) + len(static)
        leaves = [
            static[k] if k in static else next(given) if k in self.trained else next(others)
            for k in range(count)
        ]
        return jax.tree.unflatten(self.tree, leaves)

    def __call__(self, state: Any, rest: list[Any], data: Any, seed: Any, step: Any, number: Any) -> Any:
        """One step; `seed` and `step` decide the batch and the key."""
        import jax
        import jax.numpy as jnp

        floats, opt_state, steered = state
        order_key, step_key = jax.random.split(jax.random.key(seed))
        samples = jax.tree.leaves(data)[0].shape[0]
        epoch, at = step // self.steps_a_epoch, step % self.steps_a_epoch
        order = jax.random.permutation(jax.random.fold_in(order_key, epoch), samples)
        chosen = jax.lax.dynamic_slice_in_dim(order, at * self.size, self.size)
        batch = jax.tree.map(lambda x: jnp.asarray(x)[chosen], data)
        if isinstance(self.coefficient, CostTarget):
            strength = self.coefficient.coefficient(steered)
        else:
            strength = number if self.coefficient is None else self.coefficient(step)
            strength = jnp.asarray(strength, jnp.result_type(float))

        def value(floats: list[Any]) -> Any:
            out = self.loss(self.assemble(floats, rest), batch, strength, jax.random.fold_in(step_key, step))
            if not (isinstance(out, tuple) and len(out) == 2 and hasattr(out[1], "nfev")):
                raise TypeError(f"loss must return the pair of a number and a result, it returns {out!r}")
            if jnp.shape(out[0]) != ():
                raise ValueError(f"loss must return a number, it returns shape {jnp.shape(out[0])}")
            return out

        (loss, sol), grads = jax.value_and_grad(value, has_aux=True)(floats)
        updates, opt_state = self.optimizer.update(grads, opt_state, floats)
        floats = jax.tree.map(lambda p, u: p + u.astype(p.dtype), floats, updates)
        if isinstance(self.coefficient, CostTarget):
            steered = self.coefficient.update(steered, sol)
        return (floats, opt_state, steered), loss, jnp.mean(jnp.asarray(sol.nfev)), strength


def _is_float(leaf: Any) -> bool:
    kind = getattr(getattr(leaf, "dtype", None), "kind", "f" if isinstance(leaf, float) else "")
    return kind == "f" or str(getattr(leaf, "dtype", "")) == "bfloat16"


def _samples(data: Any) -> int:
    import jax

    leaves = jax.tree.leaves(data)
    lengths: set[Any] = {getattr(leaf, "shape", ())[:1] for leaf in leaves}
    if not leaves or lengths == {()} or len(lengths) > 1:
        shapes = [getattr(leaf, "shape", type(leaf).__name__) for leaf in leaves]
        raise ValueError(f"data must hold arrays with a common first axis, got {shapes}")
    (length,) = lengths.pop()
    if length == 0:
        raise ValueError("data must hold at least one sample, got 0")
    return int(length)
