"""What is backed up: files of bytes that repeat nothing. Made once, and kept below target/bench.

A source is made when it is first needed; `--only` asks for few.
"""

import dataclasses
import functools
import os
import pathlib
import random
import shutil

from .base import HOME, MIB, run
from .site import digests, seeded

# The one file of a source of one file.
LARGE = "file00000.dat"
# An age that nobody takes for new.
LONG_AGO = 1_600_000_000


class Planted:
    """A folder that stays for the next run, at `path`."""

    @functools.cached_property
    def digests(self):
        return digests(self.path)

    @functools.cached_property
    def site(self):
        return seeded(self.path)


@dataclasses.dataclass(frozen=True)
class Source(Planted):
    """`files` files of `size` bytes each in `folders` folders; with 0 folders, beside each other."""

    files: int
    size: int
    folders: int = 0

    @property
    def bytes(self):
        return self.files * self.size

    @functools.cached_property
    def path(self):
        return made(f"{self.files}x{self.size}" + (f"-{self.folders}" if self.folders else ""), self.fill)

    def fill(self, folder):
        noise = random.Random(folder.name)
        places = [folder / f"folder{n:03}" for n in range(self.folders)] or [folder]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        for n in range(self.files):
            path = places[n % len(places)] / f"file{n:05}.dat"
            with open(path, "wb") as file:
                for start in range(0, self.size, MIB):
                    file.write(noise.randbytes(min(MIB, self.size - start)))
            os.utime(path, (LONG_AGO + n, LONG_AGO + n))
        for n, place in enumerate(sorted({*places, folder})):
            os.utime(place, (LONG_AGO + n, LONG_AGO + n))


@dataclasses.dataclass(frozen=True)
class Repository(Planted):
    """A restic repository, with a backup of `source` or empty, made without a mount."""

    source: Source
    empty: bool = False

    @functools.cached_property
    def path(self):
        return made(f"restic-{self.source.path.name}" + ("-empty" if self.empty else ""), self.fill)

    def fill(self, folder):
        environment = {**os.environ, "RESTIC_PASSWORD": "of no use"}
        restic = ["restic", "--quiet", "--no-cache", "--repo", folder]
        run(*restic, "init", env=environment)
        if not self.empty:
            run(*restic, "backup", self.source.path, env=environment)

    files = property(lambda self: len(self.digests))
    bytes = property(lambda self: sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file()))


def made(name, fill):
    """A folder of this name, filled; what was begun and not ended is begun again."""
    folder = HOME / "sources" / name
    if not folder.exists():
        begun = folder.with_name(f"begun-{name}")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        fill(named(begun, name))
        named(begun, name).rename(folder)
        shutil.rmtree(begun)
    return folder


def named(begun, name):
    folder = begun / name
    folder.mkdir(exist_ok=True)
    return folder


def offsets(source, reads):
    """A file of `reads` places in the one file of `source`, the same for every side."""
    path = HOME / "sources" / f"offsets-{source.path.name}-{reads}"
    dice = random.Random(path.name)
    text = "".join(f"{dice.randrange(0, source.size - 4096) & ~4095}\n" for _ in range(reads))
    path.write_text(text)
    return pathlib.Path(path)
