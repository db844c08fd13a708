"""Which requests filescomfs may make: numbers that depend neither on the machine nor on the size of a run."""

# Requests that a new file, or a look at a tree, must not cost.
NEVER_FOR_NEW = ("stat", "begin_part", "move", "copy", "migration", "delete", "mkdir", "download", "fetch")
NEVER_FOR_A_LOOK = ("stat", "begin_upload", "part", "complete", "download", "fetch", "patch", "move", "mkdir", "delete")
# Changes of the time of one folder.
OF_A_FOLDER = 2
# Entries of one page.
PAGE = 1000


def three_requests_a_file(requests, source):
    """Begin, PUT, complete; attributes travel with the completion.

    rsync sets the time of each folder besides, before and after its files: one change, or two where it is slow.
    """
    wanted = dict.fromkeys(("begin_upload", "part", "complete"), source.files)
    faults = wrong_counts(requests, wanted | dict.fromkeys(NEVER_FOR_NEW, 0))
    if requests.get("patch", 0) > OF_A_FOLDER * (1 + source.folders):
        faults.append(f"patch: {requests['patch']} for {1 + source.folders} folders")
    return faults


def one_page_a_folder(requests, source):
    """One page for each 1,000 entries of each folder. The first one of the folder that is mounted came with the mount,
    before anything was counted."""
    entries = [sum(1 for _ in path.iterdir()) for path in [source.path, *source.path.rglob("*")] if path.is_dir()]
    pages = sum(max(1, -(-count // PAGE)) for count in entries)
    return wrong_counts(requests, {"list": pages - 1} | dict.fromkeys(NEVER_FOR_A_LOOK, 0))


def wrong_counts(requests, wanted):
    return [f"{kind}: {requests.get(kind, 0)} instead of {count}" for kind, count in wanted.items()
            if requests.get(kind, 0) != count]
