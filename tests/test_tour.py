"""The tour of ``make quickstart``: its page, its stops, and what becomes of a stop that fails."""

from __future__ import annotations

import ast
import dataclasses
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

TOUR = Path(__file__).parents[1] / "tour"
sys.path.insert(0, str(TOUR))
try:
    import page
    import stop
    from guide import Tour
    from stop import AREAS, Judgement, Stop, Visit, canvas, first_visit, stop_of
finally:
    sys.path.remove(str(TOUR))


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(TOUR))


def visited(area, **changes):
    fields = {"title": "A & B", "solved": "x < y", "code": "a = b < c", "picture": "aGk=", "good": True}
    times = {"measure": "error", "accuracy": "1e-9", "first": 1.0, "seconds": 0.002, "peer_seconds": 0.1}
    return Visit(area, **(fields | times | changes))


class Reader(HTMLParser):
    """What a page loads and has, and whether each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.sections, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.loaded += [given[name] for name in ("src", "href") if name in given]
        if tag == "section":
            self.sections.append(given["id"])
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def written(tmp_path, visits, note=""):
    page.write(tmp_path / "tour.html", visits, 12.3, note)
    return Reader((tmp_path / "tour.html").read_text(encoding="utf-8"))


def test_the_page_has_a_section_for_each_stop_and_loads_nothing(tmp_path):
    read = written(tmp_path, [visited(area) for area in AREAS])
    assert read.sections == list(AREAS)
    assert all(link.startswith(("#", "data:")) for link in read.loaded)
    assert "a = b < c" in read.text
    assert "numsolve, 50×" in read.text


def test_there_is_a_stop_for_each_column():
    import numsolve

    columns = {name for name in numsolve.__all__ if (Path(numsolve.__file__).parent / name).is_dir()}
    assert set(AREAS) == columns == {path.stem for path in (TOUR / "stops").glob("*.py")}


def test_the_page_tells_failures_and_losses(tmp_path):
    visits = [
        Visit("linear", trouble="Traceback\nZeroDivisionError: 1 / <0>"),
        visited("sketch", peer_seconds=0.0005),
        visited("special", usable=False),
        visited("atomic", seconds=None),
    ]
    text = written(tmp_path, visits, "Interrupted.").text
    assert text.count("ZeroDivisionError: 1 / <0>") == 3
    for words in ("the usual tool, 4×", "has no answer", "not measured", "Interrupted."):
        assert words in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.34, "12 s"),
        (1.0, "1 s"),
        (0.1234, "123 ms"),
        (2e-3, "2 ms"),
        (3.21e-5, "32 µs"),
        (None, "not measured"),
    ],
)
def test_durations_have_two_digits(seconds, text):
    assert page.duration(seconds) == text


@pytest.mark.parametrize("area", [area for area in AREAS if area != "neural_ode"])
def test_the_code_on_the_page_is_what_runs(area):
    code = stop_of(area).code
    ast.parse(code)
    assert f"{area}." in code
    assert len(code.splitlines()) <= 16


@pytest.mark.parametrize("area", ["fractional", "implicit"])
def test_a_good_answer_is_told_from_a_wrong_one(area):
    found, data = first_visit(stop_of(area), area)
    assert found.good
    assert len(found.picture) > 1000
    here = stop_of(area)
    right = here.ours(**data)
    wrong = dataclasses.replace(right, x=right.x * (1 + 1e-6)) if area == "fractional" else right * (1 + 1e-6)
    theirs = here.theirs(**data)
    assert not here.judge(data, wrong, theirs).good


STOPS = {
    "good": "",
    "wrong": "",
    "raises": "raise ArithmeticError('no answer')",
    "dies": "import os; os._exit(7)",
    "lacks": "import a_package_that_nobody_has",
}


@pytest.fixture
def stops(tmp_path, monkeypatch):
    """Stops of a line each; children find them on the path, which they inherit."""
    (tmp_path / "stops").mkdir()
    for name, line in STOPS.items():
        (tmp_path / "stops" / f"{name}.py").write_text(
            f"from stop import *\n"
            f'def ours():\n    """Solve."""\n    {line or "return 1"}\n'
            f"judge = lambda *_: Judgement('error', '0', '0', {name != 'wrong'})\n"
            f"draw = lambda *_: canvas(figsize=(1, 1))[0]\n"
            f"STOP = Stop('', '', '', '', 'peer', dict, ours, ours, judge, draw)\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_failed_stop_is_told_and_the_others_go_on(stops):
    told = []
    tour = Tour(list(STOPS), lambda *news: told.append(news))
    tour.run()
    good, wrong, raises, dies, lacks = (tour.visits[name] for name in STOPS)
    assert (good.good, good.trouble) == (True, "")
    assert good.seconds is not None
    assert good.peer_seconds is not None
    assert "not as good as promised" in wrong.trouble
    assert page.brief(raises) == "ArithmeticError: no answer"
    assert "exit code 7" in dies.trouble
    assert "needs a_package_that_nobody_has" in lacks.trouble
    assert {area for area, _ in told} == set(STOPS)


def test_ctrl_c_keeps_what_is_done(stops):
    def show(area, text):
        if text.startswith("measuring"):
            raise KeyboardInterrupt

    tour = Tour(["good", "raises"], show)
    tour.run()
    assert tour.interrupted
    assert tour.visits["good"].picture
    assert tour.visits["good"].seconds is None
    for _, process in tour.children.values():
        process.join(10)
        assert not process.is_alive()


def test_ctrl_c_before_anything_is_done(stops):
    def show(area, text):
        raise KeyboardInterrupt

    tour = Tour(["good", "raises"], show)
    tour.run()
    assert all("interrupted" in visit.trouble for visit in tour.visits.values())


def test_a_stop_shows_the_functions_that_it_names():
    def before():
        """Above."""

    def ours():
        """Not shown."""
        result = 1
        return result  # noqa: RET504

    shown = Stop("", "", "", "", "", dict, ours, ours, Judgement, canvas, shown=(before,)).code
    assert "result = 1" in shown
    assert "Above" in shown
    assert "Not shown" not in shown
    assert stop.PATIENCE > 0
