"""Each page of the gallery runs, from any folder, and draws something."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("plot_*.py")), ids=lambda path: path.relative_to(EXAMPLES).as_posix()
)
def test_example(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "jax" in sys.modules:  # another page may have switched to double precision
        sys.modules["jax"].config.update("jax_enable_x64", False)
    plt.close("all")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
        runpy.run_path(str(path), run_name="__main__")
    drawn = plt.get_fignums()
    plt.close("all")
    assert drawn, "a gallery page without a picture"
