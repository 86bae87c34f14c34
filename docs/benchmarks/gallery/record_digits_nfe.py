"""Train digit classifiers with each penalty: ``python docs/benchmarks/gallery/record_digits_nfe.py``.

The 1797 digits of scikit-learn: 360 for the test, 287 for the choice of coefficients, 1150 for training.
State of 64 pixels, right-hand side 64-64-64 with the time in each layer, a linear classifier of the end.
Double precision, rtol = atol = 1e-8, Adam with rate 1e-3, batches of 128, 40 epochs, five seeds. Evaluations
are those of one solve of all test digits. Each row has the accuracy on the validation digits, too: by it
a coefficient should be chosen where a penalty has several. Names as arguments run these penalties alone.
Takes a quarter of an hour on one core. The rows of local penalties that end at 0.1 or 0.3 have three seeds.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from record import processor
from sklearn.datasets import load_digits

from numsolve import neural_ode as node
from numsolve.neural_ode.problems import mlp, mlp_params

HERE = Path(__file__).resolve().parent
TOL = 1e-8
EPOCHS, SEEDS = 40, range(5)
solve = partial(node.odesolve, rtol=TOL, atol=TOL, max_steps=64)


def data():
    """Pixels of [0, 1] and labels: training, validation, test."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, label = digits.data[order] / 16.0, digits.target[order]
    parts = np.split(np.arange(len(x)), [1150, 1437])
    return [(x[part], label[part]) for part in parts]


def model(seed):
    """Weights of the right-hand side and of the classifier."""
    key = jax.random.key(seed)
    w = jax.random.normal(jax.random.fold_in(key, 1), (64, 10)) / 8.0
    return {"ode": mlp_params(key, (64, 64, 64)), "out": (w, jnp.zeros(10))}


def cross_entropy(params, y, label):
    """Mean over the batch."""
    logits = y @ params["out"][0] + params["out"][1]
    return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()


def penalised(penalty):
    """The loss with a penalty, a function of (params, sol, key)."""

    def loss(params, batch, coefficient, key):
        sol = solve(mlp, batch[0], (0.0, 1.0), params["ode"])
        value = cross_entropy(params, sol.y, batch[1])
        return value + coefficient * penalty(params, sol, key), sol

    return loss


def steered(params, batch, coefficient, key):
    """STEER: the coefficient is b."""
    span = (0.0, 1.0 + coefficient * jax.random.uniform(key, (), minval=-1.0))
    sol = solve(mlp, batch[0], span, params["ode"])
    return cross_entropy(params, sol.y, batch[1]), sol


def taylor(params, batch, coefficient, _):
    """TayNODE, third derivative."""
    augmented, split = node.taylor_dynamics(mlp, order=3)
    start = (batch[0], jnp.zeros(()))
    sol = solve(augmented, start, (0.0, 1.0), params["ode"], error_weight=(1.0, 0.0))
    y, penalty = split(sol.y)
    return cross_entropy(params, y, batch[1]) + coefficient * penalty, sol


def local(sampling):
    """A local penalty of the error."""
    return lambda params, sol, key: node.local_penalty(
        mlp, sol, params["ode"], key, sampling=sampling
    )


STEPS = EPOCHS * (1150 // 128)
plain = penalised(lambda *_: 0.0)
error = penalised(lambda _, sol, __: node.error_penalty(sol))
cost = penalised(lambda _, sol, __: node.cost_penalty(sol))
stiffness = penalised(lambda _, sol, __: node.stiffness_penalty(sol))
unbiased, biased = penalised(local("unbiased")), penalised(local("biased"))


def annealed(*pairs):
    """Coefficients that fall from one number to another."""
    return [node.ExponentialDecay(start, stop, STEPS) for start, stop in pairs]


def label(coefficient):
    """What a row says of its coefficient."""
    if isinstance(coefficient, node.ExponentialDecay):
        return f"{coefficient.start:g} to {coefficient.stop:g}"
    return str(getattr(coefficient, "start", coefficient))


#: name, loss, coefficients
METHODS = [
    ("none", plain, [0.0]),
    ("error", error, [0.1]),
    ("local, unbiased", unbiased, annealed((1, 0.1), (3, 0.3), (1, 0.4))),
    ("local, biased", biased, annealed((1, 0.1), (1, 0.4))),
    ("budget of 10 steps", error, [node.CostTarget(attempts=10)]),
    ("error", error, [0.3]),
    ("predicted cost", cost, [0.03]),
    ("stiffness", stiffness, [0.3]),
    ("STEER", steered, [0.5]),
    ("TayNODE", taylor, [0.01]),
]


def run(loss, coefficient, parts):
    """Each seed: the table of its epochs, the accuracies and evaluations at the end, seconds a step."""

    @jax.jit
    def judge(params, x, label):
        sol = solve(mlp, x, (0.0, 1.0), params["ode"])
        right = jnp.argmax(sol.y @ params["out"][0] + params["out"][1], axis=1) == label
        return right.mean(), sol.nfev, sol.naccepted + sol.nrejected

    out = []
    for seed in SEEDS:

        def evaluate(params):
            accuracy, nfev, attempts = judge(params, *parts[2])
            return {"accuracy": accuracy, "test_nfev": nfev, "attempts": attempts}

        began = time.process_time()
        result = node.train(
            loss,
            model(seed),
            parts[0],
            optax.adam(1e-3),
            batch_size=128,
            epochs=EPOCHS,
            seed=seed,
            coefficient=coefficient,
            evaluate=evaluate,
        )
        seconds = time.process_time() - began
        row = {name: values.tolist() for name, values in result.table.items()}
        row["validation"] = [float(judge(result.x, *parts[1])[0])]
        out.append(row | {"seconds": seconds, "success": bool(result.success)})
    return out


def main(chosen):
    """Run all, or those chosen by name, and write the file after each; other rows in it stay."""
    jax.config.update("jax_enable_x64", True)
    parts, kept = data(), HERE / "digits_nfe.json"
    rows = json.loads(kept.read_text())["rows"] if chosen and kept.exists() else []
    for name, loss, coefficients in METHODS:
        if chosen and name not in chosen:
            continue
        for coefficient in coefficients:
            seeds = run(loss, coefficient, parts)
            names = ("accuracy", "validation", "test_nfev", "attempts", "coefficient")
            last = {key: [seed[key][-1] for seed in seeds] for key in names}
            rows.append(
                {
                    "penalty": name,
                    "coefficient": label(coefficient),
                    "accuracy": last["accuracy"],
                    "validation": last["validation"],
                    "nfev": last["test_nfev"],
                    "attempts": last["attempts"],
                    "last_coefficient": last["coefficient"],
                    "seconds_of_training": [
                        round(seed["seconds"], 2) for seed in seeds
                    ],
                    "success": all(seed["success"] for seed in seeds),
                    "nfev_by_epoch": [
                        [round(v) for v in seed["test_nfev"]] for seed in seeds
                    ],
                    "accuracy_by_epoch": [
                        [round(v, 4) for v in seed["accuracy"]] for seed in seeds
                    ],
                }
            )
            accuracy, nfev = np.mean(last["accuracy"]), np.mean(last["test_nfev"])
            row = f"{name} {rows[-1]['coefficient']}"
            print(f"{row}: accuracy {accuracy:.4f}, evaluations {nfev:.1f}", flush=True)
            about = {
                "date": datetime.now(UTC).date().isoformat(),
                "processor": processor(),
                "versions": {"jax": jax.__version__, "optax": optax.__version__},
                "tolerance": TOL,
                "epochs": EPOCHS,
            }
            text = json.dumps(about | {"rows": rows}, default=float).replace(
                "}, {", "},\n{"
            )
            kept.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
