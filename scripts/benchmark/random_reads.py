"""Reads 4 KiB at each offset of a list, from a file on a mount, and compares them with the source.

Usage: random_reads.py SOURCE FILE OFFSETS
"""

import os
import sys

SIZE = 4096


def main(source, there, offsets):
    with open(offsets) as file:
        places = [int(line) for line in file]
    here, there = os.open(source, os.O_RDONLY), os.open(there, os.O_RDONLY)
    got = [os.pread(there, SIZE, place) for place in places]
    if got != [os.pread(here, SIZE, place) for place in places]:
        sys.exit("other bytes than those that were stored")


if __name__ == "__main__":
    main(*sys.argv[1:])
