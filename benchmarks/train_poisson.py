"""Make the weights that come with `numsolve.linear.poisson`.

    python benchmarks/train_poisson.py dcdm [--out FILE] [--start FILE] [--steps 400 320]
    python benchmarks/train_poisson.py npsd [--out FILE] [--start FILE] [--steps 400 800]

Two stages, on 32 and then on 64 cells a side, each with so many steps of Adam; `--start` goes on from a file.
The best weights so far are written at each tenth step, so that a run that is ended loses little. Without
`--out` the file goes to the place of the shipped weights. It prints processor seconds, losses on what is
held out, and at the end the iterations to 1e-4 beside those of conjugate gradients.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from numsolve import linear

PLACE = Path(linear.__file__).parent / "poisson" / "weights"
SIZES = 32, 64
#: Samples of Ritz vectors, and how many of these, for each size.
RITZ = {32: 600, 64: 1000}
SAMPLES = 4000
#: Steps by default, and first step sizes of the stages.
STEPS = {"dcdm": (400, 320), "npsd": (400, 800)}
RATES = {"dcdm": (1e-3, 2e-3), "npsd": (5e-3, 3e-3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=STEPS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--steps", type=int, nargs=2)
    given = parser.parse_args()
    kind = linear.DCDMNet if given.kind == "dcdm" else linear.NPSDNet
    out = given.out or PLACE / f"{given.kind}_2d.npz"
    net = kind.from_file(given.start) if given.start else None
    for n, steps, rate in zip(SIZES, given.steps or STEPS[given.kind], RATES[given.kind], strict=True):
        if steps:
            net = train(given.kind, net, n, steps, rate, out)
    evaluate(given.kind, net)


def train(kind, net, n, steps, rate, out):
    """One stage."""
    began, best = time.process_time(), [np.inf]

    def watch(intermediate_result):
        now = intermediate_result
        if now.nit % 50 == 0:
            spent = time.process_time() - began
            print(f"{n}^2, step {now.nit}: loss {now.residual:.4f}, {spent:.0f} s", flush=True)
        if now.residual < best[0]:
            best[0] = now.residual
            keep(now.x, out)

    settings = {"lr": rate, "maxiter": steps, "time_limit": None, "callback": watch, "rng": 0, "net": net}
    if kind == "dcdm":
        shell = net or linear.DCDMNet(2)

        def keep(params, file):
            shell.with_params(params).save(file)

        flags = linear.problems.random_obstacles((n, n), 0)
        net = linear.train_dcdm(flags, n_ritz=RITZ[n], n_samples=SAMPLES, **settings)
    else:
        shell = linear.NPSDNet(2) if net is None else net

        def keep(params, file):
            shell.with_params(params).save(file)

        grids = [linear.problems.random_obstacles((n, n), k, rng=k) for k in range(8)]
        net = linear.train_npsd(grids=grids, n_ritz=RITZ[n], n_samples=SAMPLES // 20, **settings)
    net.save(out)
    print(f"{n}^2: best loss {min(net.history.residual):.4f}, {time.process_time() - began:.0f} s")
    return net


def evaluate(kind, net):
    """Iterations to 1e-4, white noise."""
    for n_obstacles in (0, 2, 4, 8):
        flags = linear.problems.random_obstacles((64, 64), n_obstacles, rng=100)
        b = np.random.default_rng(0).standard_normal(flags.shape)
        learned = linear.solve_poisson(flags, b, method=kind, weights=net, rtol=1e-4, maxiter=400).nit
        plain = linear.solve_poisson(flags, b, method="cg", rtol=1e-4).nit
        print(f"64^2, {n_obstacles} obstacles: {learned} iterations, conjugate gradients {plain}")


if __name__ == "__main__":
    main()
