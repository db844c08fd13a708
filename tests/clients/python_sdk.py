"""The official Python SDK (`Files.com` on PyPI) against the emulator."""

import io
import os

import files_sdk
from files_sdk.error import APIError

from checks import (BASE, KEY, MIB, PASSWORD, READ_ONLY_KEY, USER, WORK, admin, check, end, forget_requests,
                    md5, noise, put, refused, requests, same, settings, stored)

ROOT = "python"
client = files_sdk.Client(api_key=KEY, base_url=BASE, max_network_retries=1)
file, folder = client.file, client.folder


def names(path, **params):
    return [entry.path[len(path) + 1:] for entry in folder.list_for(path, params).auto_paging_iter()]


def read(path):
    stream = io.BytesIO()
    file.download_stream(path, stream)
    return stream.getvalue()


def write(path, data, **params):
    return file.upload_stream(io.BytesIO(data), path, len(data), params=params or None)


@check("knows its key")
def _():
    found = client.api_key.find_current()
    same((found.permission_set, found.name), ("full", "emulated key"))


@check("logs in by user name and password, works with the session, and logs out")
def _():
    anonymous = files_sdk.Client(base_url=BASE)
    session = anonymous.session.create({"username": USER, "password": PASSWORD})
    with files_sdk.Client(base_url=BASE, session_id=session.id) as visitor:
        visitor.folder.create(f"{ROOT}-login", {})
        same(visitor.file.find(f"{ROOT}-login").type, "directory")
        visitor.file.delete(f"{ROOT}-login")
        visitor.session.delete()
        refused(APIError, lambda: visitor.file.find(ROOT), "InvalidCredentials")


@check("a wrong password and a wrong key are refused")
def _():
    anonymous = files_sdk.Client(base_url=BASE)
    wrong = {"username": USER, "password": "wrong"}
    refused(APIError, lambda: anonymous.session.create(wrong), "InvalidUsernameOrPassword")
    stranger = files_sdk.Client(api_key="wr0ngKey", base_url=BASE)
    refused(APIError, lambda: stranger.file.find(ROOT), "InvalidCredentials")


@check("creates folders, one by one and with their parents")
def _():
    same(folder.create(ROOT, {}).type, "directory")
    folder.create(f"{ROOT}/a/b/c", {"mkdir_parents": True})
    same(file.find(f"{ROOT}/a/b").path, f"{ROOT}/a/b")
    refused(APIError, lambda: folder.create(ROOT, {"mkdir_parents": True}), "DestinationExists")
    refused(APIError, lambda: folder.create(f"{ROOT}/no/where", {}), "DestinationParentDoesNotExist")


@check("uploads a small file, and its digests appear")
def _():
    data = noise(1, 1000)
    write(f"{ROOT}/small", data)
    same(read(f"{ROOT}/small"), data)
    admin("POST", "clock", {"advance_ms": 10_000})
    found = file.find(f"{ROOT}/small")
    same((found.size, found.md5), (1000, md5(data)))


@check("uploads an empty file")
def _():
    write(f"{ROOT}/empty", b"")
    same((file.find(f"{ROOT}/empty").size, read(f"{ROOT}/empty")), (0, b""))


@check("uploads a stream of unknown length through open(), and reads it by open()")
def _():
    with file.open(f"{ROOT}/text", "w") as text:
        text.write("zwölf Boxkämpfer\n" * 3)
    with file.open(f"{ROOT}/text") as text:
        same(text.readlines(), ["zwölf Boxkämpfer\n"] * 3)


for megabytes, label in [(12, "several parts"), (10, "parts that end at the border")]:

    @check(f"uploads {label} side by side, from a file")
    def _(megabytes=megabytes):
        data = noise(megabytes, megabytes * MIB)
        local = os.path.join(WORK, "large")
        with open(local, "wb") as out:
            out.write(data)
        forget_requests()
        file.upload_file(local, f"{ROOT}/large{megabytes}")
        if len(requests("part")) < 2:
            raise AssertionError("it was one part")
        same(stored(ROOT)[f"large{megabytes}"]["md5"], md5(data))
        back = os.path.join(WORK, "back")
        file.download_file(f"{ROOT}/large{megabytes}", back)
        with open(back, "rb") as inp:
            same(md5(inp.read()), md5(data))


@check("uploads a stream in parts, one after the other, without telling its size")
def _():
    data = noise(11, 11 * MIB + 17)
    file.upload_stream(io.BytesIO(data), f"{ROOT}/stream")
    same(stored(ROOT)["stream"]["md5"], md5(data))


@check("overwrites, and created_at is new")
def _():
    settings(clock_offset_ms=admin("GET", "settings")["clock_offset_ms"] + 5000)
    before = file.find(f"{ROOT}/small").created_at
    write(f"{ROOT}/small", b"replaced")
    same(read(f"{ROOT}/small"), b"replaced")
    if not file.find(f"{ROOT}/small").created_at > before:
        raise AssertionError("created_at is the old one")


@check("downloads ranges of the URL that it is given")
def _():
    data = noise(12, 12 * MIB)
    # The SDK itself asks for ranges only of Amazon's own hosts; its URLs are used as they are.
    url = file.download(f"{ROOT}/large12").download_uri
    import requests as http

    for wanted, expected in [("0-0", data[:1]), ("5-9", data[5:10]), ("-7", data[-7:]),
                             (f"{11 * MIB}-", data[11 * MIB:])]:
        answer = http.get(url, headers={"Range": f"bytes={wanted}"})
        same((answer.status_code, answer.content == expected), (206, True), wanted)
    same(http.get(url, headers={"Range": f"bytes={12 * MIB}-"}).status_code, 416)


@check("stats files and folders")
def _():
    found = file.find(f"{ROOT}/large12")
    same((found.type, found.size, found.display_name, found.permissions), ("file", 12 * MIB, "large12", "lrwd"))
    same(file.find(f"{ROOT}/a").size, None)


@check("sets the time of files and folders, at upload and afterwards")
def _():
    write(f"{ROOT}/timed", b"t", provided_mtime="2001-02-03T04:05:06+02:00")
    same(file.find(f"{ROOT}/timed").provided_mtime, "2001-02-03T02:05:06Z")
    for path in ["timed", "a"]:
        file.update(f"{ROOT}/{path}", {"provided_mtime": "2010-11-17T20:34:58Z"})
        same(file.find(f"{ROOT}/{path}").provided_mtime, "2010-11-17T20:34:58Z")


@check("gives metadata at upload and afterwards")
def _():
    write(f"{ROOT}/meta", b"m", custom_metadata={"origin": "sdk"})
    same(file.find(f"{ROOT}/meta").custom_metadata, {"origin": "sdk"})
    file.update(f"{ROOT}/meta", {"custom_metadata": {"other": "1"}})
    same(file.find(f"{ROOT}/meta").custom_metadata, {"other": "1"})


@check("lists more than one page")
def _():
    before = settings(per_page=7, per_page_max=7)
    try:
        expected = [f"{n:02}" for n in range(40)]
        for name in expected:
            put(f"{ROOT}/many/{name}", name.encode())
        forget_requests()
        same(names(f"{ROOT}/many"), expected)
        same(len(requests("list")), 6, "pages")
        same(len(list(folder.list_for(f"{ROOT}/many"))), 7, "one page")
    finally:
        settings(**before)
    same(names(f"{ROOT}/many", per_page=13), expected)
    same(names(f"{ROOT}/many", sort_by={"size": "desc"}, per_page=9), expected)


@check("walks a tree")
def _():
    found = [above for above, _, _ in folder.walk(f"{ROOT}/a")]
    same(found, [f"{ROOT}/a", f"{ROOT}/a/b", f"{ROOT}/a/b/c"])


@check("moves and copies, at once and as migrations")
def _():
    for delay in [0, 300]:
        before = settings(migration_delay_ms=delay)
        try:
            write(f"{ROOT}/source", b"moved", provided_mtime="2001-02-03T04:05:06Z")
            file.copy_and_wait(f"{ROOT}/source", {"destination": f"{ROOT}/copied{delay}"}, interval=0.1)
            file.move_and_wait(f"{ROOT}/source", {"destination": f"{ROOT}/moved{delay}"}, interval=0.1)
        finally:
            settings(**before)
        same((read(f"{ROOT}/copied{delay}"), read(f"{ROOT}/moved{delay}")), (b"moved", b"moved"))
        same(file.find(f"{ROOT}/moved{delay}").provided_mtime, "2001-02-03T04:05:06Z")
        refused(APIError, lambda: file.find(f"{ROOT}/source"), "NotFound")


@check("a move onto something, or of nothing, is refused")
def _():
    move = lambda source, target: file.move(f"{ROOT}/{source}", {"destination": f"{ROOT}/{target}"})
    refused(APIError, lambda: move("small", "empty"), "DestinationExists")
    refused(APIError, lambda: move("small", "no/where"), "DestinationParentDoesNotExist")
    refused(APIError, lambda: move("missing", "x"), "NotFound")
    file.move(f"{ROOT}/copied0", {"destination": f"{ROOT}/moved0", "overwrite": True})


@check("a migration that fails is an error")
def _():
    admin("POST", "faults", {"kind": "move", "what": "migration_fails"})
    move = lambda: file.move_and_wait(f"{ROOT}/small", {"destination": f"{ROOT}/x"}, interval=0.1)
    refused(files_sdk.error.FileMigrationError, move, "failed")
    same(read(f"{ROOT}/small"), b"replaced")


@check("deletes a file, an empty folder, and a full folder only when told to")
def _():
    file.delete(f"{ROOT}/empty")
    refused(APIError, lambda: file.find(f"{ROOT}/empty"), "NotFound")
    file.delete(f"{ROOT}/a/b/c")
    write(f"{ROOT}/a/b/f", b"x")
    refused(APIError, lambda: file.delete(f"{ROOT}/a"), "FolderNotEmpty")
    before = settings(folder_delete_delay_ms=300)
    try:
        file.delete_and_wait(f"{ROOT}/a", {"recursive": True}, interval=0.1)
    finally:
        settings(**before)
    refused(APIError, lambda: file.find(f"{ROOT}/a/b/f"), "NotFound")


@check("a missing path is not found, whatever is asked of it")
def _():
    for action in [lambda: file.find(f"{ROOT}/missing"), lambda: file.download(f"{ROOT}/missing"),
                   lambda: file.delete(f"{ROOT}/missing"), lambda: file.update(f"{ROOT}/missing", {}),
                   lambda: list(folder.list_for(f"{ROOT}/missing"))]:
        refused(APIError, action, "NotFound")
    refused(APIError, lambda: file.download(ROOT), "CannotDownloadDirectory")


@check("a read-only key reads and changes nothing")
def _():
    reader = files_sdk.Client(api_key=READ_ONLY_KEY, base_url=BASE)
    stream = io.BytesIO()
    reader.file.download_stream(f"{ROOT}/small", stream)
    same(stream.getvalue(), b"replaced")
    new = lambda: reader.file.upload_stream(io.BytesIO(b"x"), f"{ROOT}/new", 1)
    for action in [new, lambda: reader.folder.create(f"{ROOT}/new", {}),
                   lambda: reader.file.update(f"{ROOT}/small", {"provided_mtime": "2010-11-17T20:34:58Z"})]:
        refused(APIError, action, "WritePermissionRequired")
    refused(APIError, lambda: reader.file.delete(f"{ROOT}/small"), "FullPermissionRequired")


@check("an upload survives a reset, a SlowDown and an expired URL")
def _():
    data = noise(3, 11 * MIB)
    for what in ["reset", {"storage": {"status": 503, "code": "SlowDown"}}, "expire_url"]:
        admin("POST", "faults", {"kind": "part", "what": what})
    write(f"{ROOT}/bumpy", data)
    same(stored(ROOT)["bumpy"]["md5"], md5(data))
    same(admin("GET", "faults"), [])


@check("a download survives being cut")
def _():
    admin("POST", "faults", {"kind": "fetch", "what": {"truncate_body": {"at": 100}}})
    same(md5(read(f"{ROOT}/bumpy")), md5(noise(3, 11 * MIB)))


@check("locks and unlocks")
def _():
    lock = client.lock.create(f"{ROOT}/small", {"exclusive": True, "timeout": 60})
    same([found.token for found in client.lock.list_for(f"{ROOT}/small").auto_paging_iter()], [lock.token])
    client.lock.delete(f"{ROOT}/small", {"token": lock.token})


end()
