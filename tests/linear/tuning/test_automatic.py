"""``TunedSolver("auto")``: what it chooses, that its answers are right, and what it says of itself."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import solveh_banded

from numsolve import ConvergenceWarning, Status, linear
from numsolve._core.limits import Limits
from numsolve.linear._system import System
from numsolve.linear.problems import laplacian
from numsolve.linear.tuning import _arms, _block, _complete
from numsolve.linear.tuning._life import Life
from numsolve.linear.tuning._look import Look, Looker
from numsolve.linear.tuning._neighbours import Neighbours

RTOL = 1e-8
GRID = laplacian(20)
WIND = sp.csr_array(GRID + 2.0 * sp.diags_array([-1.0, 1.0], offsets=[-20, 0], shape=(400, 400)))
B = np.random.default_rng(0).standard_normal((400, 6))
EACH = [
    (GRID, [("cg",)], "CG, scaled"),
    (GRID, [("ssor_cg", 1.5)], "SSOR-CG, omega = 1.5"),
    (GRID, [("ict_cg", 1e-2, 2)], "ICT-CG"),
    (GRID, [("block_cg", 1e-2, 2)], "block CG"),
    (GRID, [("direct", 2)], "SuperLU"),
    (WIND, [("bicgstab", 0.0, 2)], "BiCGSTAB"),
    (WIND, [("direct", 2)], "SuperLU"),
]
IDS = [f"{arms[0][0]}-{i}" for i, (_, arms, _) in enumerate(EACH)]


@pytest.fixture
def superlu(monkeypatch):
    """The grids of these tests are so small that their bands would be taken."""
    monkeypatch.setattr("numsolve.linear.tuning._methods.banded_first", lambda *_: False)
    monkeypatch.setattr("numsolve.linear.tuning._neighbours.is_banded", lambda *_: False)


def residuals(A, b, x):
    return np.linalg.norm(b - A @ x, axis=0) / np.linalg.norm(b, axis=0)


# -- the answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("A", "arms", "how"), EACH, ids=IDS)
@pytest.mark.parametrize("b", [B[:, 0], B[:, :1], B], ids=["n", "n1", "nk"])
@pytest.mark.usefixtures("superlu")
def test_each_arm_solves_matrices_that_drift(A, arms, how, b, monkeypatch):
    # By the clock factors may be renewed before their time: here all takes equally long.
    monkeypatch.setattr("numsolve.linear.tuning._methods.seconds_now", count().__next__)
    solver, methods = linear.TunedSolver("auto", arms=arms, rtol=RTOL), []
    for t in range(5):
        matrix = sp.csr_array(A + 0.1 * t * sp.eye_array(400))
        r = solver(matrix, (1 + t) * b)
        assert np.all(r.success)
        assert r.x.shape == b.shape
        assert np.max(residuals(matrix, (1 + t) * b, r.x)) <= 1.01 * RTOL
        np.testing.assert_allclose(r.residual, np.linalg.norm((1 + t) * b - matrix @ r.x, axis=0), atol=1e-11)
        assert np.shape(r.nit) == np.shape(r.status) == ((6,) if b.shape[1:] == (6,) else ())
        if b.ndim == 2 or how != "block CG":
            assert how in r.method
        assert r.reason
        methods.append(r.method)
    if arms[0][-1] == 2:  # a refresh interval: the last factors are fresh, those before were one late
        assert "fresh" in methods[-1]
        assert all("fresh" in first or "fresh" in second for first, second in pairwise(methods))


@pytest.mark.usefixtures("superlu")
def test_late_factors_that_have_become_bad_are_made_anew():
    rng = np.random.default_rng(0)
    for arm in (("ict_cg", 1e-3, 64), ("direct", 64)):
        solver = linear.TunedSolver("auto", arms=[arm], rtol=RTOL)
        for _ in range(4):
            scale = sp.diags_array(10.0 ** rng.uniform(-3, 3, 400))
            A = sp.csr_array(scale @ GRID @ scale)
            r = solver(A, scale @ B[:, 0])
            assert r.success
            assert "fresh" in r.method


@pytest.mark.usefixtures("superlu")
def test_one_matrix_is_factorised_once(monkeypatch):
    made = []
    monkeypatch.setattr(
        "numsolve.linear.tuning._methods.complete",
        lambda *a, **k: made.append(1) or _complete.complete(*a, **k),
    )
    solver = linear.TunedSolver("auto", arms=[("direct", 1)], rtol=1e-10)
    for t in range(6):
        A = GRID.copy()  # equal, but not the same object
        r = solver(A, B[:, t])
        assert r.success
        assert r.nit == 0
    assert len(made) == 1
    A.data[:] *= 1.5  # the caller's own array: the change is seen
    assert solver(A, B[:, 0]).success
    assert len(made) == 2


def test_banded_systems_go_to_lapack():
    for below, positive in ((1, True), (3, True), (1, False), (2, False)):
        rng, n = np.random.default_rng(below), 150
        parts = [rng.standard_normal(n - abs(k)) for k in range(-below, below + 1)]
        A = sp.diags_array(parts, offsets=range(-below, below + 1))
        if positive:
            A = A + A.T + 20 * sp.eye_array(n)
        A, b = sp.csr_array(A), rng.standard_normal(n)
        r = linear.TunedSolver("auto", rtol=RTOL)(A, b)
        assert r.success
        assert "LAPACK" in r.method
        assert "band" in r.reason
        np.testing.assert_allclose(r.x, np.linalg.solve(A.toarray(), b), rtol=1e-6, atol=1e-8)


def test_tridiagonal_systems_have_the_answers_of_scipy():
    solver, b = linear.TunedSolver("auto", rtol=1e-10), np.arange(1.0, 201.0)
    for shift in (0.1, 0.2, 0.3):
        A = laplacian(200, dim=1, shift=shift)
        bands = np.stack([np.r_[0.0, A.diagonal(1)], A.diagonal()])
        np.testing.assert_allclose(solver(A, b).x, solveh_banded(bands, b), rtol=1e-9)
    wide = laplacian(15)[:200, :200]  # as many unknowns, but another band: the bands are looked at anew
    r = solver(sp.csr_array(wide), b)
    assert residuals(wide, b, r.x) <= 1.01e-10


def test_a_matrix_that_was_changed_in_place_is_another_one():
    looker, A = Looker(), GRID.copy()
    first = looker.at(A, check_finite=True).number
    assert looker.at(A, check_finite=True).number == first
    for place in (0, 500, -1):
        A.data[place] += 1e-12
        assert looker.at(A.copy(), check_finite=True).number == first + 1
        first += 1
        assert looker.at(A, check_finite=True).number == first
    hole = sp.csr_array(sp.block_diag([GRID, sp.csr_array((2, 2)), GRID]))
    look = looker.at(hole, check_finite=True)
    assert (look.below, look.above) == (20, 20)
    assert looker.at(sp.csr_array(sp.triu(GRID)), check_finite=True)[4:6] == (0, 20)


def test_one_pass_solves_only_what_is_tridiagonal_and_positive():
    rng, n = np.random.default_rng(0), 200
    first = laplacian(n, dim=1, shift=0.1)
    b = rng.standard_normal(n)

    def changed(i, j, value):
        A = first.tolil()
        A[i, j] = value
        return sp.csr_array(A)

    others = {
        "nonsymmetric": changed(70, 71, -0.5),
        "nonsymmetric, first entry": changed(0, 1, 0.0),
        "indefinite": changed(9, 9, -3.0),
        "a corner": changed(0, n - 1, 0.5),
        "two corners": sp.csr_array(changed(0, n - 1, 0.5) + changed(n - 1, 0, 0.5)),
        "another": sp.csr_array(2.0 * first),
        "no row left": sp.csr_array(sp.eye_array(n) * 3.0),
    }
    for name, A in others.items():
        solver = linear.TunedSolver("auto", rtol=1e-10)
        assert solver(first, b).method == "LAPACK, by its bands"
        assert ("three diagonals" in solver(first, b).method) is True
        r = solver(A, b)
        assert r.success, name
        assert ("three diagonals" in r.method) is (name in {"another", "no row left"}), name
        assert residuals(A, b, r.x) <= 1.01e-10, name
        np.testing.assert_allclose(r.x, np.linalg.solve(A.toarray(), b), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(r.residual, np.linalg.norm(b - A @ r.x), rtol=1e-6, atol=1e-13)
    assert len(solver.history) == 3
    assert solver.history.contexts[1] == pytest.approx(solver.history.contexts[0])
    for A, c in ((changed(5, 5, np.nan), b), (first, np.where(b == b[7], np.inf, b))):
        with pytest.raises(ValueError, match="finite|NaN|inf"):
            solver(A, c)
    hopeless = first.multiply(np.r_[0.0, np.ones(n - 1)][:, None]).tocsr()  # a row of zeros
    with pytest.warns(ConvergenceWarning):
        assert not solver(sp.csr_array(hopeless), b).success


@pytest.mark.parametrize("k", [None, 3])
def test_singular_and_inconsistent_systems_are_never_solved(k):
    rng = np.random.default_rng(0)
    ring = sp.csr_array(sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(40, 40)))
    ring = ring.tolil()
    ring[0, 39] = ring[39, 0] = -1.0  # its rows sum to zero
    holes = sp.csr_array(np.triu(rng.standard_normal((40, 40)), 1))
    for A in (sp.csr_array(ring), holes, sp.csr_array((40, 40))):
        b = np.ones(40 if k is None else (40, k)) + 0.1 * rng.standard_normal(40 if k is None else (40, k))
        with pytest.warns(ConvergenceWarning):
            r = linear.TunedSolver("auto", rtol=RTOL)(A, b)
        assert not np.any(r.success)


def test_indefinite_systems_are_solved_by_another_method():
    A = sp.csr_array(laplacian(20) - 3.1 * sp.eye_array(400))
    r = linear.TunedSolver("auto", rtol=RTOL)(A, B[:, 0])
    assert r.success
    assert residuals(A, B[:, 0], r.x) <= 1.01 * RTOL


@pytest.mark.usefixtures("superlu")
def test_factors_at_hand_serve_matrices_of_their_kind_only():
    tuner, kinds = Neighbours(_arms.ARMS), (GRID, sp.csr_array(GRID - 9.0 * sp.eye_array(400)), WIND)
    looks = [Looker().at(A, check_finite=True) for A in kinds]
    ict, wind = _arms.ARMS.index(("ict_cg", 1e-3, 64)), _arms.ARMS.index(("bicgstab", 1e-3, 64))
    for _ in range(30):  # both seem to be nearly free
        for look in looks:
            arm = tuner.suggest(_arms.Known(look, 1, RTOL, 0.0, {ict: 1e-9, wind: 1e-9}))
            assert (arm[0] in {"cg", "ssor_cg", "ict_cg"}) <= look.positive
            assert (arm[0] == "bicgstab") <= (not look.positive)
            tuner.account(1e-3)
            tuner.observe(1e-3)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_units_do_not_matter(scale):
    for A in (GRID, WIND, laplacian(60, dim=1)):
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        r = linear.TunedSolver("auto", rtol=RTOL)(scale * A, b)
        assert r.success
        np.testing.assert_allclose(A @ (r.x * scale), b, atol=1e-6)


def test_single_precision_stays_single():
    for A in (GRID, laplacian(60, dim=1)):
        b = np.ones(A.shape[0], dtype=np.float32)
        r = linear.TunedSolver("auto", rtol=1e-4)(A.astype(np.float32), b)
        assert r.success
        assert r.x.dtype == np.float32


# -- the block method -------------------------------------------------------------------------------


def test_the_block_method_takes_fewer_steps_than_one_by_one():
    A, b = laplacian(40), np.random.default_rng(0).standard_normal((1600, 8))
    block = linear.TunedSolver("auto", arms=[("block_cg", 1e-2, 1)], rtol=RTOL)(A, b)
    alone = linear.ict_cg(A, b, droptol=1e-2, fill=4, rtol=RTOL)
    assert np.all(block.success)
    assert block.nit.max() < 0.8 * alone.nit.max()


def test_dependent_right_hand_sides_do_no_harm():
    b = np.stack([B[:, 0], B[:, 0], 2 * B[:, 0], np.zeros(400), B[:, 1]], axis=1)
    r = linear.TunedSolver("auto", arms=[("block_cg", 1e-2, 1)], rtol=RTOL)(GRID, b)
    assert np.all(r.success)
    assert not r.x[:, 3].any()
    np.testing.assert_allclose(r.x[:, 2], 2 * r.x[:, 0], rtol=1e-6, atol=1e-7)


def test_orthonormal_directions_span_the_columns():
    Z = np.random.default_rng(0).standard_normal((50, 4))
    Z = np.hstack([1e8 * Z, Z[:, :2] @ np.ones((2, 1))])
    Q = _block._orthonormal(Z)
    assert Q.shape == (50, 4)
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(Q @ (Q.T @ Z), Z, rtol=1e-6)


@pytest.mark.parametrize("positive", [True, False])
def test_complete_factors_solve_for_all_right_hand_sides(positive):
    A = GRID if positive else WIND
    np.testing.assert_allclose(A @ _complete.complete(A, positive=positive)(B), B, atol=1e-11)
    assert _complete.complete(sp.csr_array((3, 3)), positive=False) is None


# -- what is looked at ------------------------------------------------------------------------------


def test_a_look_tells_what_dense_linear_algebra_tells():
    rng = np.random.default_rng(0)
    for A in (GRID, WIND, sp.csr_array(-GRID), sp.random_array((30, 30), density=0.2, rng=rng, format="csr")):
        look, D = Looker().at(A, check_finite=True), A.toarray()
        assert look.symmetric == np.array_equal(D, D.T)
        assert look.positive == (look.symmetric and bool((np.diag(D) > 0).all()))
        i, j = np.nonzero(D)
        assert (look.below, look.above) == (max((i - j).max(), 0), max((j - i).max(), 0))
        assert look.context == pytest.approx(linear.automatic_context(A))
    assert Looker().at(laplacian(30, dim=1), check_finite=True).width == 1
    assert Looker().at(laplacian(12), check_finite=True).width == 12


def test_equal_matrices_are_known_again():
    looker = Looker()
    numbers = [looker.at(A, check_finite=True).number for A in (GRID, GRID.copy(), 2 * GRID, GRID, GRID)]
    assert numbers == [1, 1, 2, 3, 3]
    for _ in range(30):
        look = looker.at(GRID, check_finite=True)
    assert look.systems > 10


# -- the tuner --------------------------------------------------------------------------------------


def known(A, k=1, context=0.0):
    return _arms.Known(Looker().at(A, check_finite=True), k, RTOL, context, {})


def play(costs, rounds, rng):
    """The tuner on made-up costs of the arms, with a tenth of noise and a level that drifts."""
    tuner, system, paid, level = Neighbours(_arms.ARMS), known(laplacian(40)), 0.0, 0.0
    for _ in range(rounds):
        tuner.suggest(system)
        level = 0.95 * level + 0.1 * rng.standard_normal()
        cost = costs[tuner.index] * np.exp(0.1 * rng.standard_normal())
        paid += costs[tuner.index]
        tuner.account(cost * np.exp(level))
        tuner.observe(cost * np.exp(level))
    return paid / rounds


@pytest.mark.parametrize("best", [2, 7, 9, 18, 0], ids=["1.3", "1.95", "ICT", "direct", "CG"])
def test_the_tuner_finds_the_best_arm_of_a_valley(best):
    """What an arm costs grows by a quarter with each step from the best one of its family."""
    rng, near = np.random.default_rng(0), _arms.neighbours(_arms.ARMS)
    guess = np.exp(_arms.expected(_arms.ARMS, known(laplacian(40))))
    costs = np.full(len(_arms.ARMS), np.inf)
    costs[np.isfinite(guess)] = 3e-3
    steps, costs[best] = np.eye(len(costs), dtype=bool)[best], 1e-3
    for distance in range(1, 8):
        new = near[steps].any(axis=0) & ~steps
        costs[new], steps = 1e-3 * 1.25**distance, steps | new
    assert play(costs, 200, rng) < 1.2e-3


def test_impossible_arms_are_not_played():
    for A, k, none in (
        (GRID, 1, {"block_cg", "bicgstab"}),
        (WIND, 1, {"ssor_cg", "cg", "ict_cg"}),
        (GRID, 4, {"ict_cg"}),
    ):
        tuner = Neighbours(_arms.ARMS)
        for t in range(60):
            assert tuner.suggest(known(A, k))[0] not in none
            tuner.observe(1e-3 * (1 + t % 3))


def test_fewer_trials_where_the_model_is_sure():
    """Complete factors of a large grid in three dimensions are not tried where relaxation takes a moment."""
    tuner, system = Neighbours(_arms.ARMS), known(laplacian(30, dim=3))
    for _ in range(100):
        assert tuner.suggest(system)[0] != "direct"
        tuner.observe(0.02)


# -- how long factors are kept ----------------------------------------------------------------------


def live(setup, seconds, looks):
    """The lives of factors of which a solve with an age of k costs seconds(k): ages at which they end."""
    life, ends = Life(), []
    for number in range(looks):
        look = Look(*[None] * 9, number, 1.0)
        if not life.serves(look, 10**6):
            ends.append(number - life.number)
            life.renew("factors", number, setup)
        life.note(number, seconds(number - life.number), 5, solved=True)
    return ends[1:]


@pytest.mark.parametrize(("setup", "slope"), [(50.0, 1.0), (200.0, 1.0), (18.0, 4.0)])
def test_factors_live_as_long_as_the_average_falls(setup, slope):
    """With costs that grow by `slope`, the average is least at about sqrt(2 setup / slope) uses."""
    ends = live(setup, lambda age: 1.0 + slope * age, 200)
    averages = [(setup + sum(1.0 + slope * j for j in range(k))) / k for k in range(1, 100)]
    best = 1 + int(np.argmin(averages))
    # One solve beyond the least average shows that it is over.
    assert all(best <= end <= best + 1 for end in ends)


def test_complete_factors_serve_late_only_where_a_solve_costs_little_beside_them():
    """Fresh, they solve at once; late, each right-hand side takes several steps."""
    for setup, late in ((100.0, True), (5.0, False)):
        life = Life()
        life.renew("factors", 1, setup)
        life.note(1, 1.0, 0, solved=True)
        assert life.serves(Look(*[None] * 9, 2, 1.0), 10**6) is late


def test_neighbours_are_in_the_order_of_their_fill():
    arms = [("bicgstab", drop, 1) for drop in (1e-3, 0.0, 1e-4, 1e-2)]
    near = _arms.neighbours(arms)
    assert near.sum() == 6  # a path of four
    order = sorted(range(4), key=lambda i: _arms.fill_of(*arms[i][:2]) or 0)
    assert all(near[i, j] for i, j in pairwise(order))


def test_late_factors_of_no_use_are_tried_more_and_more_seldom():
    ends = live(10.0, lambda age: 1.0 if age == 0 else 100.0, 500)
    late = np.flatnonzero(np.array(ends) == 2)
    assert set(ends) == {1, 2}
    assert late.size <= 10
    assert (np.diff(late)[:4] >= 8).all()
    assert (np.diff(np.diff(late)[:3]) > 0).all()


def test_the_same_system_again_teaches_nothing():
    solver = linear.TunedSolver("auto", rtol=RTOL)
    first = solver(GRID, B[:, 0])
    before = len(solver.history)
    again = solver(GRID.copy(), B[:, 0])
    assert first.success
    assert again.success
    assert again.method == "the start"
    assert again.nit == 0
    assert again.x is not first.x
    assert len(solver.history) == before


@pytest.mark.usefixtures("superlu")
def test_a_system_that_is_solved_already_is_no_use_for_factors():
    """Where each system comes three times, its factors serve once: one table, as where it comes once."""
    solver = linear.TunedSolver("auto", rtol=RTOL)
    for t in range(12):
        A = sp.csr_array(GRID + (0.1 + 0.01 * (t // 3)) * sp.eye_array(400))
        assert (solver(A, B[:, t // 3]).method == "the start") == (t % 3 > 0)
    assert [key[-2] for key in solver.tuner._tables] == [0]
    looker = Looker()
    for t in range(12):
        look = looker.at(GRID * (1.0 + t // 3), check_finite=True)
    assert look.systems > 2


def test_a_leader_that_disappoints_is_not_played_again():
    """The first system may be cold; but where it took far more than another method should, that is next."""
    system = known(laplacian(40))
    for factor, again in ((2.0, True), (100.0, False)):
        tuner = Neighbours(_arms.ARMS)
        tuner.suggest(system)
        first = tuner.index
        tuner.observe(factor * np.exp(_arms.expected(_arms.ARMS, system)[first]))
        tuner.suggest(system)
        assert (tuner.index == first) == again
        assert again or tuner.arms[tuner.index][0] != tuner.arms[first][0]


@pytest.mark.parametrize(("paid", "cost"), [(0.9, None), (1.2, 1.8), (2.0, 3.0)])
def test_a_trial_that_is_cut_off_has_lost_if_it_took_longer_than_the_leader(paid, cost, monkeypatch):
    """Seconds on the wall cut it off; those of the processor say whether it lost (here in milliseconds)."""
    solver = linear.TunedSolver("auto", rtol=RTOL)
    automatic, system = solver._automatic, System.make(GRID, B[:, 0], None, check_finite=False)
    tuner = automatic.tuner
    tuner.suggest(known(GRID))
    tuner.budget = 1.5e-3  # the leader takes 1 ms
    good = linear.cg(GRID, B[:, 0], rtol=RTOL)
    runs = iter([(replace(good, status=Status.TIME_LIMIT), 1e-3 * paid, 1e-3 * paid), (good, 1e-3, 1e-3)])
    monkeypatch.setattr(automatic._methods, "solve", lambda *_, **__: next(runs))
    found = automatic._solve(tuner.arms[tuner.index], known(GRID).look, system, Limits())
    assert found[0].success
    assert found[1] == (None if cost is None else pytest.approx(1e-3 * cost))
    assert found[2] == pytest.approx(1e-3 * (paid + 1))


def test_trials_cost_a_bounded_share():
    """However bad all arms but the first are, what trials cost beyond it stays within the budget."""
    tuner, system = Neighbours(_arms.ARMS), known(laplacian(40))
    best, paid, rounds = None, 0.0, 400
    for _ in range(rounds):
        tuner.suggest(system)
        best = tuner.index if best is None else best
        cost = 1e-3 if tuner.index == best else 4e-3
        paid += cost
        tuner.account(cost)
        tuner.observe(cost)
    assert paid < 1e-3 * (rounds * 1.04 + 6 + 4)


# -- how it behaves ---------------------------------------------------------------------------------


def test_it_goes_on_where_it_was():
    first = linear.TunedSolver("auto", rtol=RTOL, rng=0)
    for t in range(20):
        first(sp.csr_array(GRID + t * 1e-3 * sp.eye_array(400)), B[:, 0])
    for twin in (
        pickle.loads(pickle.dumps(first)),
        copy.deepcopy(first),
        linear.TunedSolver("auto", rtol=RTOL).load_state_dict(first.state_dict()),
    ):
        assert twin.history.costs == first.history.costs
        assert twin.tuner.rounds == first.tuner.rounds
        assert twin(GRID, B[:, 1]).success
        assert len(twin.history) == len(first.history) + 1


def test_limits_are_those_of_the_caller():
    solver = linear.TunedSolver("auto", arms=[("ssor_cg", 1.0)], rtol=1e-14, maxiter=3)
    with pytest.warns(ConvergenceWarning):
        r = solver(GRID, B[:, 0])
    assert r.status is Status.MAXITER
    assert r.nit == 3
    seen = []
    solver = linear.TunedSolver("auto", rtol=1e-12, callback=lambda x: seen.append(x) or len(seen) > 2)
    r = solver(laplacian(60), np.ones(3600))
    assert r.status is Status.STOPPED or r.nit == 0
    assert len(solver.history) == (r.status is not Status.STOPPED)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        linear.TunedSolver("auto", arms=[("cg",)], time_limit=0.0)(GRID, B[:, 0])


NAN = B[:, 0] * np.nan
BAD = {
    "tuner": ({"tuner": linear.TsallisINF([1.0])}, (), ValueError, "tuner of its own"),
    "cost": ({"cost": "iterations"}, (), ValueError, "counts seconds"),
    "stop": ({"stop": "r0"}, (), TypeError, "'stop'"),
    "arms": ({"arms": [1.5]}, (), ValueError, "arms of 'auto' are"),
    "no arms": ({"arms": []}, (), ValueError, "arms is empty"),
    "omega": ({"arms": [("ssor_cg", 2.0)]}, (), ValueError, "omega"),
    "nan in A": ({}, (GRID * np.nan, B[:, 0]), ValueError, "A must hold finite"),
    "nan in b": ({}, (GRID, NAN), ValueError, "b must hold finite"),
    "inf in b": ({}, (laplacian(9, dim=1), np.full(9, np.inf)), ValueError, "b must hold finite"),
    "nan in x0": ({}, (GRID, B[:, 0], NAN), ValueError, "x0 must hold"),
    "shape": ({}, (GRID, B[:5, 0]), ValueError, "b must have as many rows"),
    "negative rtol": ({"rtol": -1.0}, (GRID, B[:, 0]), ValueError, "rtol"),
}


@pytest.mark.parametrize(("settings", "system", "kind", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input(settings, system, kind, words):
    with pytest.raises(kind, match=words):
        linear.TunedSolver("auto", **settings)(*system)


def test_nothing_to_solve():
    r = linear.TunedSolver("auto")(sp.csr_array((0, 0)), np.empty(0))
    assert r.success
    assert r.x.shape == (0,)
    r = linear.TunedSolver("auto")(GRID, np.zeros(400))
    assert r.success
    assert not r.x.any()
