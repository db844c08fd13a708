"""Who is measured: a filesystem with its flags, or the bare limit.

A side has a name, which tables show and goals refer to, and may differ from the scenario's own way in its flags, its
command, or in a smaller source, which is then compared file by file.
"""

import dataclasses
import functools
import os
import pathlib

from . import tools
from .base import FOLDER, KEY
from .mount import Mount

# How many transfers filescomfs and the bare limit have under way where their concurrency is to be equal.
AT_ONCE = 16
# After a file was closed, rclone waits so long before it sends it, unless told otherwise. Seconds.
WRITE_BACK = 5


@dataclasses.dataclass(frozen=True)
class Side:
    name: str
    kind: str
    flags: tuple = ()
    # A shell command in place of the scenario's.
    shell: str = None
    # A source in place of the scenario's, with fewer files.
    source: object = None
    # Seconds that pass once, whatever the number of files: taken off before times per file are compared.
    once: float = 0
    # The digests that the site states, in place of the scenario's.
    checksums: str = None
    # What the bare limit does, in the words of `bare`.
    words: tuple = ()

    def mount(self, site, scratch, backing):
        return {"filescomfs": filescomfs, "rclone": rclone_mount, "passthrough": passthrough}[self.kind](
            self, site, scratch, backing)

    def bare_command(self, site, fill):
        command = [tools.program("bare"), "--site", site.url, "--key", KEY, "--folder", FOLDER]
        return [str(word) for word in command] + [word.format(**fill) for word in self.words]


def filescomfs(side, site, scratch, _):
    command = [tools.program("filescomfs"), "mount", "-f", "--cache-dir", scratch / "cache", *side.flags]
    return Mount([*command, f"{site.url}:/{FOLDER}", scratch / "mnt"], scratch / "mnt", {"FILES_API_KEY": KEY})


def rclone_mount(side, site, scratch, _):
    command = [rclone_path(), "mount", f"emu:{FOLDER}", scratch / "mnt", "--config", "",
               "--cache-dir", scratch / "cache", *side.flags]
    names = {"TYPE": "filescom", "SITE": site.url, "API_KEY": KEY}
    return Mount(command, scratch / "mnt", {f"RCLONE_CONFIG_EMU_{name}": text for name, text in names.items()})


def passthrough(_, __, scratch, backing):
    return Mount([tools.program("passthrough"), backing, scratch / "mnt"], scratch / "mnt", {})


@functools.cache
def rclone_path():
    return tools.rclone()[0]


def ours(name="filescomfs", close="verified", flags=(), **more):
    return Side(name, "filescomfs", ("--close", close, *flags), **more)


def journaled(shell, name="filescomfs", flags=(), **more):
    """close=journaled; the command ends with a `sync`, whose exit code is the one that counts."""
    shell = f'{shell}\n"$FILESCOMFS" sync "$MNT"'
    return ours(name, "journaled", flags, shell=shell, **more)


def rclone(*flags, name=None, mode="writes", **more):
    name = name or " ".join(["rclone", *([f"({mode})"] if mode != "writes" else []), *flags])
    return Side(name, "rclone", ("--vfs-cache-mode", mode, *flags), **more)


def bare(*words, name="bare", at_once=AT_ONCE):
    return Side(name, "bare", words=("--parallel", str(at_once), *words))


def environment(source, point, offsets):
    """What commands see."""
    md5 = next(iter(source.digests.values())) if source.files == 1 else ""
    return {**os.environ, "SRC": str(source.path), "MNT": str(point), "OFFSETS": str(offsets), "MD5": md5,
            "TOOLS": str(pathlib.Path(__file__).parent), "FILESCOMFS": str(tools.program("filescomfs")), "RESTIC_PASSWORD": "of no use",
            # Nothing of a run before.
            "RESTIC_CACHE_DIR": str(point.with_suffix(".restic"))}
