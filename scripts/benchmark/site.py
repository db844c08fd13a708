"""An emulated site: an emulator with a stated latency and bandwidth, and the door that its operator has.

A site is seeded once, in a folder, and every run gets a copy of that folder: its content as hard links, since the
emulator never writes into a file that it has stored.
"""

import http.client
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.parse

from .base import FOLDER, HOME, KEY, ROOT, Wrong, cpu_seconds, digest, stop
from .tools import program

# What has not moved for so many seconds is not on its way any more.
STALL = 120


class Site:
    """A running emulator. `data` is a folder of it, or None for a site in memory."""

    def __init__(self, checksums="md5,crc32", data=None):
        command = [program("filescom-emulator"), "--api-key", KEY, "--checksums", checksums]
        # The log of requests is not looked at, and a large one costs memory and time.
        command += ["--settings", json.dumps({"log_length": 0})]
        command += ["--data", data] if data else []
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise Wrong("the emulator did not start")
        self.door = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc)
        if not data:
            self.api("POST", f"folders/{FOLDER}", {})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.door.close()
        stop(self.process)
        self.process.stdout.close()

    def ask(self, method, path, body=None, headers=()):
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Content-Type": "application/json", **dict(headers)}
        self.door.request(method, path, raw, headers)
        answer = self.door.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise Wrong(f"{method} {path}: {answer.status} {content[:200]!r}")
        return json.loads(content) if content else None

    def api(self, method, path, body):
        return self.ask(method, "/api/rest/v1/" + urllib.parse.quote(path), body, {"X-FilesAPI-Key": KEY})

    def slow_down(self, latency_ms, bandwidth_mbit):
        """Seeding is over: from here on every request takes its time, and counts."""
        bits = int(bandwidth_mbit * 1e6) if bandwidth_mbit else None
        self.ask("POST", "/admin/settings",
                 {"latency_ms": latency_ms, "storage_latency_ms": latency_ms, "bandwidth_bits": bits})

    def requests(self):
        """Counters since the start: requests by kind, and bytes."""
        return self.ask("GET", "/admin/stats")

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def stored(self):
        """Size and MD5 by path below the folder."""
        files = self.ask("GET", "/admin/files")
        return {path.removeprefix(f"{FOLDER}/"): (file["size"], file["md5"]) for path, file in files.items()}

    def wait_for(self, files, size, before):
        """The moment at which so many more files and bytes than `before` had arrived."""
        limit, last = time.monotonic() + STALL, None
        while time.monotonic() < limit:
            now = self.requests()
            more = {kind: now.get(kind, 0) - before.get(kind, 0) for kind in ("complete", "bytes_uploaded")}
            if more["complete"] >= files and more["bytes_uploaded"] >= size:
                return time.monotonic()
            if now != last:
                limit, last = time.monotonic() + STALL, now
            time.sleep(0.02)
        raise Wrong(f"{more['complete']} of {files} files arrived, and for {STALL} s nothing more")

    def wait_until_it_shows(self, sizes):
        """The moment at which it had just these files, by path and size."""
        limit = time.monotonic() + STALL
        while True:
            now = time.monotonic()
            found = {path: size for path, (size, _) in self.stored().items()}
            if found == sizes:
                return now
            if now > limit:
                raise Wrong(f"the site shows other files than the mount: {sorted(set(found) ^ set(sizes))[:3]}")
            time.sleep(0.1)

    def must_hold(self, wanted):
        """Every file of `wanted`, by path and MD5, and nothing else."""
        limit = time.monotonic() + 60
        while True:
            found = {path: md5 for path, (_, md5) in self.stored().items()}
            if found == wanted:
                return
            if time.monotonic() > limit:
                differing = [path for path in {**wanted, **found} if wanted.get(path) != found.get(path)]
                raise Wrong(f"{len(differing)} files differ on the site, {differing[0]} is one")
            time.sleep(0.1)


def digests(folder):
    return {str(path.relative_to(folder)): digest(path) for path in folder.rglob("*") if path.is_file()}


def seeded(source):
    """The folder of a site that holds `source`, as an earlier backup left it, with its modification times."""
    # A site that another version of the emulator wrote may not be readable any more.
    folder = HOME / "sites" / f"{source.name}-{digest(ROOT / 'src/emulator/persist.rs')[:8]}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with Site(data=folder) as site:
            site.api("POST", f"folders/{FOLDER}", {})
            seed(site, source)
        (folder / "done").touch()
    return folder


def seed(site, source):
    paths = sorted(source.rglob("*"))
    name = lambda path: str(pathlib.PurePosixPath(FOLDER, path.relative_to(source)))
    for path in paths:
        if path.is_file():
            site.ask("PUT", "/admin/files/" + urllib.parse.quote(name(path)), path.read_bytes())
        elif not any(path.iterdir()):
            site.api("POST", f"folders/{name(path)}", {"mkdir_parents": True})
    # Folders last: every change below moves their times.
    for path in sorted(paths, key=lambda path: path.is_dir()) + [source]:
        mtime = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))
        site.api("PATCH", "files/" + name(path), {"provided_mtime": mtime})


def copy_of(folder, to):
    """A site of its own for one run."""
    (to / "content").mkdir(parents=True)
    for entry in os.scandir(folder / "content"):
        os.link(entry.path, to / "content" / entry.name)
    for path in folder.glob("index.sqlite*"):
        shutil.copy(path, to / path.name)
    return to
