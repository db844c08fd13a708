"""What is measured: things that people do, each with its sides. The numbers are those of docs/performance.md."""

import dataclasses
import shutil

from . import checks
from .base import MIB
from .planting import LARGE, Repository, Source
from .sides import AT_ONCE, WRITE_BACK, Side, bare, journaled, ours, rclone

GIB = 1024 * MIB
KIB = 1024
DIGESTS = "md5,crc32"
NONE = "none"

RSYNC = 'rsync -a "$SRC/" "$MNT/"'
WRITE = f'dd if="$SRC/{LARGE}" of="$MNT/{LARGE}" bs=1M status=none'
READ = f'test "$(dd if="$MNT/{LARGE}" bs=1M status=none | md5sum | cut -d" " -f1)" = "$MD5"'
ONE_CP = 'cp "$SRC"/* "$MNT/"'
CPS = f'cd "$SRC"; ls | xargs -P{AT_ONCE} -I{{}} cp {{}} "$MNT/"'
JUMPS = f'python3 "$TOOLS/random_reads.py" "$SRC/{LARGE}" "$MNT/{LARGE}" "$OFFSETS"'
RESTIC = 'restic --quiet --no-cache --repo "$MNT"'
SYNC = '"$FILESCOMFS" sync "$MNT"'


@dataclasses.dataclass
class Scenario:
    """One thing that people do. `shell` sees the source as $SRC and the mount as $MNT."""

    number: str
    title: str
    shell: str
    sides: list
    source: object
    # What the site holds before; None: nothing.
    seed: object = None
    # When it is over: "arrived": the site holds the source; "unchanged": it holds the seed; "gone": nothing;
    # "as shown": whatever the mount shows.
    ends: str = "arrived"
    checksums: str = DIGESTS
    # Done in the mount before the clock starts. The kernel's pages of the one file are dropped after it.
    prepare: str = None
    # Done by filescomfs after the clock stopped.
    after: str = None
    # The clock starts with the program, not when the mount answers.
    from_mount: bool = False
    # Little else than the machine's memory is measured.
    memory_counts: bool = False
    # So many random reads, at places that are the same for all sides.
    reads: int = 0
    # Says which requests of filescomfs are not as promised.
    check: object = None
    # None: as the command line says.
    latency_ms: int = None
    bandwidth_mbit: float = None


def scenarios(wanted):
    """All of them, in sizes that `wanted` asks for; sources are made when they are first used."""
    def count(full, quick):
        return quick if wanted.quick else max(quick, round(full * wanted.scale))

    large = Source(1, count(1024, 20) * MIB)
    huge = Source(1, count(4096, 64) * MIB)
    many = Source(count(2000, 40), 4 * KIB)
    few = Source(count(60, 4), 4 * KIB)
    some = Source(count(200, 10), 4 * KIB)
    folders = count(200, 3)
    tree = Source(100 * folders if not wanted.quick else 60, 4 * KIB, folders)
    doomed = Source(count(2000, 40), 4 * KIB, count(20, 2))
    data = Source(count(5000, 20), 2 * GIB // 5000, count(50, 2))
    reads = count(200, 10)
    gib, small = f"{large.bytes / GIB:g} GiB", f"{many.files:,} files of 4 KiB"
    trees = f"{tree.files:,} files in {folders} folders"
    whole = f"{data.bytes / GIB:.3g} GiB in {data.files:,} files"
    quick_write = ("--vfs-write-back", "0s")
    many_transfers = ("--transfers", "16")
    # With less than a second, files that get their time or name right after they were closed are never sent.
    soon = ("--transfers", "16", "--vfs-write-back", "1s")
    send = bare("send", "{source}")
    equal = ("--max-uploads", str(AT_ONCE))

    found = [
        Scenario("1", f"write {gib}, `dd bs=1M`", WRITE, source=large, sides=[
            ours(), rclone(), rclone(*quick_write), bare("send", "{source}", "--await-md5")]),
        Scenario("2", f"{small}, `rsync -a`", RSYNC, source=many, check=checks.three_requests_a_file, sides=[
            journaled(RSYNC), journaled(RSYNC, f"filescomfs, {AT_ONCE} at once", equal), rclone(),
            rclone(*many_transfers),
            rclone(*soon), send]),
        Scenario("3", "the same on a site that states no digests", RSYNC, source=many, checksums=NONE,
                 check=checks.three_requests_a_file, sides=[
            journaled(RSYNC), journaled(RSYNC, "filescomfs, digests", checksums=DIGESTS),
            rclone(source=few, once=WRITE_BACK)]),
        Scenario("4", f"{small}, {AT_ONCE} `cp` side by side", CPS, source=many,
                 check=checks.three_requests_a_file, sides=[
            ours(), ours("filescomfs, one cp", shell=ONE_CP, source=some), rclone(source=some, once=WRITE_BACK),
            rclone(*soon), send]),
        Scenario("6", f"`rsync -a`, nothing changed, {trees}, cold", RSYNC, source=tree, seed=tree,
                 ends="unchanged", check=checks.one_page_a_folder, sides=[ours(), rclone(), bare("list")]),
        Scenario("7", f"`find -ls`, {trees}, cold", 'find "$MNT" -ls', source=tree, seed=tree,
                 ends="unchanged", check=checks.one_page_a_folder, sides=[ours(), rclone(), bare("list")]),
        Scenario("8", f"`rm -r` of {doomed.files:,} files in {doomed.folders} folders", 'rm -r "$MNT"/folder*',
                 source=doomed, seed=doomed, ends="gone", sides=[
            journaled('rm -r "$MNT"/folder*'), ours("filescomfs, verified"), rclone()]),
        Scenario("9", f"read {gib}, cold, MD5 compared", READ, source=large, seed=large, ends="unchanged", sides=[
            ours(), rclone(), rclone(mode="full"),
            rclone("--vfs-read-chunk-size", "16M", "--vfs-read-chunk-streams", "8", mode="full",
                   name="rclone (full, 8 streams)"),
            bare("fetch", LARGE)]),
        Scenario("10", f"{reads} random reads of 4 KiB, {gib}, cold", JUMPS, source=large, seed=large,
                 ends="unchanged", reads=reads, sides=[
            ours(), rclone(), rclone(mode="full"), bare("jump", LARGE, "{offsets}", at_once=1)]),
        Scenario("15", "from `mount` to the first `ls`", 'ls "$MNT"', source=some, seed=some, ends="unchanged",
                 from_mount=True, sides=[ours(), rclone()]),
        Scenario("12a", f"write {huge.bytes / GIB:g} GiB, no latency, until close returns", WRITE, source=huge,
                 after=SYNC, latency_ms=0, bandwidth_mbit=0, memory_counts=True, sides=[
            ours(close="journaled"), Side("pass-through", "passthrough"),
            Side("pass-through, fsync", "passthrough", shell=f"{WRITE} conv=fsync")]),
        Scenario("12b", f"read {huge.bytes / GIB:g} GiB that the daemon has cached", READ, source=huge,
                 prepare=WRITE, latency_ms=0, bandwidth_mbit=0, memory_counts=True, sides=[
            ours(), Side("pass-through", "passthrough")]),
    ]
    if shutil.which("restic"):
        backup, check = f'{RESTIC} backup "$SRC"', f"{RESTIC} check --read-data"
        found += [
            Scenario("11a", f"`restic backup` of {whole}", backup, source=data, seed=Repository(data, empty=True),
                     ends="as shown", sides=[
                journaled(backup), ours("filescomfs, verified"),
                ours("filescomfs, verified, 8 packs at once", shell=f"{backup} -o local.connections=8"), rclone(),
                rclone(*soon)]),
            Scenario("11b", "`restic check --read-data` of it, cold", check, source=data, seed=Repository(data),
                     ends="unchanged", sides=[ours(), rclone(), rclone(mode="full")]),
        ]
    for scenario in found:
        if scenario.latency_ms is None:
            scenario.latency_ms, scenario.bandwidth_mbit = wanted.latency_ms, wanted.bandwidth_mbit
        if wanted.quick and scenario.number not in ("1", "7"):
            # rclone's own waiting takes most of the time of a run; two scenarios show that it works.
            scenario.sides = [side for side in scenario.sides if side.kind != "rclone"]
        elif wanted.quick:
            scenario.sides = [side for side in scenario.sides if side.kind != "rclone" or side.name == "rclone"]
    return found


