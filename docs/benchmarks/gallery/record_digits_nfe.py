"""Train digit classifiers with each penalty: ``python docs/benchmarks/gallery/record_digits_nfe.py``.

The 1797 digits of scikit-learn: 360 for the test, 287 for the choice of coefficients, 1150 for training.
State of 64 pixels, right-hand side 64-64-64 with the time in each layer, a linear classifier of the end.
Double precision, rtol = atol = 1e-8, Adam with rate 1e-3, batches of 128, 40 epochs, five seeds. Evaluations
are those of one solve of all test digits. Each row has the accuracy on the validation digits, too: by it
a coefficient should be chosen where a penalty has several. Names as arguments run these penalties alone,
and replace their rows. ``--seeds N`` takes fewer seeds, for a row that is expensive to train: TayNODE has
three, as have the rows of local penalties that end at 0.1 or 0.3. Takes half an hour on one core.

``--data mnist`` trains on 4000 images of MNIST instead: 3000, 400, 600; state of 784 pixels, 784-100-784,
rtol = atol = 1e-6, 8 epochs.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
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


@dataclass(frozen=True)
class Task:
    """Digits to learn, and how."""

    name: str
    ends: tuple[int, int]  #: where training and validation end
    sizes: tuple[int, int, int]
    tol: float
    epochs: int

    def data(self):
        """Pixels of [0, 1] and labels: training, validation, test."""
        if self.name == "digits":
            digits = load_digits()
            x, label, top = digits.data, digits.target, 16.0
        else:
            with np.load(HERE / "mnist4000.npz") as file:
                x, label, top = file["images"].reshape(-1, 784), file["labels"], 255.0
        order = np.random.default_rng(0).permutation(len(label))
        x, label = x[order] / top, label[order].astype(int)
        parts = np.split(np.arange(len(x)), self.ends)
        return [(x[part], label[part]) for part in parts]

    def model(self, seed):
        """Weights of the right-hand side and of the classifier."""
        key, n = jax.random.key(seed), self.sizes[0]
        w = jax.random.normal(jax.random.fold_in(key, 1), (n, 10)) / np.sqrt(n)
        return {"ode": mlp_params(key, self.sizes), "out": (w, jnp.zeros(10))}

    def solve(self, params, x, f=mlp, span=(0.0, 1.0), **settings):
        """The solve of a batch."""
        return node.odesolve(
            f,
            x,
            span,
            params["ode"],
            rtol=self.tol,
            atol=self.tol,
            max_steps=64,
            **settings,
        )


TASKS = {
    "digits": Task("digits", (1150, 1437), (64, 64, 64), 1e-8, 40),
    "mnist": Task("mnist", (3000, 3400), (784, 100, 784), 1e-6, 8),
}
BATCH, SEEDS = 128, 5


def cross_entropy(params, y, label):
    """Mean over the batch."""
    logits = y @ params["out"][0] + params["out"][1]
    return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()


def methods(task):
    """Name, loss, coefficients."""
    steps = task.epochs * (task.ends[0] // BATCH)

    def penalised(penalty):
        """The loss with a penalty, a function of (params, sol, key)."""

        def loss(params, batch, coefficient, key):
            sol = task.solve(params, batch[0])
            value = cross_entropy(params, sol.y, batch[1])
            return value + coefficient * penalty(params, sol, key), sol

        return loss

    def steered(params, batch, coefficient, key):
        """STEER: the coefficient is b."""
        span = (0.0, 1.0 + coefficient * jax.random.uniform(key, (), minval=-1.0))
        sol = task.solve(params, batch[0], span=span)
        return cross_entropy(params, sol.y, batch[1]), sol

    def taylor(params, batch, coefficient, _):
        """TayNODE, third derivative."""
        augmented, split = node.taylor_dynamics(mlp, order=3)
        start = (batch[0], jnp.zeros(()))
        sol = task.solve(params, start, augmented, error_weight=(1.0, 0.0))
        y, penalty = split(sol.y)
        return cross_entropy(params, y, batch[1]) + coefficient * penalty, sol

    def local(sampling):
        """A local penalty of the error."""
        return penalised(
            lambda params, sol, key: node.local_penalty(
                mlp, sol, params["ode"], key, sampling=sampling
            )
        )

    def annealed(*pairs):
        """Coefficients that fall from one number to another."""
        return [node.ExponentialDecay(start, stop, steps) for start, stop in pairs]

    small = task.name == "digits"
    more = [(1, 0.1), (3, 0.3)] if small else []
    plain = penalised(lambda *_: 0.0)
    error = penalised(lambda _, sol, __: node.error_penalty(sol))
    cost = penalised(lambda _, sol, __: node.cost_penalty(sol))
    stiffness = penalised(lambda _, sol, __: node.stiffness_penalty(sol))
    return [
        ("none", plain, [0.0]),
        ("error", error, [0.1] if small else [0.1, 0.03]),
        ("local, unbiased", local("unbiased"), annealed((1, 0.4), *more)),
        ("local, biased", local("biased"), annealed((1, 0.4), *more[:1])),
        ("budget of 10 steps", error, [node.CostTarget(attempts=10)]),
        ("predicted cost", cost, [0.03]),
        ("stiffness", stiffness, [0.3]),
        ("STEER", steered, [0.5]),
        ("TayNODE", taylor, [0.01]),
    ]


def label(coefficient):
    """What a row says of its coefficient."""
    if isinstance(coefficient, node.ExponentialDecay):
        return f"{coefficient.start:g} to {coefficient.stop:g}"
    return "found" if isinstance(coefficient, node.CostTarget) else str(coefficient)


def run(task, loss, coefficient, parts, seeds):
    """Each seed: the table of its epochs, the accuracies and evaluations at the end, seconds a step."""

    @jax.jit
    def judge(params, x, label):
        sol = task.solve(params, x)
        right = jnp.argmax(sol.y @ params["out"][0] + params["out"][1], axis=1) == label
        return right.mean(), sol.nfev, sol.naccepted + sol.nrejected

    out = []
    for seed in range(seeds):

        def evaluate(params):
            accuracy, nfev, attempts = judge(params, *parts[2])
            return {"accuracy": accuracy, "test_nfev": nfev, "attempts": attempts}

        began = time.process_time()
        result = node.train(
            loss,
            task.model(seed),
            parts[0],
            optax.adam(1e-3),
            batch_size=BATCH,
            epochs=task.epochs,
            rng=seed,
            coefficient=coefficient,
            evaluate=evaluate,
        )
        seconds = time.process_time() - began
        row = {name: values.tolist() for name, values in result.table.items()}
        row["validation"] = [float(judge(result.x, *parts[1])[0])]
        out.append(row | {"seconds": seconds, "success": bool(result.success)})
    return out


def main(task, chosen, seeds):
    """Run all, or those chosen by name, and write the file after each; other rows in it stay."""
    jax.config.update("jax_enable_x64", True)
    parts, kept = task.data(), HERE / f"{task.name}_nfe.json"
    rows = json.loads(kept.read_text())["rows"] if chosen and kept.exists() else []
    for name, loss, coefficients in methods(task):
        if chosen and name not in chosen:
            continue
        for coefficient in coefficients:
            runs = run(task, loss, coefficient, parts, seeds)
            names = ("accuracy", "validation", "test_nfev", "attempts", "coefficient")
            last = {key: [one[key][-1] for one in runs] for key in names}
            place = (name, label(coefficient))
            rows = [r for r in rows if (r["penalty"], r["coefficient"]) != place]
            rows.append(
                {
                    "penalty": name,
                    "coefficient": label(coefficient),
                    "accuracy": last["accuracy"],
                    "validation": last["validation"],
                    "nfev": last["test_nfev"],
                    "attempts": last["attempts"],
                    "last_coefficient": last["coefficient"],
                    "seconds_of_training": [round(one["seconds"], 2) for one in runs],
                    "success": all(one["success"] for one in runs),
                    "nfev_by_epoch": [
                        [round(v) for v in one["test_nfev"]] for one in runs
                    ],
                    "accuracy_by_epoch": [
                        [round(v, 4) for v in one["accuracy"]] for one in runs
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
                "tolerance": task.tol,
                "epochs": task.epochs,
            }
            text = json.dumps(about | {"rows": rows}, default=float).replace(
                "}, {", "},\n{"
            )
            kept.write_text(text + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("penalty", nargs="*", help="names of penalties")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data", choices=TASKS, default="digits")
    given = parser.parse_args()
    main(TASKS[given.data], given.penalty, given.seeds)
