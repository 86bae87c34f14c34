"""Training: what every solver owes its user, and checkpoints that resume bit for bit."""

# ruff: noqa: E402
from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from contract import Call, Conduct

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

from numsolve import ConvergenceWarning, Status
from numsolve.neural_ode import (
    CostTarget,
    ExponentialDecay,
    error_penalty,
    heuristics,
    odesolve,
    problems,
    train,
)

DATA = (np.linspace(1.0, 2.0, 12), 0.2 * np.linspace(1.0, 2.0, 12))
ADAM = optax.adam(0.05)


def loss(params, batch, coefficient, key):
    sol = odesolve(lambda t, y, a: -a * y, batch[0], (0.0, 1.0), params["rate"], method="bosh3", rtol=1e-3)
    noise = 1e-3 * jax.random.normal(key)
    return jnp.mean((sol.y - batch[1] + noise) ** 2) + coefficient * error_penalty(sol), sol


START = {"rate": np.ones(())}


def run(**settings):
    return train(loss, START, DATA, ADAM, **{"batch_size": 4, "epochs": 2, "rng": 1, **settings})


def long(**settings):
    def fun(t, y):
        return np.array([y[1], 1e3 * (1 - y[0] ** 2) * y[1] - y[0]])

    return heuristics(fun, (0.0, 1e4), np.array([2.0, 0.0]), **{"maxiter": 10**8, **settings})


class TestConduct(Conduct):
    calls: ClassVar = {
        "train": Call(run=run, start=False, changes=False),
        "heuristics": Call(
            run=lambda **kw: heuristics(lambda t, y: -y, (0.0, 5.0), np.ones(2), **kw), long=long
        ),
    }


def same(x, y):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True))


@pytest.mark.parametrize("coefficient", [0.1, CostTarget(attempts=3)], ids=["number", "budget"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, coefficient):
    """Cut in the middle of an epoch: from the last checkpoint, the steps come out the same."""
    settings = {"epochs": 4, "coefficient": coefficient, "evaluate": lambda p: {"rate": p["rate"]}}
    whole = run(**settings)
    path = tmp_path / "state.npz"
    with pytest.warns(ConvergenceWarning):
        run(**settings, checkpoint=path, maxiter=7)
    rest = run(**settings, checkpoint=path)
    assert rest.nit == 12 - 7
    assert rest.steps == whole.steps == 12
    assert same((rest.x, rest.opt_state), (whole.x, whole.opt_state))
    assert rest.coefficient == whole.coefficient
    assert set(rest.table) == {"epoch", "loss", "nfev", "coefficient", "rate"}
    assert all(np.array_equal(rest.table[name], whole.table[name]) for name in whole.table)
    again = run(**settings, checkpoint=path)
    assert again.success
    assert same(again.x, whole.x)


def test_a_generator_draws_the_order_of_the_samples():
    first, same_again, other = (run(rng=np.random.default_rng(k)) for k in (3, 3, 4))
    assert same(first.x, same_again.x)
    assert not same(first.x, other.x)
    with pytest.raises(TypeError, match="no argument 'seed': it is called 'rng' here"):
        run(seed=3)


def test_training_finds_the_rate_and_each_epoch_sees_each_sample():
    seen = []

    def spy(params, batch, coefficient, key):
        jax.debug.callback(lambda x: seen.append(np.sort(x)), batch[0], ordered=True)
        return loss(params, batch, coefficient, key)

    result = train(spy, START, DATA, ADAM, batch_size=4, epochs=40)
    jax.effects_barrier()
    assert float(result.x["rate"]) == pytest.approx(np.log(5), rel=0.02)
    for k in range(0, 9, 3):
        assert np.array_equal(np.sort(np.concatenate(seen[k : k + 3])), DATA[0])
    assert np.array_equal(result.table["epoch"], np.arange(1, 41))
    assert result.history["nfev"][0] >= 5


def test_a_schedule_is_a_function_of_the_step():
    decay = ExponentialDecay(1.0, 0.1, 6)
    result = run(coefficient=decay)
    assert result.history["coefficient"] == pytest.approx([decay(i) for i in range(6)])


def test_the_budget_controller_ends_near_its_target():
    """A network learns y -> -y; left alone it takes twice the steps."""
    starts = np.random.default_rng(0).standard_normal((32, 2))
    layers = [(3 * w, b) for w, b in problems.mlp_params(jax.random.key(0), (2, 8, 2), time=False)]

    def reflect(params, batch, coefficient, key):
        sol = odesolve(problems.mlp, batch, (0.0, 1.0), params, rtol=1e-5, atol=1e-5, max_steps=64)
        return jnp.mean((sol.y + batch) ** 2) + coefficient * error_penalty(sol), sol

    target = CostTarget(nfev=50, start=0.1)
    result = train(reflect, layers, starts, optax.adam(1e-2), batch_size=32, epochs=260, coefficient=target)
    spent = np.asarray(result.history["nfev"])
    assert spent[:100].max() > 1.5 * 50
    assert abs(spent[-20:].mean() / 50 - 1) < 0.2


def test_a_loss_that_is_no_number_ends_the_run():
    def bad(params, batch, coefficient, key):
        value, sol = loss(params, batch, coefficient, key)
        return value * jnp.nan, sol

    with pytest.warns(ConvergenceWarning):
        result = train(bad, START, DATA, ADAM, epochs=3)
    assert result.status is Status.NONFINITE


BAD = {
    "epochs": ({"epochs": 0}, ValueError, "epochs must be an integer at least 1"),
    "batch": ({"batch_size": 13}, ValueError, "batch_size must be .* at most 12"),
    "rng": ({"rng": -1}, ValueError, "rng"),
    "coefficient": ({"coefficient": -1.0}, ValueError, "coefficient"),
    "evaluate": ({"evaluate": 3}, TypeError, "evaluate must be callable"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named(name):
    settings, error, message = BAD[name]
    with pytest.raises(error, match=message):
        run(**settings)


def test_what_loss_and_evaluate_return_is_checked():
    with pytest.raises(TypeError, match="loss must return the pair of a number and a result"):
        train(lambda *_: jnp.ones(()), START, DATA, ADAM)
    with pytest.raises(ValueError, match=r"loss must return a number, it returns shape \(2,\)"):
        train(lambda *a: (jnp.ones(2), loss(*a)[1]), START, DATA, ADAM)
    with pytest.raises(TypeError, match="evaluate must return numbers by name"):
        run(evaluate=lambda _: None)


def test_no_step_is_an_answer():
    with pytest.warns(ConvergenceWarning):
        result = run(maxiter=0)
    assert same(result.x, START)


def test_bad_models_data_and_checkpoints_are_named(tmp_path):
    with pytest.raises(ValueError, match="data must hold arrays with a common first axis"):
        train(loss, START, (np.ones(3), np.ones(4)), ADAM)
    with pytest.raises(ValueError, match="params must hold at least one array of floats"):
        train(loss, {"n": 3}, DATA, ADAM)
    with pytest.raises(TypeError, match="optimizer must have init and update"):
        train(loss, START, DATA, 0.1)
    path = tmp_path / "other.npz"
    path.write_text("no checkpoint")
    with pytest.raises(ValueError, match="checkpoint must be a whole file written by train"):
        run(checkpoint=path)
    for damaged in (lambda file: np.savez(file, leaf_0=np.ones(3)), lambda file: np.save(file, np.ones(3))):
        with path.open("wb") as file:
            damaged(file)
        with pytest.raises(ValueError, match="checkpoint must be a whole file written by train"):
            run(checkpoint=path)
    with pytest.raises(ValueError, match="directory that exists"):
        run(checkpoint=tmp_path / "none" / "state.npz")
    with pytest.raises(TypeError, match="checkpoint must be a path"):
        run(checkpoint=3)


def test_a_checkpoint_belongs_to_its_run(tmp_path):
    """Batch size, rng and data decide what the number of a step means."""
    path = tmp_path / "state.npz"
    run(checkpoint=path)
    whole = path.read_bytes()
    other = (DATA[0] + 1.0, DATA[1])
    for settings, name in (
        ({"batch_size": 6}, "batch_size"),
        ({"rng": 2}, "rng"),
        ({"data": other}, "data"),
    ):
        given = {"data": DATA, "batch_size": 4, "epochs": 2, "rng": 1, **settings}
        with pytest.raises(ValueError, match=f"a run with the same {name}"):
            train(loss, START, optimizer=ADAM, checkpoint=path, **given)
    with pytest.raises(ValueError, match="epochs must be at least 2"):
        run(checkpoint=path, epochs=1)
    with pytest.raises(ValueError, match="checkpoint must be of the same model"):
        train(loss, {"rate": np.ones(2)}, DATA, ADAM, checkpoint=path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="checkpoint must be a whole file"):
        run(checkpoint=path)


def test_keys_numbers_and_short_floats_survive_a_checkpoint(tmp_path):
    """Whatever the optimiser keeps: a typed key, a Python number; and parameters in bfloat16."""
    import ml_dtypes

    class Optimizer:
        def init(self, params):
            return {"key": jax.random.key(3), "n": 0, "inner": ADAM.init(params)}

        def update(self, grads, state, params):
            updates, inner = ADAM.update(grads, state["inner"], params)
            return updates, {"key": jax.random.split(state["key"])[0], "n": state["n"] + 1, "inner": inner}

    def short(params, batch, coefficient, key):
        return loss({"rate": params["rate"].astype(float)}, batch, coefficient, key)

    start = {"rate": np.ones((), ml_dtypes.bfloat16)}
    settings, optimizer = {"batch_size": 4, "epochs": 2}, Optimizer()
    whole = train(short, start, DATA, optimizer, **settings)
    path = tmp_path / "state.npz"
    with pytest.warns(ConvergenceWarning):
        train(short, start, DATA, optimizer, **settings, maxiter=2, checkpoint=path)
    rest = train(short, start, DATA, optimizer, **settings, checkpoint=path)
    assert rest.nit == 4
    assert str(rest.x["rate"].dtype) == "bfloat16"
    assert np.array_equal(rest.x["rate"], whole.x["rate"])
    assert int(rest.opt_state["n"]) == 6
    keys = (jax.random.key_data(r.opt_state["key"]) for r in (rest, whole))
    assert np.array_equal(*keys)
