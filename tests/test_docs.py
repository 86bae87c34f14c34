"""The documentation builds from its own extra, and its source keeps a few rules (and the checks can fail)."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: distributions whose modules have another name; what Sphinx itself is made of comes with it
DISTRIBUTION = {"sklearn": "scikit-learn", "PIL": "pillow", "docutils": "sphinx", "ot": "pot"}


def distributions(extra: str) -> set[str]:
    """What ``pip install numsolve[extra]`` names, the extras that it includes too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, waiting = set(), [*project["dependencies"], f"numsolve[{extra}]"]
    while waiting:
        requirement = waiting.pop()
        if inner := re.match(r"numsolve\[(.*)\]", requirement):
            for name in inner[1].split(","):
                waiting += project["optional-dependencies"][name.strip()]
        else:
            found.add(re.match(r"[\w.-]+", requirement)[0].lower())
    return found


def imported(source: str) -> set[str]:
    """Packages that a script imports, in functions and under conditions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "require",
            "import_module",
        ):
            names |= {
                arg.value
                for arg in node.args[:1]
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
    return {name.partition(".")[0] for name in names}


def configured(source: str) -> set[str]:
    """Packages that the settings of Sphinx name as extensions or as the theme."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("extensions", "html_theme"):
            value = ast.literal_eval(node.value)
            names |= {value} if isinstance(value, str) else set(value)
    return {name.partition(".")[0] for name in names}


def foreign(names: set[str]) -> set[str]:
    """The distributions behind the names, without the standard library and what is ours."""
    ours = {"numsolve", *(path.stem for path in (ROOT / "docs" / "_ext").glob("*.py"))}
    return {
        DISTRIBUTION.get(name, name).replace("_", "-") for name in names - ours - set(sys.stdlib_module_names)
    }


SCRIPTS = [*sorted((ROOT / "examples").rglob("*.py")), *sorted((ROOT / "docs").glob("*.py"))]
SCRIPTS += sorted((ROOT / "docs" / "_ext").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_the_documentation_imports_is_in_its_extra(script):
    source = script.read_text()
    assert foreign(imported(source) | configured(source)) <= distributions("docs")


def test_the_settings_name_their_packages():
    found = foreign(configured((ROOT / "docs" / "conf.py").read_text()))
    assert {"sphinx", "sphinx-gallery", "pydata-sphinx-theme", "myst-parser"} <= found


def test_the_check_of_the_extra_sees_every_kind_of_import():
    script = "import os\ndef f():\n    from sklearn.svm import SVC\nif f:\n    import a.b\n"
    script += "jaxopt = require('jaxopt', 'x')"
    assert foreign(imported(script)) == {"scikit-learn", "a", "jaxopt"}
    assert not foreign(imported(script)) <= distributions("docs")


WIDTH = 88  # columns that fit on a page of the documentation without scrolling
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("[!_]*.md")),
    *sorted((ROOT / "docs").glob("[!_ga]*/*.md")),
]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))


def too_wide(source: str) -> list[str]:
    """Code lines of a script beyond the width; its docstring and its ``# %%`` blocks are prose."""
    opening = ast.parse(source).body[0]
    first = opening.end_lineno if isinstance(opening, ast.Expr) else 0
    return [line for line in source.splitlines()[first:] if len(line) > WIDTH and not line.startswith("#")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_code_of_the_gallery_fits_on_a_page(path):
    assert too_wide(path.read_text()) == []


def code_lines(markdown: str) -> list[str]:
    """The lines between fences that open a block of code, not a directive."""
    found, inside, shown = [], False, False
    for line in markdown.splitlines():
        if line.startswith("```"):
            inside = not inside
            shown = inside and not line.startswith("```{")
        elif shown:
            found.append(line)
    return found


def test_the_check_of_the_width_sees_code_and_not_prose():
    long = "x" * 89
    assert too_wide(f'"""\n{long}\n"""\n# {long}\n{long} = 1\n') == [f"{long} = 1"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_blocks_fit_on_a_page(path):
    assert [line for line in code_lines(path.read_text()) if len(line) > WIDTH] == []


def test_the_check_of_the_blocks_sees_code_and_not_directives():
    text = "```{image} a\n:alt: b\n```\nprose\n```python\nx = 1\n```\nprose\n```\ny = 2\n```\n"
    assert code_lines(text) == ["x = 1", "y = 2"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_page_of_the_gallery_chooses_its_thumbnail_and_draws_no_seconds_of_its_own(path):
    source = path.read_text()
    assert re.search(r"^# sphinx_gallery_thumbnail_number = \d+$", source, re.MULTILINE)
    assert re.search(r"^# sphinx_gallery_thumbnail_axes = [\d\[]", source, re.MULTILINE)
    assert "time" not in imported(source)


def test_every_area_is_in_the_guide_and_on_the_page_of_problems():
    areas = {stub.parent.name for stub in (ROOT / "numsolve").glob("*/__init__.pyi")}
    index, which = ((ROOT / "docs" / "guide" / page).read_text() for page in ("index.md", "which.md"))
    assert {area for area in areas if f"{{doc}}`{area}`" in index} == areas
    assert {area for area in areas if f"numsolve.{area}." in which} == areas


def test_the_page_of_the_house_lists_every_file_of_the_ground():
    page = (ROOT / "docs" / "contributing" / "house.md").read_text()
    files = {path.name for path in (ROOT / "numsolve" / "_core").glob("[!_]*.py")}
    assert {name for name in files if f"`{name}`" in page} == files


@pytest.fixture(scope="module")
def rows():
    """The module of the documentation that reads the measured rows."""
    path = ROOT / "docs" / "_ext" / "benchmark_rows.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


ROLE = r"\{(\w+)\}`([^`]*)`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_figure_that_a_page_quotes_is_a_measured_row(path, rows):
    for role, text in re.findall(ROLE, path.read_text()):
        if role in rows.ROLES:
            assert re.search(r"\d", rows.say(role, " ".join(text.split()), ROOT / "docs" / "benchmarks"))


NUMBER = r"\d[\d.]*(?: (?:to|and|or) \d[\d.]*)?"
UNIT = r"(?:ns|µs|us|ms|s|min|h|(?:micro|milli)?seconds?|minutes?|hours?)"
FACTOR = rf"(?:{NUMBER} times|{NUMBER} ?%|{NUMBER}x|[Tt]wice|[Hh]alf|\w+ times)"
FASTER = r"(?:as (?:fast|long|quick|slow)|(?:\w+ )?(?:faster|slower|longer|quicker)|the time\b)"
SPEEDS = (rf"{NUMBER}\s{UNIT}\b", rf"{FACTOR} {FASTER}")
#: limits and settings, which no machine changes
NO_FIGURES = (
    ("docs/guide/monotone.md", "30 seconds"),
    ("docs/guide/monotone.md", "15 seconds"),
    ("docs/guide/sketch.md", "45 s for each"),
)


def typed_speeds(text: str) -> list[str]:
    """Times and factors of speed that prose holds by hand."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(ROLE, "", text)
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", text)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=\s*[-*|] )", text)]
    return [match[0] for part in paragraphs for speed in SPEEDS for match in re.finditer(speed, part)]


def prose(path: Path) -> str:
    """The text of a page; of a script its docstring and its ``# %%`` blocks."""
    source = path.read_text()
    if path.suffix != ".py":
        return source
    comments = [line[2:] for line in source.splitlines() if line.startswith("# ")]
    return "\n".join([ast.get_docstring(ast.parse(source)) or "", *comments])


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_figure_of_speed_is_typed_by_hand(path):
    page = path.relative_to(ROOT).as_posix()
    allowed = [fragment for name, fragment in NO_FIGURES if name == page]
    text = prose(path)
    assert all(
        fragment in " ".join(text.split()) for fragment in allowed
    )  # the list does not grow old either
    assert [speed for speed in typed_speeds(text) if not any(speed in known for known in allowed)] == []


def test_the_check_of_typed_speeds_sees_figures_and_not_roles():
    assert typed_speeds("It takes 3.5 ms, twice as fast as POT, and 3 to 4 times slower on a\nGPU.") == [
        "3.5 ms",
        "twice as fast",
        "3 to 4 times slower",
    ]
    assert (
        typed_speeds("With `time_limit=3 s` it took {times}`linear; <; 3 s; cg` as long; 3s is an orbital.")
        == []
    )
    assert typed_speeds("- 3 ms (AMD EPYC, November 2026)\n- and 4 ms") == ["3 ms", "4 ms"]


def measured_row(case: str, peer: str, theirs: float, ours: float, **more: object) -> dict:
    row = {"case": case, "peer": peer, "metric": "time", "unit": "s", "note": ""}
    return row | {"peer_value": theirs, "numsolve_value": ours, "ratio": theirs / ours} | more


def result_file(*rows: dict) -> dict:
    return {"versions": {"numsolve": "0.1", "POT": "0.9", "optimistix": "0.1"}, "rows": list(rows)}


@pytest.mark.parametrize(
    ("cases", "sizes", "name"),
    [
        (["ten steps, 10 x 10", "ten steps, 20 x 20"], [100, 400], "ten steps, n x n"),
        (["Poisson 4^3", "Poisson 8^3"], [64, 512], "Poisson n^3"),
        (["n = 5, d = 2", "n = 50, d = 2"], [5, 50], "n, d = 2"),
        (
            ["clouds of 10 points in space", "clouds of 90 points in space"],
            [10, 90],
            "clouds of n points in space",
        ),
        (["afiro, 27 x 32", "kb2, 43 x 41"], [864, 1763], "programs of m x n"),
    ],
)
def test_cases_that_differ_in_their_size_are_one_series(rows, cases, sizes, name):
    about = result_file(*(measured_row(case, "POT 0.9 emd", 1.0, 2.0) for case in cases))
    [series] = rows.series(about)
    assert (series.name, series.sizes()) == (name, sizes)
    assert list(series.sides) == ["numsolve", "POT emd"]


def test_cases_that_differ_in_more_are_not(rows):
    cases = (
        "n = 5, d = 2",
        "n = 50, d = 3",
        "obstacles, 8 x 8",
        "obstacles, 8 x 8 x 8",
        "100 systems of 9 unknowns",
    )
    assert rows.series(result_file(*(measured_row(case, "POT 0.9", 1.0, 2.0) for case in cases))) == []


def test_the_power_of_a_power_is_found(rows):
    named = [
        measured_row(f"case {n}", "POT 0.9", 3e-6 * n**2, 1e-6 * n**1.1, size=n, series="s")
        for n in (10, 100, 900)
    ]
    [series] = rows.series(result_file(*named))
    assert series.name == "s"
    assert rows.powers(series) == pytest.approx({"numsolve": 1.1, "POT": 2.0})


def test_the_head_of_an_area_says_where_a_peer_wins(rows):
    about = result_file(
        measured_row("a", "POT 0.9 emd", 1.0, 2.0),
        measured_row("b", "POT 0.9 emd", 4.0, 2.0),
        measured_row("c", "optimistix 0.1 Newton", 1.0, 4.0, note="peer missed the tolerance"),
        measured_row("d", "numsolve 0.1 one thread", 1.0, 2.0),
        measured_row("e", "HOAG 0.1", 1.0, 2.0),
        measured_row("f", "SciPy 1.17 eigh (yardstick)", 1.0, 2.0),
        measured_row("a", "POT 0.9 emd", 1.0, 2.0, metric="first call"),
    )
    assert rows.losses([about]) == [
        "Slower than POT emd in 1 of 2: a (2 times).",
        "Slower than optimistix Newton in 1 of 1: c (4 times, but the peer misses the tolerance).",
        "The first call is slower than the peer's in 1 of 1.",
    ]
    newton, emd = rows.summaries([about])
    assert (newton.peer, newton.mean, newton.missed) == ("optimistix Newton", 0.25, 1)
    assert (emd.peer, emd.rows, emd.mean, emd.least, emd.most) == ("POT emd", 2, pytest.approx(1.0), 0.5, 2.0)


def test_a_quoted_factor_whose_sign_no_longer_holds_is_an_error(rows, tmp_path):
    (tmp_path / "f.json").write_text(json.dumps(result_file(measured_row("a", "POT 0.9 emd", 1.0, 2.0))))
    assert rows.say("times", "f; >; a; emd", tmp_path) == "2 times"
    assert rows.say("measured", "f; a; POT...", tmp_path) == "1 s, numsolve 2 s"
    with pytest.raises(ValueError, match="'<' does not hold"):
        rows.say("times", "f; <; a; emd", tmp_path)
    with pytest.raises(ValueError, match="0 rows have the case 'b'"):
        rows.say("ours", "f; b; emd", tmp_path)


def test_each_result_file_belongs_to_an_area_of_the_package(rows):
    areas = {stub.parent.name for stub in (ROOT / "numsolve").glob("*/__init__.pyi")}
    assert set(rows.AREAS) == areas
    assert set(rows.by_area(ROOT / "docs" / "benchmarks")) <= areas | {"executors", "gpu"}


def test_a_page_can_hold_several_drawings(rows, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    plots = importlib.import_module("benchmark_plots")
    every = rows.series(
        result_file(*(measured_row(f"n = {n}", "POT 0.9", 1.0 * n, 2.0 * n) for n in (5, 50)))
    )
    svg = plots.draw(every, "here")
    assert svg.startswith("<svg")
    assert plots.TEXT not in svg  # the colour of the page's text, light or dark
    assert "<style" not in svg
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert used <= set(re.findall(r'id="(here-[^"]+)"', svg))
