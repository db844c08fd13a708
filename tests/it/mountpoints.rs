//! What is on the mountpoint before: a mount that died, or what a tool wrote while nothing was mounted there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::stage::{KEY, Mount, Stage, is_running, kill, told, wait_until};

fn mounts_on(point: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(1) == point.to_str()).count()
}

fn die(mount: &Mount) {
    kill(mount.pid, libc::SIGKILL);
    wait_until("the daemon is dead", || !is_running(mount.pid));
}

#[test]
fn the_line_of_fstab_takes_a_dead_mount_away_and_sends_what_it_owed() {
    let stage = Stage::new();
    let mount = stage.mount_at("mnt", "state", &["--close", "journaled"]);
    // Known to the kernel: asked for its attributes, it answers for the dead.
    fs::metadata(&mount.point).unwrap();
    fs::write(mount.path("left.tmp"), "bytes").unwrap();
    die(&mount);
    let again = Command::new(env!("CARGO_BIN_EXE_filescomfs"))
        .args([stage.source().as_ref(), mount.point.as_os_str()])
        .args(["-o", &format!("close=journaled,cache-dir={}", mount.state.display())])
        .env("FILES_API_KEY", KEY)
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", told(&again));
    assert_eq!(mounts_on(&mount.point), 1, "nothing is stacked");
    assert!(told(&again).contains("has ended"), "it is told: {}", told(&again));
    let mount = Mount::at(mount.point.clone(), mount.state.clone());
    assert_eq!(fs::read(mount.path("left.tmp")).unwrap(), b"bytes");
    mount.umount();
    assert_eq!(stage.stored("left.tmp").unwrap(), b"bytes");
}

#[test]
fn a_mount_that_lives_is_not_taken_away() {
    let stage = Stage::new();
    let mount = stage.mount_at("mnt", "state", &[]);
    let second = stage
        .filescomfs(["mount", "--cache-dir"])
        .arg(stage.path("other"))
        .arg(stage.source())
        .arg(&mount.point)
        .output()
        .unwrap();
    assert!(!second.status.success(), "{}", told(&second));
    assert!(is_running(mount.pid) && mounts_on(&mount.point) == 1);
    mount.umount();
}

#[test]
fn a_mountpoint_that_is_not_empty_is_warned_of() {
    let stage = Stage::new();
    let point = stage.path("mnt");
    fs::create_dir_all(&point).unwrap();
    let mount_it = || -> Output {
        let mut command = stage.filescomfs(["mount", "--cache-dir"]);
        command.arg(stage.path("state")).arg(stage.source()).arg(&point).output().unwrap()
    };
    let empty = mount_it();
    assert!(
        empty.status.success() && told(&empty).trim_end().ends_with("exit status: 0:"),
        "{}",
        told(&empty)
    );
    let first = Mount::at(point.clone(), stage.path("state"));
    assert_eq!(first.status()["hidden"], 0);
    first.umount();

    // As a tool does that was not told that nothing is mounted.
    fs::write(point.join("leaked"), "x").unwrap();
    let warned = mount_it();
    assert!(warned.status.success(), "{}", told(&warned));
    assert!(told(&warned).contains("not empty") && told(&warned).contains("leaked"), "{}", told(&warned));
    let second = Mount::at(point.clone(), stage.path("state"));
    assert!(second.log().contains("leaked"), "{}", second.log());
    let shown = stage.filescomfs(["status"]).arg(&point).output().unwrap();
    assert!(told(&shown).contains("1 entry lies hidden"), "{}", told(&shown));
    let done = second.try_umount(&[]);
    assert!(done.status.success() && told(&done).contains("leaked"), "{}", told(&done));
}
