"""rclone with its filescom backend against the emulator."""

import json
import os
import subprocess
import time

from checks import (BASE, HANGS, KEY, MIB, PASSWORD, READ_ONLY_KEY, USER, WORK, admin, check, end, forget_requests, md5,
                    noise, put, refused, requests, same, settings, stored)

ROOT = "rclone"
CONFIG = os.path.join(WORK, "rclone.conf")


class Failed(Exception):
    """rclone ended with another code than 0."""


def rclone(*arguments, data=None):
    command = ["rclone", "--config", CONFIG, "--retries", "1", "--low-level-retries", "3", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, timeout=HANGS, check=False)
    if done.returncode:
        raise Failed(f"{arguments}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def local(name):
    path = os.path.join(WORK, "rclone-" + name)
    os.makedirs(path, exist_ok=True)
    return path


def write(path, data, mtime=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def tree(root):
    found = {}
    for above, _, files in os.walk(os.fsencode(root)):
        for name in files:
            path = os.path.join(above, name)
            with open(path, "rb") as inp:
                found[os.path.relpath(path, os.fsencode(root))] = (md5(inp.read()), int(os.stat(path).st_mtime))
    return found


def listed(path, *options):
    return {entry["Path"]: entry for entry in json.loads(rclone("lsjson", "-R", *options, path))}


def wait(is_so):
    until = time.monotonic() + HANGS
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError("waited in vain")
        time.sleep(0.05)


obscured = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, check=True).stdout.decode().strip()
with open(CONFIG, "w", encoding="utf-8") as out:
    for remote, login in [("emu", f"api_key = {KEY}"), ("reader", f"api_key = {READ_ONLY_KEY}"),
                          ("bad", "api_key = wr0ngKey"), ("user", f"username = {USER}\npassword = {obscured}")]:
        out.write(f"[{remote}]\ntype = filescom\nsite = {BASE}\n{login}\n\n")

source = local("source")
for n in range(12):
    write(f"{source}/docs {n % 3}/file {n}.dat", noise(n, n * 4001), 1_000_000_000 + n * 86_400)
write(f"{source}/empty", b"", 1_200_000_000)
write(f"{source}/large", noise(99, 12 * MIB + 5), 1_300_000_000)
write(f"{source}/border", noise(98, 10 * MIB), 1_300_000_001)


@check("creates folders with their parents")
def _():
    rclone("mkdir", f"emu:{ROOT}/new/deep")
    same([name for name in listed(f"emu:{ROOT}")], ["new", "new/deep"])


@check("logs in by user name and password")
def _():
    same(sorted(listed(f"user:{ROOT}")), ["new", "new/deep"])
    rclone("rcat", f"user:{ROOT}/by-user", data=b"by a session")
    same((rclone("cat", f"user:{ROOT}/by-user"), stored(ROOT)["by-user"]["size"]), (b"by a session", 12))
    rclone("deletefile", f"user:{ROOT}/by-user")


@check("a bad key, and a missing folder, are refused")
def _():
    refused(Failed, lambda: rclone("lsd", f"bad:{ROOT}"), "Invalid Credentials")
    refused(Failed, lambda: rclone("lsd", f"emu:{ROOT}/missing"), "directory not found")
    refused(Failed, lambda: rclone("cat", f"emu:{ROOT}/missing"), "not found")
    with open(CONFIG, encoding="utf-8") as config:
        text = config.read()
    with open(CONFIG, "w", encoding="utf-8") as out:
        wrong = subprocess.run(["rclone", "obscure", "wrong"], capture_output=True, check=True).stdout.decode().strip()
        out.write(f"{text}[stranger]\ntype = filescom\nsite = {BASE}\nusername = {USER}\npassword = {wrong}\n\n")
    refused(Failed, lambda: rclone("lsd", f"stranger:{ROOT}"), "Invalid Username Or Password")


@check("uploads small, empty, large, and a last part of no bytes")
def _():
    forget_requests()
    rclone("copy", source, f"emu:{ROOT}/tree")
    same({os.fsencode(p): f["md5"] for p, f in stored(f"{ROOT}/tree").items()},
         {p: digest for p, (digest, _) in tree(source).items()})
    if not any(request["bytes"] == 0 and "border" in request["path"] for request in requests("part")):
        raise AssertionError("no empty last part was sent")


@check("checks by digest and by content, and finds a difference")
def _():
    rclone("check", source, f"emu:{ROOT}/tree")
    rclone("check", "--download", source, f"emu:{ROOT}/tree")
    put(f"{ROOT}/tree/empty", b"not empty")
    refused(Failed, lambda: rclone("check", source, f"emu:{ROOT}/tree"), "1 differences found")


@check("sums MD5 and CRC32")
def _():
    for name in ["MD5", "CRC32"]:
        same(sorted(rclone("hashsum", name, f"emu:{ROOT}/tree", "--include", "*.dat").splitlines()),
             sorted(rclone("hashsum", name, source, "--include", "*.dat").splitlines()))


@check("overwrites one file, and its time with it")
def _():
    for n, content in enumerate([b"first", b"and second", b""]):
        write(f"{local('over')}/file", content, 1_400_000_000 + n)
        rclone("copyto", f"{local('over')}/file", f"emu:{ROOT}/over")
        entry = json.loads(rclone("lsjson", "--stat", f"emu:{ROOT}/over"))
        same((rclone("cat", f"emu:{ROOT}/over"), entry["Size"]), (content, len(content)))
        same(stored(ROOT)["over"]["provided_mtime"], f"2014-05-13T16:53:{20 + n}Z")


@check("syncs: overwrites, deletes, keeps times")
def _():
    put(f"{ROOT}/tree/stranger", b"x")
    rclone("sync", source, f"emu:{ROOT}/tree")
    back = local("back")
    rclone("sync", f"emu:{ROOT}/tree", back)
    same(tree(back), tree(source))
    forget_requests()
    rclone("sync", source, f"emu:{ROOT}/tree")
    same(requests("complete"), [], "uploads of an unchanged tree")


@check("lists more than one page")
def _():
    before = settings(per_page=7, per_page_max=7)
    try:
        for n in range(30):
            put(f"{ROOT}/many/{n:02}", b"x" * n)
        same(len(listed(f"emu:{ROOT}/many")), 30)
    finally:
        settings(**before)


@check("reads whole and by range")
def _():
    whole = noise(99, 12 * MIB + 5)
    same(md5(rclone("cat", f"emu:{ROOT}/tree/large")), md5(whole))
    same(rclone("cat", "--offset", "1000", "--count", "50", f"emu:{ROOT}/tree/large"), whole[1000:1050])
    same(rclone("cat", "--tail", "9", f"emu:{ROOT}/tree/large"), whole[-9:])


@check("stats, and sets times of files and folders")
def _():
    rclone("touch", "-t", "2010-11-17T20:34:58", f"emu:{ROOT}/tree/large")
    entry = json.loads(rclone("lsjson", "--stat", f"emu:{ROOT}/tree/large"))
    same((entry["ModTime"][:19], entry["Size"], entry["IsDir"]), ("2010-11-17T20:34:58", 12 * MIB + 5, False))
    # rclone sets the time of a folder that it puts something into.
    aged = local("aged")
    write(f"{aged}/folder/file", b"x")
    os.utime(f"{aged}/folder", (1_111_111_111, 1_111_111_111))
    rclone("copy", aged, f"emu:{ROOT}/aged")
    folder = listed(f"emu:{ROOT}/aged")["folder"]
    same((folder["ModTime"][:19], folder["IsDir"]), ("2005-03-18T01:58:31", True))


@check("uploads a stream")
def _():
    rclone("rcat", f"emu:{ROOT}/streamed", data=noise(5, 6 * MIB))
    same(stored(ROOT)["streamed"]["md5"], md5(noise(5, 6 * MIB)))


@check("copies and moves within the site, at once and as migrations")
def _():
    for delay in [0, 300]:
        before = settings(migration_delay_ms=delay)
        try:
            forget_requests()
            rclone("copyto", f"emu:{ROOT}/tree/docs 1/file 1.dat", f"emu:{ROOT}/copy{delay}")
            rclone("moveto", f"emu:{ROOT}/copy{delay}", f"emu:{ROOT}/moved{delay}")
        finally:
            settings(**before)
        same((len(requests("copy")), len(requests("move")), len(requests("part"))), (1, 1, 0))
        same(stored(ROOT)[f"moved{delay}"]["md5"], md5(noise(1, 4001)))
    rclone("moveto", f"emu:{ROOT}/tree", f"emu:{ROOT}/moved tree")
    same(stored(f"{ROOT}/moved tree")["large"]["md5"], md5(noise(99, 12 * MIB + 5)))


@check("deletes a file, an empty folder, a full one only by purge")
def _():
    rclone("deletefile", f"emu:{ROOT}/streamed")
    rclone("rmdir", f"emu:{ROOT}/new/deep")
    refused(Failed, lambda: rclone("rmdir", f"emu:{ROOT}/many"), "not empty")
    rclone("purge", f"emu:{ROOT}/many")
    same([name for name in stored(ROOT) if name.startswith("many")], [])


@check("a read-only key reads and changes nothing")
def _():
    same(rclone("cat", f"reader:{ROOT}/moved0"), noise(1, 4001))
    refused(Failed, lambda: rclone("rcat", f"reader:{ROOT}/new-file", data=b"x"), "Write Permission Required")
    refused(Failed, lambda: rclone("mkdir", f"reader:{ROOT}/new-folder"), "Write Permission Required")
    refused(Failed, lambda: rclone("deletefile", f"reader:{ROOT}/moved0"), "Full Permission Required")


@check("keeps the names of its backend tests: control characters, blanks, backslashes, forms of Unicode")
def _():
    names = local("names")
    odd = [chr(n) for n in range(1, 32)] + ["\x7f", " lead", "\tlead", "\nlead", "\rlead", "\vlead", ".lead", "~lead",
           "tail ", "tail\t", "tail\n", "tail\r", "tail\v", "tail.", "a" + "..", "ＤＯＴ．",
           "back\\slash", "test%46.txt", "q?#[]{}+&=;,", "'\"`", "<>:|*", "…", "日本語", "🦀", "␀", "＼"]
    for n, name in enumerate(odd):
        write(f"{names}/{n:02}/a{name}b" if len(name) == 1 else f"{names}/{n:02}/{name}", noise(n, 20 + n))
    write(f"{names}/nfc/caf\u00e9", b"one form")
    write(f"{names}/nfd/cafe\u0301", b"the other form")
    write(f"{names}/trailing folder /f", b"x")
    with open(os.fsencode(names) + b"/t\xe9st\xbf", "wb") as out:
        out.write(b"not UTF-8")
    rclone("copy", names, f"emu:{ROOT}/names")
    rclone("check", names, f"emu:{ROOT}/names")
    back = local("names-back")
    rclone("copy", f"emu:{ROOT}/names", back)
    same({k: v[0] for k, v in tree(back).items()}, {k: v[0] for k, v in tree(names).items()})
    held = stored(f"{ROOT}/names")
    same([name for name in held if any(c < " " or c in "\x7f\\" for c in name)], [], "raw characters on the site")


@check("mounts, and a file written through the mount arrives")
def _():
    point = local("mount")
    mount = subprocess.Popen(["rclone", "--config", CONFIG, "mount", f"emu:{ROOT}/mounted", point, "--vfs-cache-mode",
                              "writes", "--vfs-write-back", "0s", "--cache-dir", local("cache")],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: os.path.ismount(point))
        write(f"{point}/folder/file", noise(7, 70_000))
        wait(lambda: "folder/file" in stored(f"{ROOT}/mounted"))
        same(stored(f"{ROOT}/mounted")["folder/file"]["md5"], md5(noise(7, 70_000)))
        with open(f"{point}/folder/file", "rb") as inp:
            same(md5(inp.read()), md5(noise(7, 70_000)))
    finally:
        subprocess.run(["fusermount3", "-u", point], check=False)
        try:
            mount.wait(10)
        except subprocess.TimeoutExpired:
            mount.kill()


end()
