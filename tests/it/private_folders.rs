//! The folders of a mount on this machine: its own alone, outside of what is mounted, and never reached by a link of
//! somebody else's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::stage::{Stage, built, is_mounted, run, told};

const OTHER: u32 = 65_534;

/// Tries to mount at `mnt`, which may be killed: it could hang.
fn tried(stage: &Stage, options: &[(&str, &Path)]) -> Output {
    let point = stage.path("mnt");
    fs::create_dir_all(&point).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "20"]).arg(built()).arg("mount");
    command.env("FILES_API_KEY", crate::stage::KEY);
    for (option, folder) in options {
        command.arg(option).arg(folder);
    }
    let output = command.arg(stage.source()).arg(&point).output().unwrap();
    let was_mounted = is_mounted(&point);
    if was_mounted {
        let _ = stage.filescomfs(["umount", "--lazy"]).arg(&point).output();
    }
    assert!(!was_mounted || output.status.success());
    output
}

fn refused(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", told(output));
    assert!(told(output).contains(why), "{}", told(output));
}

/// A second way to a folder, which goes with the test.
struct Bound(PathBuf);

impl Bound {
    fn to(folder: &Path, at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        run(Command::new("mount").arg("--bind").arg(folder).arg(&at));
        Self(at)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_cache_inside_of_what_is_mounted_is_refused_however_it_is_spelled() {
    let stage = Stage::new();
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let inside = "is inside of the mountpoint";
    for option in ["--cache-dir", "--state-dir"] {
        for folder in
            [point.clone(), point.join("cache"), point.join("a/b/../c"), stage.path("other/../mnt/x")]
        {
            let other = stage.path("elsewhere");
            let option_of_other = if option == "--cache-dir" { "--state-dir" } else { "--cache-dir" };
            refused(&tried(&stage, &[(option, &folder), (option_of_other, &other)]), inside);
        }
    }
    symlink(&point, stage.path("link")).unwrap();
    refused(&tried(&stage, &[("--cache-dir", &stage.path("link/cache"))]), inside);
    symlink(point.join("later"), stage.path("dangling")).unwrap();
    refused(&tried(&stage, &[("--cache-dir", &stage.path("dangling"))]), inside);
    let bound = Bound::to(&point, stage.path("bound"));
    refused(&tried(&stage, &[("--cache-dir", &bound.0.join("cache"))]), inside);
    refused(&tried(&stage, &[("--log", &point.join("log")), ("--cache-dir", &stage.path("c"))]), inside);
    drop(bound);
    assert_eq!(fs::read_dir(&point).unwrap().count(), 0, "nothing was made there");
}

#[test]
fn a_folder_that_somebody_else_prepared_is_refused_and_nothing_is_written_through_its_links() {
    let stage = Stage::new();
    let victim = stage.path("victim");
    let unharmed = "a file of root's\n";
    fs::write(&victim, unharmed).unwrap();
    let names = [
        "lock",
        "filescomfs.log",
        "journal.sqlite",
        "journal.reserve",
        "receipts.sqlite",
        "spool",
        "content",
    ];
    let prepare = |name: &str, owner: u32, mode: u32| {
        let folder = stage.path(name);
        fs::create_dir(&folder).unwrap();
        for name in names {
            symlink(&victim, folder.join(name)).unwrap();
        }
        chown(&folder, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        folder
    };
    for (name, owner, mode, why) in [
        ("theirs", OTHER, 0o755, "belongs to another user"),
        ("theirs for all", OTHER, 0o777, "belongs to another user"),
        ("for all", 0, 0o777, "others may write"),
        ("for a group", 0, 0o775, "others may write"),
    ] {
        let folder = prepare(name, owner, mode);
        let fine = stage.path("fine");
        refused(&tried(&stage, &[("--state-dir", &folder), ("--cache-dir", &fine)]), why);
        refused(&tried(&stage, &[("--state-dir", &fine), ("--cache-dir", &folder)]), why);
        refused(&tried(&stage, &[("--cache-dir", &folder)]), why);
    }
    // Links in a folder of our own are no way out of it either.
    let ours = prepare("ours", 0, 0o700);
    let output = tried(&stage, &[("--state-dir", &ours), ("--cache-dir", &stage.path("fine"))]);
    assert!(!output.status.success(), "{}", told(&output));
    // A link of somebody else's that leads to a folder of ours.
    let theirs = stage.path("their link");
    symlink(stage.path("fine"), &theirs).unwrap();
    std::os::unix::fs::lchown(&theirs, Some(OTHER), Some(OTHER)).unwrap();
    refused(&tried(&stage, &[("--state-dir", &theirs)]), "belongs to another user");
    assert_eq!(fs::read_to_string(&victim).unwrap(), unharmed);
}

#[test]
fn a_link_of_ones_own_to_a_larger_disk_is_followed() {
    let stage = Stage::new();
    let disk = stage.path("disk");
    fs::create_dir(&disk).unwrap();
    symlink(&disk, stage.path("cache")).unwrap();
    let output = tried(&stage, &[("--cache-dir", &stage.path("cache"))]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(disk.join("content").is_dir() && disk.join("state/journal.sqlite").is_file());
}
