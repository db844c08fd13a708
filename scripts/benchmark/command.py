"""The command: what is measured, in which order, and what is told at the end."""

import argparse
import signal
import subprocess
import sys
import time

from . import growth, plots, report, results, tools
from .base import DOCS, HOME, Wrong, say
from .goals import verdicts
from .measure import measure
from .scenarios import scenarios

ORDERS_TO_END = (signal.SIGTERM, signal.SIGHUP)
# Where a goal takes its values from the runs of another scenario.
TAKEN_FROM = {"5": {"2", "3", "4"}, "13": {"1"}, "11": {"11a", "11b"}, "12": {"12a", "12b"}}
# Goals of numbers of requests: these hold on any machine.
COUNTED = ("requests per small new file", "one page per")


def arguments(about):
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="small sizes, once: does everything run, do the numbers of requests hold? Keeps no results")
    parser.add_argument("--only", metavar="N,N", help="these scenarios alone; the others keep their results")
    parser.add_argument("--sides", metavar="NAME,NAME", help="these sides alone; keeps no results")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="sizes and counts times X [default: 1]")
    parser.add_argument("--repetitions", type=int, metavar="N", help="how often each is measured [default: 5]")
    parser.add_argument("--latency-ms", type=int, default=40, metavar="MS", help="of every request [default: 40]")
    parser.add_argument("--bandwidth-mbit", type=float, default=1000, metavar="MBIT",
                        help="of each direction; 0: no limit [default: 1000]")
    parser.add_argument("--no-build", action="store_true", help="takes the programs as they were built before")
    parser.add_argument("--report", action="store_true", help="measures nothing; makes tables and plots again")
    return parser.parse_args()


def main(about):
    wanted = arguments(about)
    for number in ORDERS_TO_END:
        signal.signal(number, end)
    folder = HOME / "quick" if wanted.quick else DOCS
    if not wanted.report:
        tools.prepare(build=not wanted.no_build)
        tools.rclone()
        kept = measure_all(wanted, folder)
    else:
        kept = results.load(folder)
    failed = getattr(wanted, "failed", False)
    if wanted.sides:
        return int(failed)
    print(report.write(kept, folder))
    plots.draw(kept, folder)
    say(f"written to {folder}")
    return int(failed or bool(wanted.quick and faults(kept)))


def end(*_):
    """An order to end unwinds like an error does, so that nothing stays mounted; and only the first one."""
    for number in ORDERS_TO_END:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(1)


def measure_all(wanted, folder):
    kept = {} if wanted.quick else results.load(folder)
    repetitions = wanted.repetitions or (1 if wanted.quick else 5)
    only = {n for n in (wanted.only or "").split(",") if n}
    only = set().union(*(TAKEN_FROM.get(n, {n}) for n in only))
    names = wanted.sides.split(",") if wanted.sides else None
    for scenario in scenarios(wanted):
        if only and scenario.number not in only:
            continue
        scenario.sides = [side for side in scenario.sides if not names or side.name in names]
        taken = attempt(wanted, scenario.number, lambda: take_turns(scenario, repetitions))
        if not taken:
            continue
        kept[scenario.number] = results.record(scenario, taken, wanted.scale)
        if not names:
            # What was measured is kept, whatever happens to the rest.
            results.save(kept, folder)
    if not names and (not only or growth.NUMBER in only):
        attempt(wanted, growth.NUMBER, lambda: growth.measure(wanted, folder))
    return dict(sorted(kept.items(), key=lambda item: results.place(item[0])))


def attempt(wanted, number, work):
    """What `work` answers. Where it fails, the other scenarios may still tell something."""
    try:
        return work()
    except (Wrong, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        say(f"scenario {number} FAILED: {reason(error)}")
        wanted.failed = True
        return None


def take_turns(scenario, repetitions):
    """Runs by name of the side; another one begins each time."""
    taken = {side.name: [] for side in scenario.sides}
    for n in range(repetitions):
        first = n % len(scenario.sides)
        for side in scenario.sides[first:] + scenario.sides[:first]:
            began = time.monotonic()
            run = measure(scenario, side)
            taken[side.name].append(run)
            say(f"{scenario.number}.{n + 1} {side.name}: {run['seconds']:.3f} s, CPU {run['cpu']:.2f} s, "
                f"peak {run['peak_mib']:.0f} MiB, emulator CPU {run['emulator_cpu']:.2f} s, "
                f"{report.calls(run['requests'])} ({time.monotonic() - began:.0f} s in all)")
    return taken


def faults(kept):
    """What does not hold that has to hold on any machine."""
    found = [f"scenario {number}: {fault}" for number, scenario in kept.items()
             for side in scenario["sides"].values() for run in side["runs"] for fault in run["faults"]]
    found += [f"scenario {verdict.number}: {verdict.words}: {verdict.told}" for verdict in verdicts(kept)
              if verdict.met is False and any(word in verdict.words for word in COUNTED)]
    for fault in dict.fromkeys(found):
        say(f"not as promised: {fault}")
    return found


def reason(error):
    """In words, with what the program said that failed."""
    said = getattr(error, "stderr", None) or ""
    return f"{error} {said if isinstance(said, str) else said.decode(errors='replace')}".strip()


def guarded(about):
    """main, with one line in place of a traceback for what is foreseen."""
    try:
        return main(about)
    except (Wrong, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return reason(error)
    except KeyboardInterrupt:
        return 130
