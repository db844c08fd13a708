"""The goals, and whether the results meet them. A goal is never loosened: it is met, or it is missed.

A ratio is made run by run, of two sides that took turns, and its median counts. Below, `results` are scenarios by
number as results.py keeps them.
"""

import dataclasses
import statistics

from .checks import OF_A_FOLDER

OURS = "filescomfs"
# Scenarios of small new files.
SMALL_FILES = ("2", "3", "4")


@dataclasses.dataclass
class Verdict:
    number: str
    words: str
    # One value for each run; empty: not measured.
    values: list
    limit: float = None
    # The goal is a least, not a most.
    least: bool = False
    # Words in place of values.
    told: str = ""
    unit: str = ""

    @property
    def value(self):
        return statistics.median(self.values) if self.values else None

    @property
    def met(self):
        if self.value is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit

    def taken_from(self, results):
        """The scenarios whose runs it is about, of those that were measured."""
        wanted = {"5": SMALL_FILES, "13": ("1",), "14": tuple(results)}.get(self.number, (self.number,))
        return [number for number in wanted if number in results] if self.values else []


def ratios(results, number, ours, theirs, quantity="seconds", per_file=False):
    """`ours` / `theirs`, run by run."""
    sides = results.get(number, {}).get("sides", {})
    if ours not in sides or theirs not in sides:
        return []
    values = [[value(run, quantity, sides[name]["once"] if per_file else 0, per_file) for run in sides[name]["runs"]]
              for name in (ours, theirs)]
    return [one / other for one, other in zip(*values) if other]


def value(run, quantity, once, per_file):
    found = run["requests"].get(quantity, 0) if quantity.startswith("line_") else run[quantity]
    return (found - once) / run["files"] if per_file else found


def verdicts(results):
    """Every goal, in the order of the scenarios."""
    def ratio(number, theirs, limit, words=None, ours=OURS, **more):
        least = more.pop("least", False)
        values = ratios(results, number, ours, theirs, **more)
        if least:
            values = [1 / value for value in values]
        mine = "" if ours == OURS else f"{ours.removeprefix('filescomfs, ')}: "
        words = words or f"{mine}time {'>=' if least else '<='} {limit:g} x {theirs}"
        return Verdict(number, words, values, limit, least)

    found = [
        ratio("1", "bare", 1.10), ratio("1", "rclone", 0.5),
        ratio("2", "bare", 1.25, ours="filescomfs, 16 at once"), ratio("2", "rclone", 0.08), ratio("2", "rclone --transfers 16", 0.25),
        ratio("3", "filescomfs, digests", 1.05, "as quick as with digests (time <= 1.05 x)"),
        ratio("3", "rclone", 0.02, "time per file <= 0.02 x rclone", per_file=True),
        ratio("4", "filescomfs, one cp", 0.15, "time per file <= 0.15 x one `cp` alone", per_file=True),
        ratio("4", "bare", 1.3),
        requests_per_file(results),
        pages(results, "6"), ratio("6", "rclone", 0.3),
        ratio("7", "rclone", 0.25),
        ratio("8", "rclone", 0.3, "close=journaled and sync: time <= 0.3 x rclone"),
        ratio("8", "rclone", 0.3, ours="filescomfs, verified"),
        ratio("9", "bare", 1.15), ratio("9", "rclone", 0.7),
        ratio("10", "bare", 1.2),
        ratio("10", "rclone", 2, "bytes fetched <= 2 x rclone", quantity="line_out"),
        ratio("11a", "rclone", 0.6, "close=journaled and sync: time <= 0.6 x rclone"),
        ratio("11a", "rclone", 0.6, ours="filescomfs, verified"),
        ratio("11a", "rclone", 0.6, ours="filescomfs, verified, 8 packs at once"),
        ratio("11b", "rclone", 0.6),
        ratio("12a", "pass-through", 0.7, "throughput >= 0.7 x pass-through", least=True),
        ratio("12b", "pass-through", 0.7, "throughput >= 0.7 x pass-through", least=True),
        dataclasses.replace(ratio("1", "rclone", 0.5, "CPU per GiB verified <= 0.5 x rclone", quantity="cpu"),
                            number="13"),
        memory(results),
        first_look(results),
    ]
    return found


def runs(results, number, side=OURS):
    return results.get(number, {}).get("sides", {}).get(side, {}).get("runs", [])


def requests_per_file(results):
    """Of scenarios 2 to 4, whose files lie in one folder: all that was asked for, divided by files.

    Left out are listings, and what is the folder's or the mount's: changes of its time, as many as checks.py allows,
    and one question for the room that is left. 3.0 means begin, PUT, complete.
    """
    values, beside = [], []
    for number in SMALL_FILES:
        for run in runs(results, number):
            requests = run["requests"]
            total = requests.get("api_requests", 0) + requests.get("storage_requests", 0)
            own = {"list": requests.get("list", 0), "usage": min(1, requests.get("usage", 0)),
                   "patch": min(OF_A_FOLDER, requests.get("patch", 0))}
            beside.append(sum(own.values()))
            values.append((total - beside[-1]) / run["files"])
    told = f"{max(values):.3f} at most, and {max(beside)} of the folder" if values else ""
    worst = [max(values)] if values else []
    return Verdict("5", "3.0 requests per small new file, and listings", worst, 3.0, told=told)


def pages(results, number):
    faults = [fault for run in runs(results, number) for fault in run["faults"]]
    values = [len(faults)] if runs(results, number) else []
    lists = {run["requests"].get("list", 0) for run in runs(results, number)}
    told = "; ".join(sorted(set(faults))) or f"{', '.join(map(str, sorted(lists)))} listings, nothing per file"
    return Verdict(number, "one page per 1,000 entries per folder, nothing per file", values, 0, told=told)


def memory(results):
    """The largest ratio of all scenarios: peaks of a scenario are those of its highest run."""
    peaks = {}
    for number, scenario in results.items():
        top = {name: max(run["peak_mib"] for run in side["runs"])
               for name, side in scenario["sides"].items() if name in (OURS, "rclone")}
        if len(top) == 2:
            peaks[number] = top[OURS] / top["rclone"]
    worst = max(peaks, key=peaks.get, default=None)
    told = ""
    if peaks:
        over = [number for number in peaks if peaks[number] > 0.5]
        told = f"{peaks[worst]:.2f} at most, in {worst}" + (f"; over 0.5 in {', '.join(over)}" if over else "")
    return Verdict("14", "peak memory <= 0.5 x rclone, everywhere but in 16", [peaks[worst]] if peaks else [], 0.5, told=told)


def first_look(results):
    scenario = results.get("15", {})
    limit = 3 * scenario.get("latency_ms", 40) / 1000 + 0.1
    values = [run["seconds"] for run in runs(results, "15")]
    return Verdict("15", f"3 round trips and 100 ms: <= {limit:.2f} s", values, limit, unit=" s")
