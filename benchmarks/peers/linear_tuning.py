"""What the tuners reach: total iterations over sequences of systems, beside the floor and the published
tuners.

The cost of each of 20 relaxation parameters on each system is tabulated once, by solving; then the tuners
are replayed on the table, with five seeds each. The floor is the sum over the systems of the least cost:
nobody gets below it. ChebCB and Tsallis-INF are those of Khodak, Chow, Balcan, Talwalkar ("Learning to
relax", ICLR 2024), in numsolve's implementation (the authors' is in MATLAB); the settings of the sequences
are theirs, too. No setting of the smooth tuner was chosen on the sequence "drifting diffusion": its settings
were fixed before that table was made.
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


def sor_table(systems: Any, rtol: float = 1e-8) -> Table:
    """Iterations of SOR."""
    rows = [
        ([linear.sor(A, b, omega=w, rtol=rtol).nit for w in ARMS], c, linear.automatic_context(A))
        for A, b, c in systems
    ]
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def cg_table(systems: Any, *, warm: bool) -> Table:
    """Iterations of SSOR-CG; with `warm` each starts from, and the sequence goes on with, the last
    solution."""
    rows, x = [], None
    while True:
        try:
            A, b, c = systems.send(x) if warm and rows else next(systems)
        except StopIteration:
            return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))  # type: ignore[return-value]
        runs = [linear.ssor_cg(A, b, x if warm else None, omega=w, rtol=1e-8) for w in ARMS]
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
    floor = mean(float(t[0].min(axis=1).sum()) for t in tables)
    fixed = mean(float(t[0].sum(axis=0).min()) for t in tables)

    # The harness calls each side twice; a replay is the same each time.
    @cache
    def smooth(which: int) -> float:
        return replay(lambda seed: linear.SmoothCB(ARMS, rng=seed), tables, which, seeds)

    @cache
    def cheb() -> float:
        return replay(lambda seed: linear.ChebCB(ARMS, context_range=span, rng=seed), tables, 1, seeds)

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


def cut(tables: list[Table], rounds: int) -> list[Table]:
    """The first systems."""
    return [(t[0][:rounds], t[1][:rounds], t[2][:rounds]) for t in tables]


def cases(quick: bool) -> Iterator[Case]:
    """The published sequences, and one on which nothing was chosen."""
    seeds, T = (2, 300) if quick else (5, 5000)
    for variance in ("high", "low"):
        count = 1 if quick else 3
        tables = [sor_table(problems.shifted_laplacians(T, variance, rng=s)) for s in range(count)]
        for rounds in {T, min(T, 1000)}:
            yield tuning_case(f"SOR, {variance}-variance shifts", cut(tables, rounds), (-0.15, 0.65), seeds)
    for nx, steps in ((25, T),) if quick else ((25, T), (50, T), (100, T), (200, 1000)):
        tables = [cg_table(problems.heat_equation(nx, steps), warm=True)]
        span = tables[0][1].min(), tables[0][1].max()
        for rounds in {steps, min(steps, 1000)}:
            yield tuning_case(f"SSOR-CG, heat equation {nx} x {nx}", cut(tables, rounds), span, seeds)
    count = 1 if quick else 5
    tables = [cg_table(problems.drifting_diffusion(32, T, rng=s), warm=False) for s in range(count)]
    span = min(t[1].min() for t in tables), max(t[1].max() for t in tables)
    for rounds in {T, min(T, 1000)}:
        note = "nothing was tuned here"
        yield tuning_case("SSOR-CG, drifting diffusion", cut(tables, rounds), span, seeds, note)
    tables = [
        sor_table(problems.drifting_diffusion(16, T, rng=s), rtol=1e-6) for s in range(1 if quick else 2)
    ]
    for rounds in {T, min(T, 1000)}:
        note = "nothing was tuned here; the context does not tell the anisotropy"
        yield tuning_case("SOR, drifting diffusion", cut(tables, rounds), span, seeds, note)


if __name__ == "__main__":
    main(cases)
