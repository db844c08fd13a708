//! What Files.com has made and nobody knows of yet: a change of a name whose answer is late or lost, a completion nobody
//! heard of, a folder that nobody has looked into. It is looked for wherever it may be, and never taken for nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, sh, told, wait_until};

const JOURNALED: [&str; 4] = ["--close", "journaled", "--network-timeout", "5s"];
/// Longer than any of these tests takes.
const LATE: Effect = Effect::Delay { ms: 60_000 };

fn lasting(kind: &str) -> Fault {
    Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) }
}

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "1m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}\n{}", told(&done), mount.log());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_a_folder_brought_along_is_found_after_a_crash_when_its_move_was_not_noted() {
    let mut stage = Stage::new();
    for name in ["d/b/f", "d/b/é", "d/b/stays"] {
        stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
    }
    let mount = stage.mount_with_state("state", &JOURNALED);
    assert_eq!(names(&mount.path("d/b")).len(), 3);
    stage.site.inject(Fault::on("move", LATE).after_effect());
    stage.site.inject(lasting("begin_upload"));
    fs::rename(mount.path("d/b"), mount.path("d/q")).unwrap();
    wait_until("it is made there", || stage.stored("d/q/f").is_some());
    fs::rename(mount.path("d/q/f"), mount.path("d/x")).unwrap();
    fs::rename(mount.path("d/q/é"), mount.path("d/é")).unwrap();
    fs::write(mount.path("d/E"), "owed").unwrap();
    fs::set_permissions(mount.path("d/x"), fs::Permissions::from_mode(0o600)).unwrap();
    sh(&format!("setfattr -n user.a -v b {}", mount.path("d/x").display()));
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &JOURNALED);
    assert_eq!(names(&mount.path("d")), ["E", "q", "x", "é"]);
    assert_eq!(names(&mount.path("d/q")), ["stays"]);
    let taken = OpenOptions::new().write(true).create_new(true).open(mount.path("d/x")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(mount.path("d/x")).unwrap(), b"d/b/f");
    sync(&stage, &mount);
    mount.umount();
    let fresh = stage.mount(&[]);
    assert_eq!(names(&fresh.path("d")), ["E", "q", "x", "é"]);
    for (name, bytes) in [("x", "d/b/f"), ("é", "d/b/é"), ("E", "owed"), ("q/stays", "d/b/stays")] {
        assert_eq!(fs::read_to_string(fresh.path("d").join(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!(fs::metadata(fresh.path("d/x")).unwrap().permissions().mode() & 0o777, 0o600);
    sh(&format!("getfattr -n user.a {}", fresh.path("d/x").display()));
    fresh.umount();
}

#[test]
fn what_was_renamed_there_and_back_is_read_while_the_first_answer_is_late() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"bytes");
    stage.site.put(&format!("{FOLDER}/d/f"), b"inside");
    let mount = stage.mount(&JOURNALED);
    assert!(mount.path("d").is_dir());
    for (one, other, there, file, bytes) in
        [("a", "b", "b", "a", "bytes"), ("d", "e", "e/f", "d/f", "inside")]
    {
        stage.site.inject(Fault::on("move", Effect::Delay { ms: 2000 }).after_effect());
        fs::rename(mount.path(one), mount.path(other)).unwrap();
        wait_until("it is made there", || stage.stored(there).is_some());
        fs::rename(mount.path(other), mount.path(one)).unwrap();
        assert_eq!(fs::read_to_string(mount.path(file)).unwrap(), bytes);
        assert_eq!(stage.stored(file), None, "it was read before it was moved back");
    }
    sync(&stage, &mount);
    assert_eq!(stage.stored_names(), ["a", "d/f"]);
    mount.umount();
}

/// A mount that has sent `x`, and heard neither the answer nor what became of it.
fn mount_in_doubt(stage: &mut Stage, options: &[&str]) -> Mount {
    let mount = stage.mount(options);
    stage.site.inject(Fault { times: 0, ..Fault::on("complete", Effect::Reset).after_effect() });
    stage.site.inject(lasting("stat"));
    // In `close=verified`, this tells.
    let _ = write_and_close(&mount.path("x"), b"in doubt");
    wait_until("it is there", || stage.stored("x").is_some());
    wait_until("nobody knows", || mount.log().contains("x is not on Files.com"));
    stage.site.inject(lasting("begin_upload"));
    mount
}

#[test]
fn what_may_be_there_is_deleted_with_the_file_that_replaced_it() {
    for close in ["journaled", "verified"] {
        let mut stage = Stage::new();
        let mount = mount_in_doubt(&mut stage, &["--close", close, "--network-timeout", "2s"]);
        let _ = write_and_close(&mount.path("t.tmp"), b"newer");
        let _ = fs::rename(mount.path("t.tmp"), mount.path("x"));
        stage.site.clear_faults();
        stage.site.inject(lasting("begin_upload"));
        fs::remove_file(mount.path("x")).unwrap();
        stage.site.clear_faults();
        sync(&stage, &mount);
        assert_eq!(stage.stored_names(), [""; 0], "{close}");
        mount.umount();
    }
}

#[test]
fn what_may_be_there_does_not_stand_in_the_way_of_a_rename() {
    for close in ["journaled", "verified"] {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/a"), b"moved");
        let mount = mount_in_doubt(&mut stage, &["--close", close, "--network-timeout", "2s"]);
        stage.site.clear_faults();
        stage.site.inject(lasting("begin_upload"));
        fs::rename(mount.path("a"), mount.path("x")).unwrap();
        stage.site.clear_faults();
        sync(&stage, &mount);
        assert_eq!(mount.status()["held"].as_array().map_or(0, Vec::len), 0, "{close}");
        assert_eq!((stage.stored_names(), stage.stored("x")), (vec!["x".into()], Some(b"moved".to_vec())));
        mount.umount();
    }
}

#[test]
fn what_is_deleted_and_renamed_offline_before_anybody_looked_does_not_come_back() {
    let mut stage = Stage::new();
    for name in ["f", "h", "d/f", "e/f"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"old");
    }
    let mount = stage.mount_with_state("state", &JOURNALED);
    for name in ["f", "h", "d/f", "e/f"] {
        assert_eq!(fs::read(mount.path(name)).unwrap(), b"old");
    }
    stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Reset) });
    for name in ["f", "h", "d/f", "e/f"] {
        let mut file = OpenOptions::new().append(true).open(mount.path(name)).unwrap();
        file.write_all(b" and new").unwrap();
        close(file).unwrap();
    }
    mount.kill();
    let mount = stage.mount_with_state("state", &[&JOURNALED[..], &["--offline-start"]].concat());
    fs::remove_file(mount.path("f")).unwrap();
    fs::rename(mount.path("h"), mount.path("g")).unwrap();
    fs::remove_file(mount.path("d/f")).unwrap();
    fs::remove_dir(mount.path("d")).unwrap();
    fs::rename(mount.path("e"), mount.path("k")).unwrap();
    stage.site.clear_faults();
    wait_until("Files.com can be reached", || mount.status()["reachable"] == true);
    sync(&stage, &mount);
    assert_eq!(stage.stored_names(), ["g", "k/f"], "{}", mount.log());
    for name in ["g", "k/f"] {
        assert_eq!(stage.stored(name).unwrap(), b"old and new", "{name}");
    }
    assert_eq!(names(&mount.point), ["g", "k"]);
    let folders = stage.site.folders();
    for name in ["d", "e"] {
        assert!(!folders.contains(&format!("{FOLDER}/{name}")), "{name} is still there");
    }
    mount.umount();
}

#[test]
fn a_folder_that_took_the_place_of_one_on_the_site_goes_with_it() {
    for close in ["journaled", "verified"] {
        let mut stage = Stage::new();
        for folder in ["d", "lock.tmp", "kept"] {
            stage.site.mkdir(&format!("{FOLDER}/{folder}"));
        }
        let mount = stage.mount(&["--close", close]);
        for folder in ["d", "lock.tmp", "kept"] {
            fs::create_dir(mount.path("x.tmp")).unwrap();
            fs::write(mount.path("x.tmp/f"), "inside").unwrap();
            fs::set_permissions(mount.path("x.tmp"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::rename(mount.path("x.tmp"), mount.path(folder)).unwrap();
            if folder != "kept" {
                fs::remove_file(mount.path(folder).join("f")).unwrap();
                fs::remove_dir(mount.path(folder)).unwrap();
            }
        }
        sync(&stage, &mount);
        mount.umount();
        assert_eq!(stage.stored_names(), ["kept/f"], "{close}");
        let fresh = stage.mount(&[]);
        assert_eq!(names(&fresh.point), ["kept"], "{close}");
        assert_eq!(fs::metadata(fresh.path("kept")).unwrap().permissions().mode() & 0o777, 0o700);
        fresh.umount();
    }
}

#[test]
fn what_a_listing_shows_of_a_request_under_way_belongs_to_that_request() {
    let mut stage = Stage::new();
    for name in ["f", "other"] {
        stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
    }
    let mount = stage.mount(&["--hard-links", "copy", "--dir-ttl", "0s"]);
    assert!(mount.path("other").exists());
    stage.site.inject(Fault::on("mkdir", Effect::Delay { ms: 1500 }).after_effect());
    stage.site.inject(Fault::on("copy", Effect::Delay { ms: 1500 }).after_effect());
    let look_meanwhile = |work: &(dyn Fn() -> std::io::Result<()> + Sync), is_there: &dyn Fn() -> bool| {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            wait_until("it is made there", is_there);
            // Its folder is listed while the answer is on its way.
            let listings = stage.requests("list");
            assert!(mount.path("other").exists());
            assert!(stage.requests("list") > listings && !working.is_finished());
            working.join().unwrap().unwrap();
        });
    };
    let folder = || stage.site.folders().contains(&format!("{FOLDER}/lock"));
    look_meanwhile(&|| fs::create_dir(mount.path("lock")), &folder);
    look_meanwhile(&|| fs::hard_link(mount.path("f"), mount.path("g")), &|| stage.stored("g").is_some());
    assert_eq!(names(&mount.point), ["f", "g", "lock", "other"]);
    write_and_close(&mount.path("g"), b"written again").unwrap();
    write_and_close(&mount.path("lock/inside"), b"inside").unwrap();
    assert_eq!(stage.stored_names(), ["f", "g", "lock/inside", "other"]);
    assert_eq!(stage.stored("g").unwrap(), b"written again");
    mount.umount();
}

#[test]
fn a_copy_of_a_copy_is_read_and_written_before_either_is_made() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"bytes");
    let options = [&JOURNALED[..], &["--hard-links", "copy"]].concat();
    let mount = stage.mount(&options);
    // A copy is a version of its own.
    stage.site.advance(Duration::from_secs(10));
    stage.site.inject(lasting("copy").skip(1));
    fs::hard_link(mount.path("a"), mount.path("b")).unwrap();
    fs::hard_link(mount.path("b"), mount.path("c")).unwrap();
    fs::hard_link(mount.path("c"), mount.path("d")).unwrap();
    wait_until("the first is made", || stage.stored("b").is_some());
    wait_until("the second is tried", || mount.log().contains("cannot copy"));
    assert_eq!(fs::read(mount.path("c")).unwrap(), b"bytes");
    let mut file = File::options().append(true).open(mount.path("d")).unwrap();
    file.write_all(b" and more").unwrap();
    close(file).unwrap();
    assert_eq!(fs::read(mount.path("d")).unwrap(), b"bytes and more");
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert_eq!(stage.stored("c").unwrap(), b"bytes");
    assert_eq!(stage.stored("d").unwrap(), b"bytes and more");
    mount.umount();
}

#[test]
fn a_folder_that_is_to_be_made_and_is_there_already_is_not_shown_empty() {
    let mut stage = Stage::new();
    stage.site.mkdir(&format!("{FOLDER}/other"));
    let mount = stage.mount_with_state("state", &JOURNALED);
    stage.site.inject(lasting("mkdir"));
    fs::create_dir(mount.path("d")).unwrap();
    wait_until("it is tried", || stage.requests("mkdir") > 0);
    // Another client is faster, as the request of a mount that is being killed may be.
    stage.site.put(&format!("{FOLDER}/d/theirs"), b"theirs");
    mount.kill();
    let mount = stage.mount_with_state("state", &JOURNALED);
    assert_eq!(names(&mount.path("d")), ["theirs"]);
    assert_eq!(fs::read(mount.path("d/theirs")).unwrap(), b"theirs");
    stage.site.clear_faults();
    sync(&stage, &mount);
    mount.umount();
}

#[test]
fn what_was_made_and_moved_below_a_folder_that_nobody_has_looked_into_is_shown_where_it_is() {
    let mut stage = Stage::new();
    for name in ["d/old", "e/old"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"old");
    }
    let mount = stage.mount_with_state("state", &JOURNALED);
    assert_eq!((names(&mount.path("d")), names(&mount.path("e"))), (vec!["old".into()], vec!["old".into()]));
    stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Reset) });
    fs::write(mount.path("d/new"), "new").unwrap();
    fs::create_dir(mount.path("d/s")).unwrap();
    fs::rename(mount.path("d/s"), mount.path("e/t")).unwrap();
    fs::set_permissions(mount.path("d"), fs::Permissions::from_mode(0o700)).unwrap();
    mount.kill();
    let mount = stage.mount_with_state("state", &[&JOURNALED[..], &["--offline-start"]].concat());
    assert_eq!(names(&mount.path("d")), ["new"]);
    fs::set_permissions(mount.path("d"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(mount.path("d/new"), "newer").unwrap();
    stage.site.clear_faults();
    wait_until("Files.com can be reached", || mount.status()["reachable"] == true);
    sync(&stage, &mount);
    assert_eq!(
        (names(&mount.path("d")), names(&mount.path("e"))),
        (vec!["new".into(), "old".into()], vec!["old".into(), "t".into()])
    );
    mount.umount();
    let fresh = stage.mount(&[]);
    assert_eq!(names(&fresh.path("d")), ["new", "old"]);
    assert_eq!(fs::read(fresh.path("d/new")).unwrap(), b"newer");
    assert_eq!(fs::metadata(fresh.path("d")).unwrap().permissions().mode() & 0o777, 0o750);
    fresh.umount();
}
