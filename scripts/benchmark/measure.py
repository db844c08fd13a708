"""One measurement: a site, a mount or the bare limit, a command, and the comparison of what came of it."""

import contextlib
import json
import os
import pathlib
import tempfile
import time

from . import memory, sides
from .base import HOME, Wrong, output
from .planting import LARGE, offsets
from .site import Site, copy_of

# What /admin/stats counts besides requests by kind.
TOTALS = ("api_requests", "storage_requests", "bytes_uploaded", "bytes_downloaded", "refused", "line_in", "line_out")


def measure(scenario, side):
    """Seconds, processor time, memory and requests of one run of `side`."""
    source = side.source or scenario.source
    if scenario.memory_counts:
        memory.settle(source.path)
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=HOME, prefix="run-")))
        data = copy_of(scenario.seed.site, scratch / "site") if scenario.seed else None
        site = stack.enter_context(Site(side.checksums or scenario.checksums, data))
        site.slow_down(scenario.latency_ms, scenario.bandwidth_mbit)
        run = Run(scenario, side, source, site, scratch)
        load = os.getloadavg()[0]
        measured = run.bare() if side.kind == "bare" else run.mounted(stack)
    return {**measured, "files": source.files, "bytes": source.bytes, "load": load}


class Run:
    def __init__(self, scenario, side, source, site, scratch):
        self.scenario, self.side, self.source, self.site, self.scratch = scenario, side, source, site, scratch
        self.offsets = offsets(source, scenario.reads) if scenario.reads else ""

    def bare(self):
        before, idle = self.site.requests(), self.site.cpu_seconds()
        fill = {"source": self.source.path, "offsets": self.offsets}
        told = json.loads(output(*self.side.bare_command(self.site, fill)))
        emulator = self.site.cpu_seconds() - idle
        self.compare()
        return {**told, "requests": self.difference(before), "emulator_cpu": emulator}

    def mounted(self, stack):
        scenario, side, site = self.scenario, self.side, self.site
        backing = self.scratch / "backing"
        backing.mkdir()
        start = time.monotonic()
        before = site.requests()
        mount = stack.enter_context(side.mount(site, self.scratch, backing))
        cpu = 0
        if not scenario.from_mount:
            if scenario.prepare:
                self.shell(scenario.prepare, mount.point)
                mount.forget_pages(LARGE)
            before, cpu, start = site.requests(), mount.cpu_seconds(), time.monotonic()
        idle = site.cpu_seconds()
        self.shell(side.shell or scenario.shell, mount.point)
        end = self.arrival(mount, before) or time.monotonic()
        measured = {"seconds": end - start, "cpu": mount.cpu_seconds() - cpu, "peak_mib": mount.peak_mib(),
                    "emulator_cpu": site.cpu_seconds() - idle}
        if side.kind == "filescomfs" and scenario.after:
            self.shell(scenario.after, mount.point)
        if scenario.ends == "as shown":
            site.wait_until_it_shows(mount.sizes())
        elif side.kind == "filescomfs" and scenario.ends == "arrived":
            # What close or sync promised is true before anybody unmounts.
            self.compare()
        mount.end()
        # A pass-through has no site behind it.
        if side.kind != "passthrough":
            self.compare()
        # Whatever a mount still asked for after the clock stopped is asked for all the same.
        return {**measured, "requests": self.difference(before)}

    def shell(self, command, point):
        environment = sides.environment(self.source, point, self.offsets)
        return output("bash", "-euo", "pipefail", "-c", command, env=environment)

    def arrival(self, mount, before):
        """When the site had everything, where that is later than the end of the command."""
        if self.side.kind != "rclone":
            return None
        if self.scenario.ends == "arrived":
            return self.site.wait_for(self.source.files, self.source.bytes, before)
        if self.scenario.ends == "as shown":
            return self.site.wait_until_it_shows(mount.sizes())
        if self.scenario.ends == "gone":
            return self.site.wait_until_it_shows({})
        return None

    def compare(self):
        """The site holds what it should, byte by byte."""
        if self.scenario.ends == "as shown":
            # The names in a repository are digests of content, and its programs check them.
            if len(self.site.stored()) <= self.scenario.seed.files:
                raise Wrong("nothing arrived")
        else:
            gone = {"gone": {}, "unchanged": self.scenario.seed and self.scenario.seed.digests}
            self.site.must_hold(gone[self.scenario.ends] if self.scenario.ends in gone else self.source.digests)

    def difference(self, before):
        now = self.site.requests()
        return {kind: count - before.get(kind, 0) for kind, count in now.items() if count != before.get(kind, 0)}
