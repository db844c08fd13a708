"""The machine's memory, in the same state before every run that measures little else.

Memory that was free for a while is dear where the machine is a virtual one: its host gives each page again when it is
touched, which takes several times as long as to copy bytes into it. Who runs first would pay for everybody. So all
memory is made the kernel's cache of a file that nobody needs, as it is on a machine that has been up for a while, and
what a run reads is in memory, too.
"""

import os

from .base import HOME, MIB

# A larger part of the memory than a run takes beside its source, a smaller one than there is.
PART = 0.9


def settle(folder):
    """Fills the memory, and reads the files of `folder` into it."""
    read_all(holes())
    for _ in range(2):
        # What was read twice stays when memory is short.
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                read_all(path)


def holes():
    """A file as large as the memory, that takes no room on the disk."""
    path = HOME / "holes"
    size = int(memory() * PART)
    # Made again, it would give back the memory that it fills.
    if not path.exists() or path.stat().st_size != size:
        path.touch()
        os.truncate(path, size)
    return path


def memory():
    """Bytes that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_all(path):
    buffer = bytearray(MIB)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
