"""The results as JSON, so that tables and plots can be made again, and single scenarios measured again.

{"scenarios": {NUMBER: {"title", "scale", "latency_ms", "bandwidth_mbit", "measured", "with": {…},
                        "sides": {NAME: {"kind", "flags", "once", "runs": [RUN, …]}}}}}

A run has `seconds`, `cpu` (seconds), `peak_mib`, `emulator_cpu` (seconds), `files`, `bytes`, `load` (of the machine,
when it began), `requests` by kind, and `faults`: requests that are not as promised. A scenario is replaced as a whole: its sides took turns in one run.
"""

import json
import time

from .base import DOCS
from .tools import circumstances


def load(folder=DOCS):
    path = folder / "results.json"
    return json.loads(path.read_text())["scenarios"] if path.exists() else {}


def save(scenarios, folder=DOCS):
    folder.mkdir(parents=True, exist_ok=True)
    ordered = {number: scenarios[number] for number in sorted(scenarios, key=place)}
    part = folder / "results.json.part"
    part.write_text(json.dumps({"scenarios": ordered}, indent=1) + "\n")
    part.rename(folder / "results.json")


def place(number):
    """12a comes after 2."""
    digits = number.rstrip("abc")
    return int(digits), number[len(digits):]


def record(scenario, taken, scale):
    """What is kept of a scenario; `taken` are runs by name of the side."""
    sides = {}
    for side in scenario.sides:
        for run in taken[side.name]:
            faults = scenario.check(run["requests"], side.source or scenario.source) if scenario.check else []
            run["faults"] = faults if side.kind == "filescomfs" else []
        flags = " ".join(map(str, side.flags or side.words)).format(source="SOURCE", offsets="OFFSETS")
        sides[side.name] = {"kind": side.kind, "flags": flags, "once": side.once, "runs": taken[side.name]}
    return {
        "title": scenario.title, "scale": scale, "latency_ms": scenario.latency_ms,
        "bandwidth_mbit": scenario.bandwidth_mbit, "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "with": circumstances(), "sides": sides,
    }
