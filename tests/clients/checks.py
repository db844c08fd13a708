"""What the suites beside this file share: one line a check, and the emulator's admin routes.

A suite is a script of checks that run in their order. A check that fails prints its reason and the
others go on. Addresses, keys and folders come by the environment, from scripts/test-clients.
"""

import hashlib
import json
import os
import random
import sys
import traceback
import urllib.parse
import urllib.request

BASE = os.environ["EMULATOR"]
KEY = os.environ["EMULATOR_KEY"]
READ_ONLY_KEY = os.environ["EMULATOR_READ_ONLY_KEY"]
USER = os.environ["EMULATOR_USER"]
PASSWORD = os.environ["EMULATOR_PASSWORD"]
WORK = os.environ["WORK"]
MIB = 1 << 20
# After so many seconds a program hangs, however busy the machine is.
HANGS = 1800

_suite = os.path.splitext(os.path.basename(sys.argv[0]))[0]
_failed = 0


def check(name):
    """Runs the function below it at once, as the check of that name."""

    def run(function):
        global _failed
        try:
            function()
            print(f"ok    {_suite}: {name}", flush=True)
        except Exception:
            _failed += 1
            print(f"FAIL  {_suite}: {name}", flush=True)
            print("".join("      " + line for line in traceback.format_exc().splitlines(True)), flush=True)
        return function

    return run


def end():
    """Every suite ends with it: one that does not come so far has failed."""
    print(f"end   {_suite}", flush=True)
    sys.exit(1 if _failed else 0)


def same(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what} expected {shorten(expected)}, found {shorten(found)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 2000 else text[:2000] + "…"


def refused(error, action, *words):
    """`action` must raise `error`, with all `words` in its text."""
    try:
        action()
    except error as refusal:
        for word in words:
            if word not in f"{type(refusal).__name__}: {refusal}":
                raise AssertionError(f"{word!r} is not in {refusal!r}") from refusal
        return
    raise AssertionError("it was not refused")


def noise(seed, length):
    """Bytes that repeat nothing, the same for the same seed."""
    return random.Random(seed).randbytes(length)


def md5(data):
    return hashlib.md5(data).hexdigest()


def admin(method, route, body=None):
    """A call of the emulator's admin routes."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(f"{BASE}/admin/{route}", data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def settings(**changes):
    """Changes settings of the site; answers what they were."""
    before = admin("GET", "settings")
    admin("POST", "settings", changes)
    return {name: before[name] for name in changes}


def stored(folder):
    """All files below a folder as the site holds them: {relative path: what is known of it}."""
    prefix = folder + "/"
    files = admin("GET", "files")
    return {path[len(prefix):]: file for path, file in files.items() if path.startswith(prefix)}


def put(path, data):
    """Another client's upload."""
    admin("PUT", "files/" + urllib.parse.quote(path), data)


def requests(kind):
    """Requests of that kind since the log was last forgotten."""
    return [request for request in admin("GET", "requests") if request["kind"] == kind]


def forget_requests():
    admin("DELETE", "requests")
