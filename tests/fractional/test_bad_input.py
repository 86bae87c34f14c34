"""What the solvers refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from numsolve import fractional as fr

NAN, INF = float("nan"), float("inf")


def bvp(f=np.sin, alpha=1.5, **settings):
    return fr.solve_riesz_bvp(f, alpha, **{"n": 20, "p": 3, "method": "spline", **settings})


def diffusion(f=np.sin, alpha=1.5, t_span=(0, 1), **settings):
    return fr.solve_fractional_diffusion(
        f, alpha, t_span, **{"n": 20, "p": 3, "dt": 0.5, "method": "spline", **settings}
    )


def plane(f=1.0, alpha=1.5, **settings):
    return fr.solve_riesz_2d(f, alpha, **{"n": 8, "p": 3, **settings})


def modes(alpha=1.5, **settings):
    return fr.solve_riesz_bvp(np.sin, alpha, **settings)


def survival(alpha=1.5, t=1.0, **settings):
    return [f(alpha, t, **settings) for f in (fr.survival_probability, fr.exit_time_density)]


def moments(alpha=1.5, k=1, **settings):
    return fr.exit_time_moments(alpha, k, **settings)


def operator(alpha=1.5, **settings):
    settings = {"n": 20, "p": 3, **settings}
    return fr.RieszSplineOperator(settings.pop("n"), settings.pop("p"), alpha, **settings)


def eig(alpha=1.5, **settings):
    return fr.solve_riesz_eig(alpha, **settings)


def symbol(alpha=1.5, theta=1.0, p=3):
    return fr.riesz_symbol(theta, p, alpha)


def derivative(alpha=1.5, p=3, t=1.0, side="riesz"):
    return fr.bspline_fractional_derivative(p, t, alpha, side)


ALL = (bvp, diffusion, plane, operator, eig, symbol, derivative)
BY_SPLINES = (bvp, diffusion, plane, operator, symbol, derivative)
SPLINES = (bvp, diffusion, plane, operator)
LINES = (bvp, diffusion, operator)


def late_nan(x):
    return np.where(x > 0.5, NAN, x)


#: name: (what is changed, the exception, a fragment of its message, the functions that it is for)
BAD = {
    # the order
    "alpha one": (
        {"alpha": 1.0},
        ValueError,
        "alpha must be a finite number above 1 and at most 2, got 1.0",
        BY_SPLINES,
    ),
    "ragged": ({"potential": [[1.0], [1.0, 2.0]]}, TypeError, "potential must be a function", (eig,)),
    "alpha next to one": ({"alpha": 1 + 1e-6}, ValueError, "alpha must be", BY_SPLINES),
    "alpha zero": (
        {"alpha": 0.0},
        ValueError,
        "alpha must be a finite number above 0",
        (eig, modes, survival),
    ),
    "alpha one for unequal weights": (
        {"alpha": 1.0, "weights": (0.7, 0.3)},
        ValueError,
        "alpha must not be 1 for unequal weights",
        (modes, survival),
    ),
    "alpha one for samples": (
        {"alpha": 1.0, "f": np.ones(21), "method": "auto"},
        ValueError,
        "alpha must be above 1 for splines, got 1.0, and .* values at the collocation",
        (bvp, diffusion),
    ),
    "alpha above two": ({"alpha": 2.5}, ValueError, "at most 2, got 2.5", ALL),
    "alpha nan": ({"alpha": NAN}, ValueError, "alpha must be .*, got nan", ALL),
    "alpha infinite": ({"alpha": INF}, ValueError, "alpha must be .*, got inf", ALL),
    "alpha a word": ({"alpha": "1.5"}, TypeError, "alpha must be a real number, got '1.5'", ALL),
    "alpha complex": ({"alpha": 1.5j}, TypeError, "alpha must be a real number", ALL),
    # the degree and the mesh
    "p one": (
        {"p": 1},
        ValueError,
        "p must be an integer at least 2 and at most 20, got 1",
        (*SPLINES, symbol),
    ),
    "p 2.5": ({"p": 2.5}, ValueError, "p must be an integer, got 2.5", (*SPLINES, derivative)),
    "p a word": ({"p": "3"}, TypeError, "p must be an integer", SPLINES),
    "p too high": ({"p": 21}, ValueError, "at most 20", SPLINES),
    "n too small": (
        {"n": 5},
        ValueError,
        "n must be at least 2 p = 6 for splines of degree 3, got 5",
        SPLINES,
    ),
    "n zero": ({"n": 0}, ValueError, "n must be an integer at least 1, got 0", SPLINES),
    "n 8.5": ({"n": 8.5}, ValueError, "n must be an integer, got 8.5", SPLINES),
    "n a word": ({"n": "8"}, TypeError, "n must be an integer", SPLINES),
    "interval reversed": (
        {"interval": (1, 0)},
        ValueError,
        r"interval must be increasing, got \(1, 0\)",
        LINES,
    ),
    "interval empty": ({"interval": (1, 1)}, ValueError, "interval must be increasing", (*LINES, eig)),
    "interval infinite": ({"interval": (0, INF)}, ValueError, "interval must hold finite numbers", LINES),
    "interval without a length": (
        {"interval": (-1e308, 1e308)},
        ValueError,
        "interval must have a length of 1e-140 to 1e[+]151",
        (*LINES, eig),
    ),
    "interval of denormals": (
        {"interval": (5e-324, 1e-323)},
        ValueError,
        "interval must have a length",
        (*LINES, eig),
    ),
    "interval of a few numbers": (
        {"interval": (1e8, 1e8 + 1e-7)},
        ValueError,
        "interval must be longer than 1e-12 of its distance from zero",
        (*LINES, eig),
    ),
    "interval of three": ({"interval": (0, 1, 2)}, ValueError, r"interval must have shape \(2,\)", LINES),
    "breaks with method spline": (
        {"breaks": [0, 1, 2], "method": "spline"},
        ValueError,
        "breaks need method 'dense' or 'auto', got 'spline'",
        (bvp,),
    ),
    "breaks falling": (
        {"breaks": [0, 2, 1], "method": "dense"},
        ValueError,
        "breaks must be increasing",
        (bvp,),
    ),
    "too many for a dense matrix": (
        {"n": 5000, "method": "dense"},
        ValueError,
        "'dense' is for at most 4000 unknowns, got 5001",
        (bvp,),
    ),
    # the operator
    "weights negative": (
        {"weights": (1, -1)},
        ValueError,
        "weights must be at least 0 everywhere, got -1",
        LINES,
    ),
    "weights zero": ({"weights": (0, 0)}, ValueError, "weights must have a positive sum", LINES),
    "weights nan": ({"weights": (NAN, 1)}, ValueError, "weights must hold finite numbers", LINES),
    "weights of three": ({"weights": (1, 1, 1)}, ValueError, r"weights must have shape \(2,\)", LINES),
    "definition unknown": (
        {"definition": "grunwald"},
        ValueError,
        "definition must be one of 'rl', 'caputo'.*; got 'grunwald'",
        LINES,
    ),
    # the data
    "f nothing": ({"f": None}, TypeError, "f must be a function, an array or a number, got None", (bvp,)),
    "f of wrong length": (
        {"f": np.ones(7)},
        ValueError,
        r"must have one value for each of the 21 collocation points, got shape \(7,\)",
        (bvp, diffusion),
    ),
    "f a matrix": ({"f": np.ones((21, 1))}, ValueError, "must be 1-D", (bvp, diffusion)),
    "f complex": ({"f": np.ones(21) * 1j}, TypeError, "is complex", (bvp, diffusion)),
    "f returns complex": ({"f": lambda x: x * 1j}, TypeError, "is complex", (bvp, diffusion)),
    "f returns a number": (
        {"f": lambda x: 1.0},
        ValueError,
        r"must have shape \(21,\), got \(\)",
        (bvp, diffusion),
    ),
    "f returns too much": (
        {"f": lambda x: np.ones(5)},
        ValueError,
        r"must have shape \(21,\)",
        (bvp, diffusion),
    ),
    "f returns nan": (
        {"f": late_nan},
        ValueError,
        r"returned nan \(entry index 11\) at the point .*0.55",
        (bvp, diffusion),
    ),
    "f holds nan": (
        {"f": np.r_[np.ones(20), NAN]},
        ValueError,
        "finite numbers, got nan at index 20",
        (bvp, diffusion),
    ),
    "f infinite": ({"f": INF}, ValueError, "f must be a finite number, got inf", (bvp,)),
    "diffusion zero somewhere": (
        {"diffusion": lambda x: x - 0.55},
        ValueError,
        "diffusion must be positive, got -0.5.* at the point",
        (bvp,),
    ),
    "diffusion negative": ({"diffusion": -1.0}, ValueError, "diffusion must be positive, got -1 at", (bvp,)),
    "kappa zero": ({"kappa": 0.0}, ValueError, "kappa must be positive, got 0 at the point", (diffusion,)),
    "reaction nan": ({"reaction": late_nan}, ValueError, "reaction returned nan", (bvp,)),
    "reaction a word": ({"reaction": "1"}, TypeError, "reaction must be a real number", (bvp, plane)),
    # the settings
    "method unknown": (
        {"method": "magic"},
        ValueError,
        "method must be one of .*; got 'magic'",
        (bvp, diffusion, plane, eig),
    ),
    "preconditioner an array": (
        {"preconditioner": np.ones(2)},
        ValueError,
        "preconditioner must be one of 'auto', 'tau', 'circulant', 'none'",
        (bvp, diffusion),
    ),
    "preconditioner empty": (
        {"preconditioner": []},
        ValueError,
        "preconditioner must be one of 'auto', 'tau', 'circulant', 'none'",
        (bvp, diffusion),
    ),
    "preconditioner unknown": (
        {"preconditioner": "ilu"},
        ValueError,
        "preconditioner must be one of 'auto', 'tau', 'circulant', 'none'; got 'ilu'",
        (bvp, diffusion),
    ),
    "modes for samples": (
        {"method": "spectral", "f": np.ones(21)},
        ValueError,
        "method 'spectral' does not apply: the data are values at the collocation points",
        (bvp,),
    ),
    "too many modes": (
        {"method": "spectral", "n": 5000},
        ValueError,
        "at most 4000 modes, got n = 5000",
        (bvp,),
    ),
    "modes for caputo": (
        {"method": "spectral", "definition": "caputo"},
        ValueError,
        "'rl'",
        (bvp, diffusion),
    ),
    "modes for a varying kappa": (
        {"method": "spectral", "kappa": np.exp},
        ValueError,
        "does not apply: kappa is not a number",
        (diffusion,),
    ),
    "weights that make the splines unstable": (
        {"alpha": 1.05, "weights": (1, 0)},
        ValueError,
        "make the collocation unstable for degree p = 3",
        LINES,
    ),
    "a start for a factorisation": (
        {"method": "dense", "x0": np.ones(21)},
        ValueError,
        "x0 is where GMRES starts",
        (bvp,),
    ),
    "a start for modes": ({"method": "spectral", "x0": np.ones(21)}, ValueError, "x0 is where", (bvp,)),
    "an interval beside breaks": (
        {"breaks": [0, 1, 2, 3], "interval": (0, 5), "method": "auto"},
        ValueError,
        r"interval must be that of the breaks, \(0.0, 3.0\), or be left out",
        (bvp,),
    ),
    "rtol negative": (
        {"rtol": -1},
        ValueError,
        "rtol must be a finite number at least 0",
        (bvp, diffusion, plane),
    ),
    "rtol nan": ({"rtol": NAN}, ValueError, "rtol must be", (bvp, diffusion, plane)),
    "maxiter negative": ({"maxiter": -1}, ValueError, "maxiter must be an integer at least 0", (bvp, plane)),
    "callback a word": (
        {"callback": "print"},
        TypeError,
        "callback must be callable",
        (bvp, diffusion, plane),
    ),
    "time_limit negative": ({"time_limit": -1}, ValueError, "time_limit must be", (bvp, diffusion, plane)),
    "x0 of wrong length": ({"x0": np.ones(3)}, ValueError, r"x0 must have shape \(21,\), got \(3,\)", (bvp,)),
    "x0 nan": ({"x0": np.full(21, NAN)}, ValueError, "x0 must hold finite numbers", (bvp,)),
    # time
    "t_span reversed": (
        {"t_span": (1, 0)},
        ValueError,
        r"t_span must be increasing, got \(1, 0\)",
        (diffusion,),
    ),
    "t_span nan": ({"t_span": (0, NAN)}, ValueError, "t_span must hold finite numbers", (diffusion,)),
    "dt zero": ({"dt": 0}, ValueError, "dt must be a finite number above 0", (diffusion,)),
    "theta 0.2": (
        {"theta": 0.2},
        ValueError,
        "theta must be .* at least 0.5 and at most 1, got 0.2",
        (diffusion,),
    ),
    "t_eval outside": (
        {"t_eval": [0, 2]},
        ValueError,
        "t_eval must ascend from 0 to 1, got 0 to 2",
        (diffusion,),
    ),
    "t_eval falling": ({"t_eval": [1, 0]}, ValueError, "t_eval must ascend", (diffusion,)),
    "t_eval empty": ({"t_eval": []}, ValueError, "t_eval is empty", (diffusion,)),
    "too many steps": (
        {"dt": 1e-9, "t_eval": [1.0]},
        ValueError,
        "dt must leave at most 100000000 steps",
        (diffusion,),
    ),
    "too many saved steps": (
        {"dt": 1e-9, "method": "auto"},
        ValueError,
        "dt must leave at most 100000 steps without t_eval, .* got 1e-09",
        (diffusion,),
    ),
    "source of x and t": (
        {"source": lambda x, t: x},
        TypeError,
        r"source is called as source\(t, x\)",
        (diffusion,),
    ),
    "source a number": ({"source": 1.0}, TypeError, "source must be callable", (diffusion,)),
    # the plane
    "a pair of three": ({"alpha": (1.5, 1.5, 1.5)}, ValueError, "alpha must have two entries", (plane,)),
    "one interval": ({"interval": 1.0}, TypeError, "interval must be a pair of intervals", (plane,)),
    "diffusion of zero": ({"diffusion": (1, 0)}, ValueError, "diffusion must be .* above 0", (plane,)),
    "values of wrong shape": ({"f": np.ones((3, 3))}, ValueError, r"f must have shape \(9, 9\)", (plane,)),
    "values of a function": (
        {"f": lambda x, y: x[:3]},
        ValueError,
        r"the result of f must have shape \(9, 9\)",
        (plane,),
    ),
    # first passage
    "a negative time": ({"t": [0.1, -1]}, ValueError, "t must be at least 0 everywhere, got -1", (survival,)),
    "a time of nan": ({"t": NAN}, ValueError, "t must hold finite numbers", (survival,)),
    "times in a table": ({"t": np.ones((2, 2))}, ValueError, "t must be 0-D or 1-D", (survival,)),
    "no time": ({"t": []}, ValueError, "t is empty", (survival,)),
    "a density at zero": ({"t": 0.0}, ValueError, "t must be positive", (survival,)),
    "kappa negative": ({"kappa": -1}, ValueError, "kappa must be .* above 0", (survival, moments)),
    "kappa a function": ({"kappa": np.exp}, TypeError, "kappa must be a real number", (survival, moments)),
    "the zeroth moment": ({"k": 0}, ValueError, "k must be an integer at least 1", (moments,)),
    "three modes": ({"n": 3}, ValueError, "n must be an integer at least 4", (survival, moments)),
    # the others
    "k zero": ({"k": 0}, ValueError, "k must be an integer at least 1", (eig,)),
    "k too large": ({"k": 99, "method": "spline", "n": 20}, ValueError, "k must be at most 11", (eig,)),
    "fewer modes than k": ({"k": 9, "n": 5}, ValueError, "k must be at most 2", (eig,)),
    "as many modes as k": ({"k": 20, "n": 20}, ValueError, "k must be at most 10, half the number", (eig,)),
    "one mode": ({"k": 1, "n": 1}, ValueError, "n must be an integer at least 4", (eig,)),
    "theta nan": ({"theta": [NAN]}, ValueError, "theta must hold finite numbers", (symbol,)),
    "t complex": ({"t": 1j}, TypeError, "t is complex", (derivative,)),
    "side unknown": (
        {"side": "up"},
        ValueError,
        "side must be one of 'left', 'right', 'riesz'",
        (derivative,),
    ),
}
TABLE = [
    pytest.param(function, *row[:3], id=f"{function.__name__}: {name}")
    for name, row in BAD.items()
    for function in row[3]
]


@pytest.mark.parametrize(("function", "change", "kind", "fragment"), TABLE)
def test_bad_input_is_refused_in_words(function, change, kind, fragment):
    with pytest.raises(kind, match=fragment):
        function(**change)


@pytest.mark.parametrize("function", [*ALL, modes, survival, moments])
def test_the_table_starts_from_good_input(function):
    function()


def test_points_outside_are_not_an_error():
    assert bvp()([-1.0, 2.0]).tolist() == [0.0, 0.0]


def test_arrays_of_two_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="convert one"):
        bvp(f=strict.ones(21), reaction=np.ones(21))


def test_arrays_that_cannot_be_written_to_are_refused():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="arrays of jax cannot be written to"):
        bvp(f=jnp.ones(21))


def test_dense_is_for_numpy():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="method 'dense' takes NumPy arrays, got those of array_api_strict"):
        bvp(f=strict.ones(21), method="dense")


#: What looks odd and is allowed.
ALLOWED = {
    "integral floats": {"n": 20.0, "p": 3.0},
    "alpha two": {"alpha": 2},
    "a list of values": {"f": [1] * 21},
    "weights that are not normalised": {"weights": (3, 4)},
    "a constant": {"f": 2},
    "an interval in a list": {"interval": [0, 1]},
    "single precision": {"f": np.ones(21, dtype=np.float32)},
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_allowed(change):
    r = bvp(**change)
    assert r.success
    assert r.x.dtype == np.float64
