"""The coefficients of the Runge-Kutta pairs: Tsit5 [1], Dopri5 [2] and Bosh3 [3].

[1] Ch. Tsitouras, Computers & Mathematics with Applications 62 (2011).
[2] J. R. Dormand, P. J. Prince, J. Comput. Appl. Math. 6 (1980); dense output: L. F. Shampine (1986).
[3] P. Bogacki, L. F. Shampine, Appl. Math. Lett. 2 (1989).
"""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """An embedded pair whose last stage is the first of the next step.

    Attributes
    ----------
    name : str
        As in ``method=``.
    c : tuple of float
        Times of the stages, in steps.
    a : tuple of tuple of float
        Row i has the weights of the earlier stages in stage i; the last row is that of the new state.
    d : tuple of float
        Weights of the error estimate.
    order : int
        Of the new state.
    dense : tuple of tuple of float
        Row j has the coefficients of theta, theta^2, ... in the weight b_j(theta) of the interpolant.
    stability_size : float
        Extent of the stability region; nan where no two stages share a time, so that stiffness is unknown.
    """

    name: str
    c: Row
    a: tuple[Row, ...]
    d: Row
    order: int
    dense: tuple[Row, ...]
    stability_size: float

    @property
    def stages(self) -> int:
        """How many."""
        return len(self.c)

    @property
    def senses_stiffness(self) -> bool:
        """Whether the last two stages share a time."""
        return self.c[-1] == self.c[-2]


def _product(scale: float, *factors: Row) -> Row:
    """Coefficients of theta, theta^2, ... of a product of polynomials that has no constant term."""
    out = [scale]
    for factor in factors:
        longer = [0.0] * (len(out) + len(factor) - 1)
        for i, x in enumerate(out):
            for j, y in enumerate(factor):
                longer[i + j] += x * y
        out = longer
    return tuple(out[1:])


_T: Row = (0.0, 1.0)
_T2: Row = (0.0, 0.0, 1.0)

TSIT5 = Tableau(
    name="tsit5",
    c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        (
            *(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742),
            *(-3.290069515436081, 2.324710524099774),
        ),
    ),
    d=(
        *(-0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629),
        *(0.5823571654525552, -0.45808210592918697, 1 / 66),
    ),
    order=5,
    dense=(
        _product(
            -1.0530884977290216, _T, (-1.3299890189751412, 1), (0.7139816917074209, -1.4364028541716351, 1)
        ),
        _product(0.1017, _T2, (1.2949852507374631, -2.1966568338249754, 1)),
        _product(2.490627285651252793, _T2, (1.57803468208092486, -2.38535645472061657, 1)),
        _product(-16.54810288924490272, (-1.21712927295533244, 1), (-0.61620406037800089, 1), _T2),
        _product(47.37952196281928122, (-1.203071208372362603, 1), (-0.658047292653547382, 1), _T2),
        _product(-34.87065786149660974, (-1.2, 1), (-2 / 3, 1), _T2),
        _product(2.5, (-1.0, 1), (-0.6, 1), _T2),
    ),
    stability_size=3.5068,
)

DOPRI5 = Tableau(
    name="dopri5",
    c=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    a=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    d=(
        35 / 384 - 5179 / 57600,
        0.0,
        500 / 1113 - 7571 / 16695,
        125 / 192 - 393 / 640,
        -2187 / 6784 + 92097 / 339200,
        11 / 84 - 187 / 2100,
        -1 / 40,
    ),
    order=5,
    dense=(
        (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
        (0.0, 0.0, 0.0, 0.0),
        (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
        (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
        (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
        (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
        (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
    ),
    stability_size=3.3066,
)

BOSH3 = Tableau(
    name="bosh3",
    c=(0.0, 1 / 2, 3 / 4, 1.0),
    a=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    d=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
    order=3,
    dense=((1, -4 / 3, 5 / 9), (0, 1, -2 / 3), (0, 4 / 3, -8 / 9), (0, -1, 1)),
    stability_size=float("nan"),
)

TABLEAUS = {tableau.name: tableau for tableau in (TSIT5, DOPRI5, BOSH3)}
