"""`make benchmarks` loses nothing and mixes nothing; tried with scripts that sleep."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CAMPAIGN = ROOT / "benchmarks/peers/_campaign.py"

#: with the harness, which keeps finished cases
CASES = """
import os, sys, time
sys.path.insert(0, {peers!r})
from _harness import Case, Peer, main

def cases(quick):
    for name in {cases!r}:
        waits = name == "wait" and not os.path.exists({gate!r})
        ours = (lambda: time.sleep(60)) if waits else int
        yield Case(name, ours, [Peer("numpy", int)], repeats=1, first_call=False)

if __name__ == "__main__":
    main(cases)
"""
#: a script of its own that starts in no time
PLAIN = """
import json, os, sys
from pathlib import Path

rows = [{{"case": name, "peer": "numpy 1", "note": ""}} for name in {cases!r}]
if "fail" in {cases!r} and not os.path.exists({gate!r}):
    1 / 0
Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps({{"rows": rows}}))
"""


class Bench:
    """A folder of small scripts, and campaigns over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder / "gate"
        (folder / "scripts").mkdir()
        self.into, self.state = folder / "docs", folder / "state"

    def script(self, name: str, *cases: str, form: str = PLAIN) -> None:
        source = form.format(peers=str(CAMPAIGN.parent), cases=cases, gate=str(self.gate))
        (self.folder / "scripts" / f"{name}.py").write_text(source)

    def start(self, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(CAMPAIGN), "--scripts", str(self.folder / "scripts")]
        command += ["--into", str(self.into), "--state", str(self.state), *args]
        one = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} | dict.fromkeys(one, "1")
        environment["GIT_DIR"] = str(
            self.folder / "none"
        )  # or a commit in the meantime would end the campaign
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def run(self, *args: str) -> tuple[int, str]:
        process = self.start(*args)
        text, _ = process.communicate(timeout=120)
        return process.returncode, text

    def published(self) -> dict[str, list[str]]:
        return {
            path.stem: [row["case"] for row in json.loads(path.read_text())["rows"]]
            for path in self.into.glob("*")
        }


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no signal that a process can answer")
def test_a_campaign_that_is_ended_goes_on_with_the_case_under_way(bench):
    bench.script("a", "quick")
    bench.script("b", "before", "wait", "after", form=CASES)
    process = bench.start()
    lines = iter(process.stdout)
    assert any("... wait" in line for line in lines)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert bench.published() == {}
    bench.gate.touch()
    code, text = bench.run()
    assert code == 0, text
    assert "1 of 2 scripts are finished, 1 are left" in text
    assert "... before (kept)" in text
    assert "... wait\n" in text
    assert bench.published() == {"a": ["quick"], "b": ["before", "wait", "after"]}
    assert all("commit" in json.loads(path.read_text()) for path in bench.into.glob("*"))


def test_a_script_that_fails_loses_no_other_and_is_told(bench):
    bench.script("a", "one")
    bench.script("b", "two", "fail")
    bench.script("c", "three")
    code, text = bench.run()
    assert code == 1
    assert "ZeroDivisionError" in text
    assert "2 of 3 scripts are finished. Nothing was moved" in text
    assert bench.published() == {}
    bench.gate.touch()
    code, text = bench.run()
    assert code == 0, text
    assert "2 of 3 scripts are finished, 1 are left" in text
    assert bench.published() == {"a": ["one"], "b": ["two", "fail"], "c": ["three"]}


def test_a_script_that_measures_nothing_has_failed(bench):
    bench.script("a", "one")
    bench.script("b")
    code, text = bench.run()
    assert code == 1
    assert "b failed: it has measured nothing" in text
    assert not bench.published()


def test_a_campaign_does_not_mix_and_restart_begins_anew(bench):
    bench.script("a", "one", "fail")
    assert bench.run()[0] == 1
    about = bench.state / "full" / "about"
    begun = json.loads(about.read_text())
    begun["identity"] |= {"processor": "abacus", "package of yesterday": "1.0"}
    about.write_text(json.dumps(begun))
    bench.gate.touch()
    code, text = bench.run()
    assert code == 2
    assert "processor: abacus then, " in text
    assert "package of yesterday: 1.0 then, none now" in text
    assert "commit:" not in text
    assert bench.published() == {}
    code, text = bench.run("--restart")
    assert code == 0, text
    assert bench.published() == {"a": ["one", "fail"]}


def test_a_quick_campaign_moves_nothing_and_an_unknown_script_is_named(bench):
    bench.script("a", "one")
    assert bench.run("--quick")[0] == 0
    assert bench.published() == {}
    code, text = bench.run("b")
    assert code == 2
    assert "There is no b here, only a." in text


@pytest.fixture(scope="module")
def campaign():
    sys.path.insert(0, str(CAMPAIGN.parent))
    try:
        spec = importlib.util.spec_from_file_location("_campaign", CAMPAIGN)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(CAMPAIGN.parent))
    return module


def test_every_result_file_has_its_script(campaign):
    results = {path.stem for path in (ROOT / "docs/benchmarks").glob("*.json")}
    assert results - campaign.ELSEWHERE <= set(campaign.scripts(CAMPAIGN.parent))


def test_what_a_campaign_runs_are_scripts(campaign):
    """A file that others import begins with an underscore."""
    folder = CAMPAIGN.parent
    assert all("main(" in (folder / f"{name}.py").read_text() for name in campaign.scripts(folder))


def test_the_script_with_a_command_line_of_its_own_takes_what_a_campaign_hands_over(tmp_path):
    values = ("ratio", "peer_value", "numsolve_value", "peer_error", "numsolve_error")
    row = {"case": "kept", "peer": "", "metric": "", "unit": "s", "note": "", **dict.fromkeys(values)}
    file, cases = tmp_path / "executors.json", tmp_path / "executors.cases"
    cases.write_text(json.dumps([0, "threads", [row]]))
    script = [sys.executable, str(CAMPAIGN.with_name("executors.py")), "--executors", "threads"]
    handed_over = ["--json", str(file), "--resume", "--threads", "1", "--quick"]
    subprocess.run([*script, *handed_over], check=True, capture_output=True)
    assert json.loads(file.read_text())["rows"] == [row]
    assert not cases.exists()


def test_peers_that_were_there_last_time_are_missed(campaign, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"rows": [{"peer": "mdot-tnt 1.0.0"}, {"peer": "POT 0.9"}]}))
    rows = [
        {"peer": "POT 1.0", "note": "numsolve missed the tolerance", "case": "n = 1"},
        {"peer": "ilupp ?", "note": "peer raised ModuleNotFoundError: no module", "case": "n = 1"},
    ]
    absent, missed = campaign.remarks("a", {"rows": rows}, tmp_path)
    assert absent.endswith("ilupp ?, mdot-tnt")
    assert missed == "a: numsolve missed the tolerance in 'n = 1'"
