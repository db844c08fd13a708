"""Where things are, and how programs are run and ended."""

import hashlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Everything that is made here: sources, seeded sites, rclone, the folders of single runs.
HOME = TARGET / "bench"
DOCS = ROOT / "docs/benchmarks"
KEY = "key-of-the-benchmark"
FOLDER = "bench"
MIB = 1 << 20
# The longest that one command, or the rest of an upload behind it, may take.
PATIENCE = 1800


class Wrong(Exception):
    """A measurement that means nothing: bytes are missing, or a mount did not come about."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **more):
    """Runs a program to its end; what it says goes with the exception when it fails."""
    more = {"check": True, "timeout": PATIENCE, **more}
    return subprocess.run([str(word) for word in command], **more)


def output(*command, **more):
    return run(*command, capture_output=True, text=True, **more).stdout


def stop(process):
    """Ends a process that we started, kindly at first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def digest(path):
    """MD5 of a file, of which many do not fit the memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() if hasattr(hashlib, "file_digest") else slow(file)


def slow(file):
    md5 = hashlib.md5()
    while piece := file.read(MIB):
        md5.update(piece)
    return md5.hexdigest()


def cpu_seconds(pid):
    """Processor time of a process, in user and system mode."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid):
    """The largest resident size of a process so far."""
    return status_mib(pid, "VmHWM:")


def resident_mib(pid):
    """Its resident size now."""
    return status_mib(pid, "VmRSS:")


def status_mib(pid, field):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(field)[2].split()[0]) / 1024
