"""What the tuners reach: total iterations over sequences of systems, beside the floor and the published
tuners.

The cost of each of 20 relaxation parameters on each system is tabulated once, by solving; then the tuners
are replayed on the table, with five seeds each. The floor is the sum over the systems of the least cost:
nobody gets below it. ChebCB and Tsallis-INF are those of Khodak, Chow, Balcan, Talwalkar ("Learning to
relax", ICLR 2024), in numsolve's implementation (the authors' is in MATLAB); the settings of the sequences
are theirs, too. The settings of the smooth tuner were chosen on those and on the two sequences "drifting
diffusion"; they were fixed before the tables of "heated mesh" and "Newton's steps" were made, and nothing was
changed after that.

``TunedSolver("auto")`` has a script of its own, `linear_sequences`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from statistics import mean
from typing import Any

import numpy as np

from _harness import Case, Peer, main
from numsolve import linear
from numsolve.linear import problems

ARMS = np.linspace(1.0, 1.95, 20)
Table = tuple[Any, Any, Any]  # costs (T, 20), the given contexts, the automatic ones


def tabulate(solve: Callable[..., Any], systems: Any, *, warm: bool, **settings: Any) -> Table:
    """Iterations of each arm on each system; with `warm` each solve starts from, and the sequence goes on
    with, the last solution."""
    rows, x = [], None
    while True:
        try:
            A, b, c = systems.send(x) if warm and rows else next(systems)
        except StopIteration:
            return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))  # type: ignore[return-value]
        runs = [solve(A, b, x if warm else None, omega=w, **settings) for w in ARMS]
        rows.append(([run.nit for run in runs], c, linear.automatic_context(A)))
        x = min(runs, key=lambda run: run.nit).x


def replay(make: Callable[[int], Any], tables: list[Table], which: int, seeds: int) -> float:
    """Mean of the total costs that a tuner pays."""
    totals = []
    for seed in range(seeds):
        table = tables[seed % len(tables)]
        tuner, total = make(seed), 0.0
        for costs, context in zip(table[0], table[which], strict=True):
            tuner.suggest(context)
            total += costs[tuner.index]
            tuner.observe(costs[tuner.index])
        totals.append(total)
    return mean(totals)


def tuning_case(
    name: str, tables: list[Table], span: tuple[float, float], seeds: int, note: str = ""
) -> Case:
    """The smooth tuner beside the others, on the first 1000 systems or on all."""
    played = [tables[seed % len(tables)][0] for seed in range(seeds)]
    floor = mean(float(costs.min(axis=1).sum()) for costs in played)
    fixed = mean(float(costs.sum(axis=0).min()) for costs in played)

    # The harness calls each side twice; a replay is the same each time.
    @cache
    def smooth(which: int) -> float:
        return replay(lambda seed: linear.SmoothCB(ARMS, rng=seed), tables, which, seeds)

    @cache
    def cheb() -> float:
        return replay(lambda seed: linear.ChebCB(ARMS, context_range=span, rng=seed), tables, 1, seeds)

    @cache
    def bins() -> float:
        nbins = 5 if name.startswith("SOR") else 6
        return replay(
            lambda seed: linear.TsallisINFCB(ARMS, context_range=span, nbins=nbins, rng=seed),
            tables,
            1,
            seeds,
        )

    @cache
    def tsallis() -> float:
        return replay(lambda seed: linear.TsallisINF(ARMS, rng=seed), tables, 1, seeds)

    return Case(
        f"{name}, T = {len(tables[0][0])}",
        partial(smooth, 2),
        [
            Peer("numsolve", lambda: floor, name="numsolve the floor"),
            Peer("numsolve", partial(smooth, 1), name="numsolve SmoothCB, given context"),
            Peer("numsolve", cheb, name="numsolve ChebCB"),
            Peer("numsolve", bins, name="numsolve TsallisINFCB"),
            Peer("numsolve", tsallis, name="numsolve TsallisINF"),
            Peer("numsolve", lambda: fixed, name="numsolve the best fixed parameter"),
        ],
        metric="total iterations",
        unit="its",
        value=float,
        repeats=1,
        first_call=False,
        note=f"SmoothCB, automatic context; mean of {seeds} seeds" + (f"; {note}" if note else ""),
    )


def turned_case(name: str, tables: list[Table], seeds: int) -> Case:
    """What is paid after the arms are turned round in mid-sequence, with and without forgetting."""
    half = len(tables[0][0]) // 2
    turned = [(np.vstack([t[0][:half], t[0][half:, ::-1]]), t[1], t[2]) for t in tables]

    @cache
    def after(kind: str, discount: float) -> float:
        def make(seed: int) -> Any:
            return getattr(linear, kind)(ARMS, discount=discount, rng=seed)

        both = replay(make, turned, 2, seeds)
        return both - replay(make, [(t[0][:half], t[1][:half], t[2][:half]) for t in turned], 2, seeds)

    return Case(
        f"{name}, the arms turned round after half of T = {2 * half}",
        partial(after, "SmoothCB", 0.9999),
        [
            Peer("numsolve", partial(after, "SmoothCB", 1.0), name="numsolve SmoothCB, discount=1"),
            Peer("numsolve", partial(after, "TsallisINF", 0.999), name="numsolve TsallisINF, discount=0.999"),
            Peer("numsolve", partial(after, "TsallisINF", 1.0), name="numsolve TsallisINF, discount=1"),
            Peer(
                "numsolve",
                lambda: mean(
                    float(turned[seed % len(turned)][0][half:].min(axis=1).sum()) for seed in range(seeds)
                ),
                name="numsolve the floor",
            ),
        ],
        metric="iterations after the turn",
        unit="its",
        value=float,
        repeats=1,
        first_call=False,
        note=f"SmoothCB, discount=0.9999, automatic context; mean of {seeds} seeds",
    )


def cut(tables: list[Table], rounds: int) -> list[Table]:
    """The first systems."""
    return [(t[0][:rounds], t[1][:rounds], t[2][:rounds]) for t in tables]


def cases(quick: bool) -> Iterator[Case]:
    """The published sequences, two that the tuner was developed on, and two that it has never seen."""
    seeds, T, count = (2, 300, 1) if quick else (5, 5000, 2)

    def both(name: str, tables: list[Table], note: str = "", span: Any = None) -> Iterator[Case]:
        if span is None:
            span = min(t[1].min() for t in tables), max(t[1].max() for t in tables)
        steps = len(tables[0][0])
        for rounds in sorted({steps, min(steps, 1000)}, reverse=True):
            yield tuning_case(name, cut(tables, rounds), span, seeds, note)

    sor, cg = (partial(tabulate, solve, rtol=1e-8) for solve in (linear.sor, linear.ssor_cg))
    for variance in ("high", "low"):
        tables = [sor(problems.shifted_laplacians(T, variance, rng=s), warm=False) for s in range(count)]
        yield from both(f"SOR, {variance}-variance shifts", tables, span=(-0.15, 0.65))
        if variance == "high":
            yield turned_case("SOR, high-variance shifts", tables, seeds)
    for nx, steps in ((25, T),) if quick else ((25, T), (50, T), (100, T), (200, 1000)):
        tables = [cg(problems.heat_equation(nx, steps), warm=True)]
        yield from both(f"SSOR-CG, heat equation {nx} x {nx}", tables)
    note = "the tuner was developed on this"
    tables = [cg(problems.drifting_diffusion(32, T, rng=s), warm=False) for s in range(count)]
    yield from both("SSOR-CG, drifting diffusion", tables, note)
    tables = [sor(problems.drifting_diffusion(16, T, rng=s), warm=False, rtol=1e-6) for s in range(count)]
    yield from both("SOR, drifting diffusion", tables, note)
    note = "nothing was chosen on this"
    tables = [sor(problems.heated_mesh(400, T, rng=s), warm=True, rtol=1e-6) for s in range(count)]
    yield from both("SOR, heated mesh", tables, note)
    tables = [cg(problems.newton_steps(400, T, rng=s), warm=False) for s in range(count)]
    yield from both("SSOR-CG, Newton's steps", tables, note)


if __name__ == "__main__":
    main(cases)
