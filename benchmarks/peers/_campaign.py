"""`make benchmarks`: all figures of a release, by every script of this folder, on one machine and one commit.

It takes hours and may be interrupted: the next call goes on with the case at which it was
ended. When every script has finished, the results move to ``docs/benchmarks`` together, each with the commit.

- A campaign does not mix. If the machine, the commit (or what is changed since), Python or an installed
  package is another one, the call says which and ends; ``--restart`` throws away what there is.
- A script that fails does not stop the others. It is told at the end, nothing moves, and the next call tries
  it again.
- Other work on the machine makes the times worth nothing. Before each script the campaign looks at how busy
  the processor is, and warns; it cannot wait for you.

``make benchmarks ARGS=...`` hands arguments on: names of scripts for a part of them, ``--quick`` to try
everything in small (which never moves anything), ``--restart``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from _harness import _processor

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: scripts that are not run with one thread
THREADS = {"transport_threads": 2}
#: not part of a campaign: it needs a device, and has a command of its own
ELSEWHERE = {"gpu"}
#: cores kept busy by others from which on times are doubtful
BUSY = 0.15
#: lines of its log that a failed script is shown with
LAST_LINES = 12


def scripts(folder: Path) -> list[str]:
    """The names of all scripts of a campaign."""
    names = sorted(path.stem for path in folder.glob("[!_]*.py"))
    return [name for name in names if name not in ELSEWHERE]


def commit() -> str:
    """The commit that is measured, with a mark if the sources were changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    try:
        sources = ("--", "numsolve", "benchmarks")
        changes = git("diff", "HEAD", *sources) + git("status", "--porcelain", *sources)
        head = git("rev-parse", "HEAD").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else head


def identity(*, quick: bool) -> dict[str, str]:
    """What has to be the same for all results of a campaign."""
    packages = {
        f"package {dist.metadata['Name']}": dist.version for dist in importlib.metadata.distributions()
    }
    about = {
        "commit": commit(),
        "processor": _processor(),
        "machine": platform.node(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "sizes": "quick" if quick else "full",
    }
    return about | dict(sorted(packages.items()))


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """One line for each thing that is another one now."""
    names = dict.fromkeys([*old, *new])
    return [
        f"{name}: {old.get(name, 'none')} then, {new.get(name, 'none')} now"
        for name in names
        if old.get(name) != new.get(name)
    ]


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores others keep busy, where the system tells; 0 elsewhere."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    before, idle = ticks()
    time.sleep(seconds)
    after, still = ticks()
    return (1 - (still - idle) / max(after - before, 1)) * (os.cpu_count() or 1)


def duration(seconds: float) -> str:
    """As "1 h 05 min", "12 min" or "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def run(name: str, folder: Path, state: Path, *, quick: bool) -> str:
    """Run one script to its end; why it failed, or an empty string."""
    result, log = state / f"{name}.json", state / f"{name}.log"
    command = [sys.executable, str(folder / f"{name}.py"), "--json", str(result), "--resume"]
    command += ["--threads", str(THREADS.get(name, 1)), *(["--quick"] if quick else [])]
    lines: list[str] = []
    with log.open("a") as file:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in child.stdout or ():
                file.write(line)
                file.flush()
                lines.append(line)
                if line.startswith("... "):
                    print(f"    {line.rstrip()}", flush=True)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if result.exists():  # a tolerance that we missed is a result, and the row says so
        if json.loads(result.read_text())["rows"]:
            return ""
        result.unlink()
        return "it has measured nothing: are its data where its first lines say?\n"
    return f"exit status {code}\n" + "".join(f"    | {line}" for line in lines[-LAST_LINES:])


def remarks(name: str, about: dict[str, Any], published: Path) -> list[str]:
    """What a reader of a script's results has to know: absent peers, and tolerances that we missed."""
    rows, found = about["rows"], []
    absent = {row["peer"] for row in rows if "raised ModuleNotFoundError" in row["note"]}
    old = published / f"{name}.json"
    if old.exists():
        measured = {row["peer"].split()[0] for row in json.loads(old.read_text())["rows"]}
        absent |= measured - {row["peer"].split()[0] for row in rows}
    if absent:
        found.append(f"{name}: not measured, because not installed or left out: {', '.join(sorted(absent))}")
    found += [
        f"{name}: numsolve missed the tolerance in {row['case']!r}"
        for row in rows
        if "numsolve missed" in row["note"]
    ]
    return list(dict.fromkeys(found))


def publish(names: list[str], state: Path, into: Path, mark: str) -> None:
    """Move all results to the documentation: first all beside their places, then all into them."""
    into.mkdir(parents=True, exist_ok=True)
    for name in names:
        about = json.loads((state / f"{name}.json").read_text())
        rows = about.pop("rows")
        text = json.dumps(about | {"commit": mark, "rows": rows}, indent=1, allow_nan=False)
        (into / f"{name}.json.new").write_text(text + "\n")
    for name in names:
        (into / f"{name}.json.new").replace(into / f"{name}.json")


def campaign(options: argparse.Namespace) -> int:
    """Go on with the campaign, or begin one; the exit status."""
    state: Path = options.state / ("quick" if options.quick else "full")
    times_file = options.state / "seconds.json"
    every = scripts(options.scripts)
    if unknown := set(options.names) - set(every):
        print(f"There is no {', '.join(sorted(unknown))} here, only {', '.join(every)}.")
        return 2
    if options.restart:
        shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    about, now = state / "about", identity(quick=options.quick)
    if about.exists():
        begun = json.loads(about.read_text())
        if other := differences(begun["identity"], now):
            print(f"A campaign was begun on {begun['date']} with something else:")
            print("\n".join(f"    {line}" for line in other))
            print("Go back to that, or measure everything again: make benchmarks ARGS=--restart")
            return 2
    else:
        about.write_text(json.dumps({"date": date.today().isoformat(), "identity": now}, indent=1))

    last: dict[str, float] = json.loads(times_file.read_text()) if times_file.exists() else {}
    wanted = options.names or every
    left = [name for name in wanted if not (state / f"{name}.json").exists()]
    known = sum(last.get(name, 0.0) for name in left)
    strange = sum(name not in last for name in left)
    print(f"{len(wanted) - len(left)} of {len(wanted)} scripts are finished, {len(left)} are left.", end=" ")
    print(f"Those measured before took {duration(known)}; {strange} have no time yet.", flush=True)

    failures: dict[str, str] = {}
    for name in left:
        before = f", {duration(last[name])} last time" if name in last else ""
        print(f"{name}{before}", flush=True)
        if (load := busy_cores()) > BUSY:
            print(
                f"    WARNING: others keep {load:.1f} cores busy; these times will not be clean.", flush=True
            )
        fresh, start = not (state / f"{name}.cases").exists(), time.monotonic()
        why = run(name, options.scripts, state, quick=options.quick)
        seconds = time.monotonic() - start
        if why:
            failures[name] = why
            print(f"    FAILED after {duration(seconds)}", flush=True)
            continue
        print(f"    finished in {duration(seconds)}", flush=True)
        if fresh and not options.quick:  # an interrupted one has no time of its own
            last[name] = seconds
            times_file.write_text(json.dumps(last, indent=1))

    finished = [name for name in every if (state / f"{name}.json").exists()]
    for name in finished:
        for remark in remarks(name, json.loads((state / f"{name}.json").read_text()), options.into):
            print(remark)
    for name, why in failures.items():
        print(f"{name} failed: {why.rstrip()}\n    all of it: {state / name}.log")
    if failures or len(finished) < len(every):
        print(
            f"{len(finished)} of {len(every)} scripts are finished. Nothing was moved; the next call goes on."
        )
        return 1 if failures else 0
    if options.quick:
        print(f"All have run. Quick results stay in {state}.")
        return 0
    publish(every, state, options.into, now["commit"])
    shutil.rmtree(state)
    print(f"{len(every)} results of {now['commit'][:9]} moved to {options.into}.")
    return 0


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="measure every script of benchmarks/peers, and resume")
    parser.add_argument("names", nargs="*", help="scripts to run now (all)")
    parser.add_argument("--restart", action="store_true", help="throw away what is measured")
    parser.add_argument("--quick", action="store_true", help="small sizes; never moved to the documentation")
    parser.add_argument("--scripts", type=Path, default=HERE, help="folder of the scripts")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "benchmarks", help="where results go")
    parser.add_argument(
        "--state", type=Path, default=ROOT / "benchmarks" / ".campaign", help="where they wait"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the script under way is ended, too
    try:
        sys.exit(campaign(parser.parse_args()))
    except KeyboardInterrupt:
        print("\nInterrupted. The next call goes on with the case that was under way.")
        sys.exit(130)


if __name__ == "__main__":
    main()
