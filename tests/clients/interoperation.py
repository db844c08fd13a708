"""What filescomfs writes, rclone and both SDKs read, and the other way round."""

import io
import json
import os
import subprocess

import files_sdk

from checks import BASE, HANGS, KEY, WORK, admin, check, end, md5, noise, put, same, settings, stored

CONFIG = os.path.join(WORK, "rclone.conf")
FILESCOMFS = os.environ["FILESCOMFS"]
client = files_sdk.Client(api_key=KEY, base_url=BASE)

# No two names of one folder are the same to the service, which ignores case and accents.
AWKWARD = [
    "plain", "two  blanks inside", " leading blank", "\u3000leading ideographic blank", "[brackets] (round) {curly}",
    "100%", "%41%2F", "#hash", "what?", "a+b", "a&b=c", "semi;colon,comma", "quote'single", 'quote"double',
    "back`tick", "star*", "pipe|", "<angle>", "colon:", "tilde~", "~lead", "dollar$HOME", "!bang", "@at", "^caret",
    "-dash", "--two-dashes", ".hidden", "...", "....", "dot.", "a.b.c.tar.gz", "日本語のファイル", "한국어", "Ελληνικά",
    "עברית", "русский", "🦀", "👩‍👩‍👧", "n" * 200, "字" * 80, "CON", "nul.txt", "Thumbs.db", "null", "true", "0",
]
TREE = {f"names/{name}": noise(n, 10 + 37 * n) for n, name in enumerate(AWKWARD)}
TREE |= {f"folder {name}/file": noise(n, n) for n, name in enumerate(AWKWARD[:10])}
TREE |= {"nfc/caf\u00e9": b"composed", "nfd/cafe\u0301": b"decomposed", "empty files/empty": b"",
         "deep/" + "/".join("abcdefgh") + "/file": b"deep", "large": noise(7, 11 << 20)}
TIMES = {path: 1_000_000_000 + 86_413 * n for n, path in enumerate(TREE)}


def write(root):
    for path, data in TREE.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as out:
            out.write(data)
        os.utime(full, (TIMES[path], TIMES[path]))


def read(root):
    """{path: (size, MD5, time)} of a local tree, or of a mounted one."""
    found = {}
    for above, _, files in os.walk(root):
        for name in files:
            path = os.path.join(above, name)
            with open(path, "rb") as inp:
                data = inp.read()
            stat = os.stat(path)
            same(stat.st_size, len(data), path)
            found[os.path.relpath(path, root)] = (stat.st_size, md5(data), int(stat.st_mtime))
    return found


EXPECTED = {path: (len(data), md5(data), TIMES[path]) for path, data in TREE.items()}


def differ(found, expected=None):
    """Tells only what differs."""
    expected = EXPECTED if expected is None else expected
    names = found.keys() | expected.keys()
    same({n: found.get(n) for n in names if found.get(n) != expected.get(n)},
         {n: expected.get(n) for n in names if found.get(n) != expected.get(n)})


class Mount:
    """A folder of the site, mounted by filescomfs."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.point = os.path.join(WORK, "mnt-" + self.folder)
        os.makedirs(self.point, exist_ok=True)
        if self.folder not in {entry.path for entry in client.folder.list_for("").auto_paging_iter()}:
            client.folder.create(self.folder, {})
        run(FILESCOMFS, "mount", "--cache-dir", os.path.join(WORK, "cache-" + self.folder),
            f"{BASE}:/{self.folder}", self.point, env=os.environ | {"FILES_API_KEY": KEY})
        return self.point

    def __exit__(self, *_):
        run(FILESCOMFS, "umount", self.point)


def run(*command, env=None):
    # The daemon that a mount leaves behind keeps no pipe of ours.
    with open(os.path.join(WORK, "said"), "w+b") as said:
        done = subprocess.run(command, stdout=said, stderr=said, env=env, timeout=HANGS, check=False)
        said.seek(0)
        if done.returncode:
            raise AssertionError(f"{command[1]}: {said.read().decode(errors='replace')}")


def rclone(*arguments):
    run("rclone", "--config", CONFIG, "--retries", "1", *arguments)


def read_by_sdk(folder):
    found = {}
    for above, _, files in client.folder.walk(folder):
        for entry in files:
            stream = io.BytesIO()
            client.file.download_stream(entry.path, stream)
            data = stream.getvalue()
            time = files_time(entry.provided_mtime or entry.mtime)
            found[entry.path[len(folder) + 1:]] = (entry.size, md5(data), time)
    return found


def read_by_javascript(folder):
    javascript("read", folder)
    with open(os.path.join(WORK, "javascript-tree"), encoding="utf-8") as found:
        return {path: tuple(known) for path, known in json.load(found).items()}


def javascript(*arguments):
    run("node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "javascript_tree.cjs"), *arguments)


def files_time(text):
    import datetime

    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


local = os.path.join(WORK, "interoperation")
write(local)


@check("a tree of awkward names is written through filescomfs")
def _():
    with Mount("from-filescomfs") as point:
        write(point)
        differ(read(point))
    same({path: file["md5"] for path, file in stored("from-filescomfs").items()},
         {path: digest for path, (_, digest, _) in EXPECTED.items()})


@check("rclone reads the same names, sizes, digests and times")
def _():
    back = os.path.join(WORK, "by-rclone")
    rclone("copy", "emu:from-filescomfs", back)
    differ(read(back))
    rclone("check", local, "emu:from-filescomfs")


@check("the Python SDK reads the same names, sizes, digests and times")
def _():
    admin("POST", "clock", {"advance_ms": 10_000})
    differ(read_by_sdk("from-filescomfs"))


@check("the JavaScript SDK reads the same names, sizes, digests and times")
def _():
    differ(read_by_javascript("from-filescomfs"))


@check("filescomfs reads what rclone wrote, with the same names, sizes, digests and times")
def _():
    rclone("copy", local, "emu:from-rclone")
    with Mount("from-rclone") as point:
        differ(read(point))


@check("filescomfs reads what the Python SDK wrote, with the same names, sizes, digests and times")
def _():
    for path in TREE:
        client.file.upload_file(os.path.join(local, path), f"from-sdk/{path}", params={"mkdir_parents": True})
    with Mount("from-sdk") as point:
        differ(read(point))


@check("filescomfs reads what the JavaScript SDK wrote, with the same names, sizes, digests and times")
def _():
    javascript("write", local, "from-javascript", json.dumps(TIMES))
    with Mount("from-javascript") as point:
        differ(read(point))


@check("rclone and both SDKs read the same of what each of them wrote")
def _():
    for folder in ["from-rclone", "from-sdk", "from-javascript"]:
        differ(read_by_sdk(folder))
        differ(read_by_javascript(folder))
        rclone("check", local, f"emu:{folder}")


@check("what filescomfs changes, moves and deletes, rclone sees")
def _():
    with Mount("from-rclone") as point:
        with open(f"{point}/names/plain", "wb") as out:
            out.write(b"changed")
        os.rename(f"{point}/names/🦀", f"{point}/names/crab 🦀")
        os.rename(f"{point}/deep", f"{point}/depth")
        os.unlink(f"{point}/names/100%")
        changed = read(point)
    back = os.path.join(WORK, "changed")
    rclone("copy", "emu:from-rclone", back)
    differ(read(back), changed)
    same(("names/crab 🦀" in changed, "names/100%" in changed, "deep/a/b/c/d/e/f/g/h/file" in changed),
         (True, False, False))


@check("names that the service does not store as they are: filescomfs and rclone read what the other wrote")
def _():
    odd = os.path.join(WORK, "odd").encode()
    names = [b"back\\slash", b"tail ", b"bell\x07", b"line\nfeed", b"raw\xff", "full＼width".encode(),
             b"delete\x7f", "picture␠".encode(), b"two  "]
    expected = {name: name for name in names}
    os.makedirs(odd, exist_ok=True)
    for name in names:
        with open(os.path.join(odd, name), "wb") as out:
            out.write(name)

    def content(folder):
        return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}

    rclone("copy", odd.decode(), "emu:odd-by-rclone")
    with Mount("odd-by-rclone") as point:
        same(content(os.fsencode(point)), expected)
    with Mount("odd-by-filescomfs") as point:
        for name in names:
            with open(os.path.join(os.fsencode(point), name), "wb") as out:
                out.write(name)
    back = os.path.join(WORK, "odd-back")
    rclone("copy", "emu:odd-by-filescomfs", back)
    same(content(os.fsencode(back)), expected)
    rclone("check", odd.decode(), "emu:odd-by-filescomfs")


@check("names that the service does not store as they are: both SDKs read the same files under the stored text")
def _():
    texts = {"back＼slash": b"back\\slash", "tail␠": b"tail ", "bell␇": b"bell\x07", "line␊feed": b"line\nfeed",
             "raw‛FF": b"raw\xff", "full‛＼width": "full＼width".encode(), "delete␡": b"delete\x7f",
             "picture‛␠": "picture␠".encode(), "two ␠": b"two  "}
    expected = {text: (len(data), md5(data)) for text, data in texts.items()}
    for folder in ["odd-by-filescomfs", "odd-by-rclone"]:
        for found in [read_by_sdk(folder), read_by_javascript(folder)]:
            same({name: known[:2] for name, known in found.items()}, expected, folder)


@check("raw blanks and control characters that others stored: what is shown can be read")
def _():
    for name in ["bell\x07", "tail ", "tab\there"]:
        put(f"raw-names/{name}", name.encode())
    put("raw-names/plain", b"plain")
    with Mount("raw-names") as point:
        shown = {name: open(os.path.join(point, name), "rb").read() for name in os.listdir(point)}
    print("      shown:", sorted(shown), flush=True)
    same(shown.get("plain"), b"plain")
    same({name: data for name, data in shown.items() if data != name.encode()}, {})


end()
