"""What grows with the number of files: a mount that knows many entries and owes many files, at two sizes.

Neither latency nor a limit of bandwidth: it is the work of this machine that is looked at. A site holds folders of
1,000 files. A mount looks at all of them, keeps a tenth as many new files while the storage does not answer, is killed,
mounted again, and sends what it owes. If a step takes more than four times as long where there is four times as much,
something is worse than linear.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import tempfile
import time

from .base import DOCS, FOLDER, HOME, Wrong, output, resident_mib, run, say
from .goals import Verdict
from .sides import ours, rclone
from .site import Site
from .tools import circumstances, program

NUMBER = "16"
# Files of one folder.
FILES = 1000
# Nobody waits that long: the storage does not answer.
NEVER_MS = 3_600_000
WRITERS = 16
# The steps whose times are compared. What they do grows with what is known, or with what is owed.
STEPS = {
    "mount": "`mount` until it answers",
    "find": "`find` over everything, cold",
    "known": "`status`, everything known, nothing owed",
    "keep": "a tenth as many files written and closed, while the storage does not answer",
    "owed": "`status`, all of these owed",
    "recover": "`mount` after SIGKILL, until `status` shows all of them owed",
    "sync": "`sync` of all of them",
}
MEMORY = [
    ("memory per known entry", "bytes_an_entry", "bytes"),
    ("peak memory, with all that is owed", "peak_mib", "MiB"),
    ("peak memory of rclone, after the same `find`", "rclone_peak_mib", "MiB"),
]
TIMES_AS_MANY = 4
# A step that takes so much longer for each entry is worse than linear.
LINEAR = 1.5
# What takes less is not compared: it is the start of a program.
LEAST_SECONDS = 0.1
BYTES_AN_ENTRY = 400


def measure(wanted, folder=DOCS):
    """Both sizes, the smaller one first; kept in growth.json."""
    most = 8 * FILES if wanted.quick else max(8 * FILES, round(1_000_000 * wanted.scale))
    sizes = [one_size(entries) for entries in (most // TIMES_AS_MANY, most)]
    found = {"measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "with": circumstances(), "sizes": sizes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "growth.json").write_text(json.dumps(found, indent=1) + "\n")


def load(folder=DOCS):
    path = folder / "growth.json"
    return json.loads(path.read_text()) if path.exists() else None


def one_size(entries):
    folders, owed = entries // FILES, entries // 10
    # With the folder that is mounted.
    shown = folders * FILES + folders + 1
    with tempfile.TemporaryDirectory(dir=HOME, prefix="run-") as scratch, Site() as site:
        site.ask("POST", "/admin/tree", {"path": FOLDER, "folders": folders, "files": FILES, "bytes": 1})
        found = {"entries": shown, "owed": owed, "load": os.getloadavg()[0],
                 **ours_with(site, pathlib.Path(scratch), shown, owed),
                 "rclone_peak_mib": rclones_peak(site, pathlib.Path(scratch, "rclone"), shown + len(new(owed)) + owed)}
    told = ", ".join(f"{step} {taken:.2f} s" for step, taken in found["seconds"].items())
    say(f"{NUMBER} {shown:,} entries: {found['bytes_an_entry']:.0f} bytes each, peak {found['peak_mib']:.0f} MiB, "
        f"rclone {found['rclone_peak_mib']:.0f} MiB; {owed:,} owed; {told}")
    return found


def ours_with(site, scratch, shown, owed):
    # Known is what stays known; and all that is owed has room.
    side = ours(close="journaled", flags=("--dir-ttl", "1h", "--cache-size", "20G"))
    seconds = {}
    site.ask("POST", "/admin/settings", {"storage_latency_ms": NEVER_MS})
    with clock(seconds, "mount"):
        mount = side.mount(site, scratch, None).__enter__()
    with killed(mount):
        least = resident_mib(mount.process.pid)
        with clock(seconds, "find"):
            find(mount.point, shown)
        bytes_an_entry = (resident_mib(mount.process.pid) - least) * (1 << 20) / shown
        with clock(seconds, "known"):
            must_owe(mount, 0)
        with clock(seconds, "keep"):
            keep(mount.point, owed)
        with clock(seconds, "owed"):
            must_owe(mount, owed)
        peak = mount.peak_mib()
    start = time.monotonic()
    with killed(side.mount(site, scratch, None).__enter__()) as mount:
        until_owed(mount, owed)
        seconds["recover"] = time.monotonic() - start
    site.ask("POST", "/admin/settings", {"storage_latency_ms": 0})
    before = site.requests().get("complete", 0)
    with side.mount(site, scratch, None) as mount:
        with clock(seconds, "sync"):
            output(program("filescomfs"), "sync", mount.point)
        if (arrived := site.requests()["complete"] - before) != owed:
            raise Wrong(f"sync has answered, and {arrived} of {owed} files arrived")
        mount.end()
    return {"seconds": seconds, "bytes_an_entry": bytes_an_entry, "peak_mib": peak}


def rclones_peak(site, scratch, shown):
    """Of the same look at everything."""
    scratch.mkdir()
    with rclone("--dir-cache-time", "1h").mount(site, scratch, None) as mount:
        find(mount.point, shown)
        peak = mount.peak_mib()
        mount.end()
    return peak


@contextlib.contextmanager
def clock(seconds, step):
    start = time.monotonic()
    yield
    seconds[step] = time.monotonic() - start


@contextlib.contextmanager
def killed(mount):
    """In the end the mount is killed, and its place is free for the next one."""
    try:
        yield mount
    finally:
        mount.process.kill()
        mount.process.wait()
        run("fusermount3", "-uz", mount.point)
        mount.__exit__()
        mount.point.rmdir()


def find(point, shown):
    found = int(output("bash", "-c", 'set -o pipefail; find "$0" | wc -l', point))
    if found != shown:
        raise Wrong(f"find shows {found} of {shown} entries")


def new(count):
    """The folders of so many new files."""
    return ["new", *(f"new/{n}" for n in range(-(-count // FILES)))]


def keep(point, count):
    """Writes small new files."""
    def write(n):
        (point / f"new/{n // FILES}/{n % FILES}").write_bytes(b"new")

    for folder in new(count):
        (point / folder).mkdir()
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for _ in writers.map(write, range(count)):
            pass


def owes(mount):
    return json.loads(output(program("filescomfs"), "status", "--json", mount.point))["owed"]["files"]


def must_owe(mount, files):
    if (found := owes(mount)) != files:
        raise Wrong(f"{found} files are owed, not {files}")


def until_owed(mount, files):
    limit = time.monotonic() + 600
    while owes(mount) != files:
        if time.monotonic() > limit:
            raise Wrong(f"{owes(mount)} files are owed again, not {files}")
        time.sleep(0.02)


def verdicts(found):
    """Those of the larger size, and of the growth from the smaller to the larger."""
    if not found:
        return []
    few, many = found["sizes"]
    growth = {step: many["seconds"][step] / few["seconds"][step] / TIMES_AS_MANY for step in STEPS
              if many["seconds"][step] >= LEAST_SECONDS}
    worst = max(growth, key=growth.get, default=None)
    told = f"{growth[worst]:.2f} at most, in {STEPS[worst]}" if growth else ""
    return [
        Verdict(NUMBER, f"bytes of memory per known entry <= {BYTES_AN_ENTRY}", [many["bytes_an_entry"]], BYTES_AN_ENTRY),
        Verdict(NUMBER, "peak memory <= 0.5 x rclone", [many["peak_mib"] / many["rclone_peak_mib"]], 0.5),
        Verdict(NUMBER, f"nothing worse than linear: {TIMES_AS_MANY} times as many, time per file <= {LINEAR} x",
                [growth[worst]] if growth else [], LINEAR, told=told),
    ]
