//! What Files.com refused for good: kept, shown, tried again, copied out, or given up.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};
use serde_json::Value;

use crate::close::write_and_close;
use crate::stage::{FOLDER, Mount, Stage, built, told, wait_until};

fn held(stage: &Stage, mount: &Mount, arguments: &[&str]) -> Output {
    stage.filescomfs(["held"]).arg(&mount.point).args(arguments).output().unwrap()
}

fn said(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A mount that holds `d/new`, and `old`, of which Files.com has an earlier version.
fn mount_with_held(stage: &mut Stage, close: &str) -> Mount {
    stage.site.put(&format!("{FOLDER}/old"), b"first version");
    let mount = stage.mount_with_state("state", &["--close", close]);
    fs::create_dir(mount.path("d")).unwrap();
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::FlipPart) });
    let _ = fs::write(mount.path("d/new"), "precious");
    let _ = fs::write(mount.path("old"), "second version");
    let is_held = |mount: &Mount| mount.status()["held"].as_array().is_some_and(|held| held.len() == 2);
    wait_until("both are held", || is_held(&mount));
    mount
}

#[test]
fn what_is_held_is_listed_and_a_retry_tells_the_outcome() {
    let mut stage = Stage::new();
    let mount = mount_with_held(&mut stage, "verified");
    let list = said(&held(&stage, &mount, &["list"]), 0);
    assert!(list.contains("/backups/d/new (8 B): ") && list.contains("another version"), "{list}");
    let json: Value =
        serde_json::from_str(&said(&held(&stage, &mount, &["list", "--json", "d"]), 0)).unwrap();
    assert_eq!((json[0]["below"].as_str(), json.as_array().map(Vec::len)), (Some("d/new"), Some(1)));
    assert!(said(&held(&stage, &mount, &["retry", "d"]), 8).contains("/backups/d/new: still held: "));
    stage.site.clear_faults();
    assert_eq!(said(&held(&stage, &mount, &["retry", "d/new"]), 0), "/backups/d/new: on Files.com\n");
    assert_eq!(
        (stage.stored("d/new").unwrap(), stage.stored("old").unwrap()),
        (b"precious".to_vec(), b"first version".to_vec())
    );
    said(&held(&stage, &mount, &["retry"]), 0);
    assert_eq!(stage.stored("old").unwrap(), b"second version");
    assert_eq!(said(&held(&stage, &mount, &["list"]), 0), "Nothing is held.\n");
    assert_eq!(held(&stage, &mount, &["retry", "missing"]).status.code(), Some(1));
    mount.umount();
}

#[test]
fn what_is_held_can_be_copied_out_and_stays_held() {
    let mut stage = Stage::new();
    let mount = mount_with_held(&mut stage, "journaled");
    let path = mount.path("d/new");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let folder = stage.path("out");
    let named = folder.to_str().unwrap().to_owned();
    assert!(said(&held(&stage, &mount, &["export", &named]), 0).contains("2 files copied"));
    let copy = fs::metadata(folder.join("d/new")).unwrap();
    assert_eq!(
        (fs::read(folder.join("d/new")).unwrap(), copy.mode() & 0o7777),
        (b"precious".to_vec(), 0o640)
    );
    assert_eq!(copy.modified().unwrap(), time);
    assert_eq!(fs::read(folder.join("old")).unwrap(), b"second version");
    let again = held(&stage, &mount, &["export", &named]);
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten: {}", told(&again));
    assert_eq!(mount.status()["held"].as_array().map(Vec::len), Some(2));
    drop(mount);
}

#[test]
fn what_is_given_up_shows_what_files_com_has_and_does_not_come_back() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = mount_with_held(&mut stage, close);
        for arguments in [&["discard"][..], &["discard", "old"], &["discard", "--all", "old"]] {
            said(&held(&stage, &mount, arguments), 2);
        }
        assert_eq!(fs::read(mount.path("old")).unwrap(), b"second version", "nobody said yes");
        assert_eq!(said(&held(&stage, &mount, &["discard", "--yes", "old"]), 0), "/backups/old: discarded\n");
        assert_eq!(fs::read(mount.path("old")).unwrap(), b"first version");
        said(&held(&stage, &mount, &["discard", "--yes", "--all"]), 0);
        assert_eq!(fs::read_dir(mount.path("d")).unwrap().count(), 0);
        assert!(!mount.path("d/new").exists());
        assert_eq!(mount.status()["owed"]["files"], 0);
        mount.kill();
        stage.site.clear_faults();
        let mount = stage.mount_with_state("state", &[]);
        assert_eq!(
            (mount.status()["owed"]["files"].as_u64(), mount.path("d/new").exists()),
            (Some(0), false)
        );
        assert_eq!(fs::read(mount.path("old")).unwrap(), b"first version");
        fs::write(mount.path("d/new"), "again").unwrap();
        mount.umount();
        assert_eq!(stage.stored("d/new").unwrap(), b"again");
    }
}

#[test]
fn a_folder_that_is_given_up_with_all_in_it_is_not_shown_any_more() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    let refused = || Effect::Error {
        kind: "not-authorized/insufficient-permission-for-params".into(),
        status: None,
        retry_after: None,
    };
    for kind in ["mkdir", "begin_upload"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, refused()) });
    }
    fs::create_dir(mount.path("d")).unwrap();
    fs::write(mount.path("d/new"), "not wanted").unwrap();
    let is_held =
        |path: &str| mount.status()["held"].as_array().unwrap().iter().any(|held| held["path"] == path);
    wait_until("the folder is held", || is_held("/backups/d"));
    said(&held(&stage, &mount, &["discard", "--yes", "d"]), 0);
    wait_until("the file is held", || is_held("/backups/d/new"));
    said(&held(&stage, &mount, &["discard", "--yes", "d/new"]), 0);
    assert!(!mount.path("d").exists(), "shown, and neither here nor on Files.com");
    mount.umount();
}

/// A mount that owes two files below `d`, which somebody else has made a file meanwhile.
fn mount_with_leftovers(stage: &mut Stage) -> Mount {
    let mount = stage.mount_with_state("state", &["--network-timeout", "3s"]);
    fs::create_dir(mount.path("d")).unwrap();
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    for name in ["d/f", "d/g"] {
        write_and_close(&mount.path(name), b"precious").expect_err("it cannot be sent");
    }
    mount.kill();
    stage.site.clear_faults();
    stage.site.delete(&format!("{FOLDER}/d"));
    stage.site.put(&format!("{FOLDER}/d"), b"a file of somebody else");
    let mount = stage.mount_with_state("state", &[]);
    let list = said(&held(stage, &mount, &["list"]), 0);
    assert!(list.contains("/backups/d/f") && list.contains("move that file away"), "{list}");
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert_eq!(synced.status.code(), Some(8), "{}", told(&synced));
    let attempts = mount.log().matches("/backups/d/f is owed and could not be taken up").count();
    assert_eq!(attempts, 1, "no further attempt would change anything");
    mount
}

#[test]
fn what_was_left_below_a_folder_that_is_a_file_now_is_taken_up_once_the_file_is_moved_away() {
    let mut stage = Stage::new();
    let mount = mount_with_leftovers(&mut stage);
    assert!(said(&held(&stage, &mount, &["retry"]), 8).contains("/backups/d/f: still held: "));
    fs::rename(mount.path("d"), mount.path("aside")).unwrap();
    said(&held(&stage, &mount, &["retry"]), 8);
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
    for name in ["d/f", "d/g"] {
        assert_eq!(stage.stored(name).as_deref(), Some(&b"precious"[..]));
    }
    mount.umount();
}

#[test]
fn what_was_left_and_cannot_be_taken_up_can_be_given_up() {
    let mut stage = Stage::new();
    let mount = mount_with_leftovers(&mut stage);
    let told_of = said(&held(&stage, &mount, &["discard", "--yes", "d"]), 0);
    assert_eq!(told_of, "/backups/d/f: discarded\n/backups/d/g: discarded\n");
    mount.umount();
    let mount = stage.mount_with_state("state", &[]);
    assert_eq!(mount.status()["owed"]["files"], 0);
    assert_eq!(stage.stored("d").as_deref(), Some(&b"a file of somebody else"[..]));
    mount.umount();
}

#[test]
fn what_was_left_where_a_folder_is_now_is_taken_up_once_the_folder_is_moved_away() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--network-timeout", "3s"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    write_and_close(&mount.path("x"), b"precious").expect_err("it cannot be sent");
    mount.kill();
    stage.site.clear_faults();
    stage.site.put(&format!("{FOLDER}/x/in"), b"of somebody else");
    let mount = stage.mount_with_state("state", &[]);
    let list = said(&held(&stage, &mount, &["list"]), 0);
    assert!(list.contains("/backups/x") && list.contains("move that folder away"), "{list}");
    fs::rename(mount.path("x"), mount.path("aside")).unwrap();
    said(&held(&stage, &mount, &["retry"]), 8);
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
    assert_eq!(stage.stored("x").as_deref(), Some(&b"precious"[..]));
    assert_eq!(stage.stored("aside/in").as_deref(), Some(&b"of somebody else"[..]));
    mount.umount();
}

#[test]
fn what_becomes_held_while_somebody_is_asked_is_not_given_up_unseen() {
    let mut stage = Stage::new();
    let mount = mount_with_held(&mut stage, "verified");
    let command = format!("{} held {} discard --all", built().display(), mount.point.display());
    // On a terminal of its own, since nobody else is asked.
    let mut asked = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let mut screen = asked.stdout.take().unwrap();
    while !String::from_utf8_lossy(&shown).contains("Type yes") {
        let mut piece = [0; 512];
        let count = screen.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&piece[..count]);
    }
    let _ = fs::write(mount.path("unseen"), "held since");
    let _ = fs::write(mount.path("old"), "other bytes than those that were shown");
    let messages = || mount.status()["held"].as_array().map(Vec::len);
    wait_until("one more is held", || messages() == Some(3));
    asked.stdin.as_mut().unwrap().write_all(b"yes\n").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert_eq!(asked.wait().unwrap().code(), Some(8), "{}", String::from_utf8_lossy(&shown));
    assert!(!mount.path("d/new").exists(), "it was shown, and given up");
    assert_eq!(fs::read(mount.path("unseen")).unwrap(), b"held since");
    assert_eq!(fs::read(mount.path("old")).unwrap(), b"other bytes than those that were shown");
    drop(mount);
}
