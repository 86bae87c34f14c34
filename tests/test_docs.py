"""The documentation builds from its own extra, and its source keeps a few rules (and the checks can fail)."""

from __future__ import annotations

import ast
import importlib.util
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
    ("docs/guide/monotone.md", "in 30 s"),
    ("docs/guide/monotone.md", "30 seconds"),
    ("docs/guide/monotone.md", "15 seconds"),
    ("docs/guide/sketch.md", "45 s for each"),
)


def typed_speeds(text: str) -> list[str]:
    """Times and factors of speed that prose holds by hand, but for paragraphs with a machine and a year."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(ROLE, "", text)
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", text)
    found = []
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*[-*|] )", text):
        if not (re.search("EPYC|Xeon|H100", paragraph) and re.search(r"\b20\d\d\b", paragraph)):
            joined = " ".join(paragraph.split())
            found += [match[0] for speed in SPEEDS for match in re.finditer(speed, joined)]
    return found


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
    assert typed_speeds("- 3 ms (AMD EPYC, November 2026)") == []
    assert typed_speeds("- 3 ms (AMD EPYC, November 2026)\n- and 4 ms") == ["4 ms"]
