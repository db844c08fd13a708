//! `close=journaled`: folders, deletes, renames and attributes are facts here at once, and made on
//! Files.com in order, whatever comes between.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::close::close;
use crate::stage::{FOLDER, Mount, Stage, noise, sh, told, wait_until};

const JOURNALED: [&str; 2] = ["--close", "journaled"];

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

/// A site with a tree of another client, and requests that change something failing until they are let through.
fn stalled() -> (Stage, Mount) {
    let mut stage = Stage::new();
    for name in ["a", "b", "old/1", "old/2", "old/deep/3", "gone/4"] {
        stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
    }
    let mount = stage.mount_with_state("state", &JOURNALED);
    for kind in ["mkdir", "move", "delete", "begin_upload", "patch"] {
        stage.site.inject(Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) });
    }
    (stage, mount)
}

/// Changes of every kind to the tree of [`stalled`], none of which waits.
fn change_everything(mount: &Mount) {
    // What waited for the site would end with its error.
    let at = |name: &str| mount.path(name);
    fs::rename(at("a"), at("b")).unwrap();
    fs::remove_file(at("gone/4")).unwrap();
    fs::remove_dir(at("gone")).unwrap();
    fs::write(at("gone"), "a file now").unwrap();
    fs::rename(at("old"), at("new")).unwrap();
    fs::rename(at("new/1"), at("one")).unwrap();
    fs::create_dir_all(at("new/made/inside")).unwrap();
    fs::write(at("new/made/inside/5"), "five").unwrap();
    fs::rename(at("new/deep"), at("new/made/deep")).unwrap();
    fs::write(at("new/2"), "second version").unwrap();
    fs::set_permissions(at("new/made"), fs::Permissions::from_mode(0o750)).unwrap();
    let time = UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789);
    fs::File::open(at("one")).unwrap().set_modified(time).unwrap();
}

fn is_changed(mount: &Mount) {
    let text = |name: &str| fs::read_to_string(mount.path(name)).unwrap();
    assert_eq!((text("b"), text("gone"), text("one")), ("a".into(), "a file now".into(), "old/1".into()));
    assert_eq!((text("new/2"), text("new/made/inside/5")), ("second version".into(), "five".into()));
    assert_eq!(text("new/made/deep/3"), "old/deep/3");
    let names = sh(&format!("cd {} && find . -mindepth 1 | sort | tr '\\n' ' '", mount.point.display()));
    assert_eq!(
        String::from_utf8_lossy(&names.stdout).trim(),
        "./b ./gone ./new ./new/2 ./new/made ./new/made/deep ./new/made/deep/3 ./new/made/inside \
         ./new/made/inside/5 ./one"
    );
    assert_eq!(fs::metadata(mount.path("new/made")).unwrap().mode() & 0o7777, 0o750);
    let one = fs::metadata(mount.path("one")).unwrap();
    assert_eq!((one.mtime(), one.mtime_nsec()), (1_234_567_890, 123_456_789));
}

#[test]
fn changes_of_names_do_not_wait_and_arrive_in_order() {
    let (mut stage, mount) = stalled();
    change_everything(&mount);
    is_changed(&mount);
    assert_eq!(stage.stored("a").unwrap(), b"a", "nothing arrived yet");
    stage.site.clear_faults();
    sync(&stage, &mount);
    is_changed(&mount);
    mount.umount();
    let fresh = stage.mount(&[]);
    is_changed(&fresh);
    fresh.umount();
}

#[test]
fn changes_of_names_survive_sigkill() {
    let (mut stage, mount) = stalled();
    change_everything(&mount);
    mount.kill();
    // The faults hold for the next mount too: it must come up and show the same before anything arrived.
    let mount = stage.mount_with_state("state", &JOURNALED);
    is_changed(&mount);
    assert_eq!(stage.stored("a").unwrap(), b"a", "nothing arrived yet");
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &[]);
    is_changed(&mount);
    sync(&stage, &mount);
    mount.umount();
    let fresh = stage.mount(&[]);
    is_changed(&fresh);
    fresh.umount();
}

#[test]
fn a_lock_that_comes_and_goes_is_never_sent() {
    let mut stage = Stage::new();
    let mount = stage.mount(&JOURNALED);
    // The first is being made when the others come.
    stage.site.inject(Fault { times: 0, ..Fault::on("mkdir", Effect::Proxy { status: 503 }) });
    fs::create_dir(mount.path("first")).unwrap();
    wait_until("the first is asked for", || stage.requests("mkdir") > 0);
    fs::create_dir(mount.path("first/lock")).unwrap();
    fs::remove_dir(mount.path("first/lock")).unwrap();
    fs::write(mount.path("first/file"), "x").unwrap();
    fs::remove_file(mount.path("first/file")).unwrap();
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert!(!stage.was_named("lock"), "the lock was sent");
    assert_eq!((stage.requests("delete"), stage.requests("complete")), (0, 0));
    mount.umount();
}

#[test]
fn a_tree_is_removed_side_by_side_and_its_folders_last() {
    let mut stage = Stage::new();
    for n in 0..60 {
        stage.site.put(&format!("{FOLDER}/d/{}/{n}", n % 3), b"x");
    }
    let mount = stage.mount(&JOURNALED);
    // Each call that waited for it would end with an error.
    stage.site.inject(Fault::on("delete", Effect::Hold { until: 0 }).times(0));
    fs::remove_dir_all(mount.path("d")).unwrap();
    fs::create_dir(mount.path("d")).unwrap();
    fs::write(mount.path("d/new"), "new").unwrap();
    wait_until("several are asked for at once", || stage.site.held() > 3);
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert_eq!(stage.stored_names(), ["d/new"]);
    assert!(!stage.site.folders().iter().any(|folder| folder.contains("d/0")));
    mount.umount();
}

#[test]
fn what_others_put_there_meanwhile_is_not_deleted() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"old");
    stage.site.put(&format!("{FOLDER}/d/x"), b"x");
    let mount = stage.mount_with_state("state", &JOURNALED);
    stage.site.inject(Fault { times: 0, ..Fault::on("delete", Effect::Proxy { status: 503 }) });
    fs::remove_file(mount.path("f")).unwrap();
    fs::remove_file(mount.path("d/x")).unwrap();
    fs::remove_dir(mount.path("d")).unwrap();
    mount.kill();
    stage.site.clear_faults();
    stage.site.put(&format!("{FOLDER}/f"), b"newer, of somebody else");
    stage.site.put(&format!("{FOLDER}/d/y"), b"y");
    let mount = stage.mount_with_state("state", &JOURNALED);
    sync(&stage, &mount);
    assert_eq!(stage.stored("f").unwrap(), b"newer, of somebody else");
    assert_eq!((stage.stored("d/x"), stage.stored("d/y").unwrap()), (None, b"y".to_vec()));
    wait_until("the mount shows them", || {
        fs::read(mount.path("f")).is_ok_and(|bytes| bytes == b"newer, of somebody else")
            && mount.path("d/y").exists()
    });
    let log = mount.log();
    assert!(log.contains("was replaced by somebody else") && log.contains("somebody else put something in"));
    mount.umount();
}

#[test]
fn a_refused_change_is_kept_and_told_and_nothing_else_waits_for_it() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"a");
    let mount = stage.mount(&JOURNALED);
    let refused = Effect::Error {
        kind: "not-authorized/insufficient-permission-for-params".into(),
        status: None,
        retry_after: None,
    };
    stage.site.inject(Fault { times: 0, ..Fault::on("move", refused) });
    fs::rename(mount.path("a"), mount.path("b")).unwrap();
    fs::write(mount.path("other"), "arrives").unwrap();
    fs::write(mount.path("b"), "waits for the rename").unwrap();
    wait_until("it is held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 1));
    wait_until("the other arrives", || stage.stored("other").is_some());
    let left = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert_eq!(left.status.code(), Some(8), "{}", told(&left));
    assert!(told(&left).contains("rename /backups/a to /backups/b"), "{}", told(&left));
    assert_eq!((stage.stored("a").unwrap(), stage.stored("b")), (b"a".to_vec(), None));

    // Whoever gives the rename up has both: what Files.com has, and what was written.
    let discard = stage.filescomfs(["held"]).arg(&mount.point).args(["discard", "--all", "--yes"]).output();
    let discard = discard.unwrap();
    assert!(discard.status.success(), "{}", told(&discard));
    sync(&stage, &mount);
    assert_eq!(fs::read(mount.path("a")).unwrap(), b"a");
    assert_eq!(stage.stored("b").unwrap(), b"waits for the rename");
    mount.umount();
}

#[test]
fn a_truncated_file_is_the_old_one_until_the_new_one_is_durable() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &JOURNALED);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    let bytes = noise(1, 100_000);
    fs::write(mount.path("f"), &bytes).unwrap();
    let half = fs::File::create(mount.path("f")).unwrap();
    std::io::Write::write_all(&mut &half, b"not closed").unwrap();
    mount.kill();
    drop(half);
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &JOURNALED);
    sync(&stage, &mount);
    assert!(stage.stored("f").unwrap() == bytes, "what was acknowledged is lost");
    fs::write(mount.path("f"), "newer").unwrap();
    close(fs::File::create(mount.path("f")).unwrap()).unwrap();
    sync(&stage, &mount);
    assert_eq!(stage.stored("f").unwrap(), b"");
    mount.umount();
    assert_eq!(
        fs::read_dir(stage.path("state/state/spool")).unwrap().count(),
        0,
        "a spool file is left behind"
    );
}

#[test]
fn a_folder_that_was_removed_is_not_made_again_by_an_upload_that_was_being_begun() {
    for close in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", close]);
        fs::create_dir(mount.path("d")).unwrap();
        sync(&stage, &mount);
        stage.site.inject(Fault::on("begin_upload", Effect::Hold { until: 0 }));
        let (file, folder) = (mount.path("d/f"), mount.path("d"));
        let path = file.clone();
        let writer = std::thread::spawn(move || fs::write(path, "x"));
        wait_until("it is being begun", || stage.site.held() == 1);
        let remover = std::thread::spawn(move || {
            fs::remove_file(file).unwrap();
            fs::remove_dir(folder).unwrap();
        });
        wait_until("nobody wants it any more", || mount.status()["owed"]["files"] == 0);
        stage.site.clear_faults();
        remover.join().unwrap();
        let _ = writer.join().unwrap();
        sync(&stage, &mount);
        assert!(!stage.site.folders().contains(&format!("{FOLDER}/d")), "{close}: the folder is there again");
        mount.umount();
    }
}
