//! umount(8), where libmount is and `/sbin/umount.filescomfs` is the program: as honest as `filescomfs umount`.

use std::fs;
use std::process::{Command, Output};

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{KEY, Stage, told};

/// Runs a line in a mount namespace of its own, where the program is installed as a helper of mount(8) and
/// libmount's table is empty: nothing of the machine's is touched.
fn with_helpers(stage: &Stage, line: &str) -> Output {
    let (sbin, point) = (stage.path("sbin"), stage.path("mnt"));
    fs::create_dir_all(&sbin).unwrap();
    fs::create_dir_all(&point).unwrap();
    for name in ["mount.filescomfs", "umount.filescomfs"] {
        let link = sbin.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_filescomfs"), link).unwrap();
        }
    }
    let script = format!(
        "sbin=$(readlink -f /sbin); mount --bind \"$SBIN\" \"$sbin\"; mkdir -p /run/mount; \
         mount -t tmpfs x /run/mount; said() {{ \"$@\" && echo \"$1 0\" || echo \"$1 $?\"; }}; {line}"
    );
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
        .env("SBIN", &sbin)
        .env("POINT", &point)
        .env("SOURCE", stage.source())
        .env("STATE", stage.path("state"))
        .env("TOOL", env!("CARGO_BIN_EXE_filescomfs"))
        .env("FILES_API_KEY", KEY)
        .output()
        .unwrap()
}

const MOUNT: &str = "mount -t filescomfs -o \"close=journaled,cache-dir=$STATE\" \"$SOURCE\" \"$POINT\"";

#[test]
fn umount_waits_for_what_is_owed_and_leaves_nothing_in_its_table() {
    let stage = Stage::new();
    // So slow that an umount that does not wait is seen.
    stage.site.inject(Fault { times: 1, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    let line = format!(
        "{MOUNT}; grep -c helper=filescomfs /run/mount/utab; echo x > \"$POINT/left.tmp\"; \
         said umount \"$POINT\"; grep -c helper= /run/mount/utab || true; findmnt \"$POINT\" || echo gone"
    );
    let output = with_helpers(&stage, &line);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\numount 0\n0\ngone\n", "{}", told(&output));
    assert_eq!(stage.stored("left.tmp").unwrap(), b"x\n");
}

#[test]
fn umount_fails_where_something_stays_owed_and_lazily_leaves_it() {
    let stage = Stage::new();
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::FlipPart) });
    let line = format!(
        "{MOUNT}; echo x > \"$POINT/f\"; said umount \"$POINT\"; findmnt -n -o FSTYPE \"$POINT\"; \
         said umount -l \"$POINT\"; findmnt \"$POINT\" || echo gone; grep -c helper= /run/mount/utab || true"
    );
    let output = with_helpers(&stage, &line);
    let text = told(&output);
    for line in ["umount 8\n", "fuse.filescomfs\n", "umount 0\n", "gone\n0\n", "/f"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn the_table_is_in_order_after_any_end() {
    let stage = Stage::new();
    let line = format!(
        "{MOUNT}; \"$TOOL\" umount \"$POINT\"; grep -c helper= /run/mount/utab || true; \
         {MOUNT}; kill -TERM $(\"$TOOL\" status --json \"$POINT\" | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p'); \
         while findmnt \"$POINT\" >/dev/null; do sleep 0.1; done; \"$TOOL\" umount \"$POINT\" || true; \
         grep -c helper= /run/mount/utab || true; \
         {MOUNT}; kill -9 $(\"$TOOL\" status --json \"$POINT\" | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p'); \
         sleep 0.2; said umount \"$POINT\"; grep -c helper= /run/mount/utab || true"
    );
    let output = with_helpers(&stage, &line);
    let text = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<&str> = text.lines().filter(|line| line.len() == 1).collect();
    assert_eq!(counts, ["0", "0", "0"], "{}", told(&output));
    assert!(text.contains("umount 0"), "a dead mount goes, too: {}", told(&output));
}
