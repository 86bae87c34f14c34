import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[1] / "benchmarks/peers/_harness.py"

KEYS = [
    *("case", "peer", "metric", "unit", "peer_value", "numsolve_value", "ratio"),
    *("peer_error", "numsolve_error", "note"),
]


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location("_harness", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["_harness"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["_harness"]


def test_ratio_is_how_many_times_better_we_are(harness, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def work(seconds):
        def run():
            now[0] += seconds

        return run

    case = harness.Case("work", work(0.01), [harness.Peer("numpy", work(0.05))], repeats=3, first_call=False)
    [row] = harness.measure(case)
    assert list(row) == KEYS
    assert row["ratio"] == pytest.approx(5)
    assert [row["peer_value"], row["numsolve_value"]] == pytest.approx([0.05, 0.01])


def test_sides_take_turns_after_one_first_call(harness):
    calls = []
    case = harness.Case(
        "turns",
        lambda: calls.append("ours"),
        [harness.Peer("numpy", lambda: calls.append("peer"))],
        repeats=2,
        budget=math.inf,
    )
    timed, first = harness.measure(case)
    assert calls == ["ours", "peer"] * 3
    assert timed["metric"] == "time"
    assert first["metric"] == "first call"


def test_budget_ends_the_rounds(harness):
    calls = []
    peer = harness.Peer("numpy", lambda: time.sleep(0.02))
    harness.measure(harness.Case("slow", lambda: calls.append(1), [peer], repeats=100, budget=0.03))
    assert 2 <= len(calls) <= 4


def test_both_errors_are_measured_alike_and_a_miss_is_told(harness):
    case = harness.Case(
        "errors", lambda: 1e-12, [harness.Peer("numpy", lambda: 1e-3)], error=abs, tol=1e-9, first_call=False
    )
    [row] = harness.measure(case)
    assert (row["peer_error"], row["numsolve_error"]) == (1e-3, 1e-12)
    assert row["note"] == "peer missed the tolerance"


def test_counts_instead_of_times(harness):
    case = harness.Case(
        "counts",
        lambda: 10,
        [harness.Peer("numpy", lambda: 40)],
        value=float,
        unit="iterations",
        first_call=False,
    )
    [row] = harness.measure(case)
    assert row["ratio"] == 4


def test_a_peer_that_raises_is_a_row(harness):
    def fail():
        raise OverflowError("too large")

    [row] = harness.measure(harness.Case("f", lambda: 1, [harness.Peer("numpy", fail)], first_call=False))
    assert row["peer_value"] is None
    assert row["ratio"] is None
    assert "OverflowError: too large" in row["note"]


def test_our_failure_is_an_error(harness):
    with pytest.raises(ZeroDivisionError):
        harness.measure(harness.Case("f", lambda: 1 / 0, []))


def test_script_fixes_threads_and_writes_json(tmp_path):
    script = tmp_path / "area.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(PATH.parent)!r})\n"
        "import os\n"
        "from _harness import Case, Peer, main\n"
        "def cases(quick):\n"
        "    assert os.environ['OMP_NUM_THREADS'] == os.environ['NUMBA_NUM_THREADS'] == '1'\n"
        "    yield Case('small' if quick else 'large', lambda: 1, [Peer('numpy', int, name='NumPy sum')])\n"
        "if __name__ == '__main__':\n"
        "    main(cases)\n"
    )
    written = tmp_path / "rows.json"
    run = subprocess.run(
        [sys.executable, str(script), "--quick", "--json", str(written), "--threads", "1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PATH.parents[2])},
        timeout=60,
    )
    about = json.loads(written.read_text())
    assert about["threads"] == 1
    assert about["quick"]
    assert {"numsolve", "numpy"} <= set(about["versions"])
    assert [row["case"] for row in about["rows"]] == ["small", "small"]
    assert about["rows"][0]["peer"].startswith("NumPy ")
    assert about["rows"][0]["peer"].endswith(" sum")
    assert "first call" in run.stdout


def test_fresh_process_has_a_cold_cache(harness):
    assert harness.in_fresh_process("import os; assert not os.listdir(os.environ['NUMBA_CACHE_DIR'])") > 0
