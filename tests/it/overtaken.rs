//! What happens meanwhile: beside a fact that is taken up late, a move that takes long, a backlog that is being worked
//! off.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use filescomfs::emulator::{Effect, Fault};

use crate::close::write_and_close;
use crate::stage::{FOLDER, Mount, Stage, told, wait_until};

const SOON: &[&str] = &["--network-timeout", "3s"];

fn lasting(kind: &str) -> Fault {
    Fault { times: 0, ..Fault::on(kind, Effect::Proxy { status: 503 }) }
}

/// It takes effect at once, and its answer comes this much later.
fn answered_late(kind: &str, ms: u64) -> Fault {
    Fault { after: true, ..Fault::on(kind, Effect::Delay { ms }) }
}

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

/// A mount that owes these files, and whose folder `d` cannot be listed before the faults are cleared.
fn mount_with_untaken(stage: &mut Stage, owed: &[&str]) -> Mount {
    let mount = stage.mount_with_state("state", SOON);
    stage.site.inject(lasting("begin_upload"));
    for name in owed {
        write_and_close(&mount.path(name), b"owed by the first mount").expect_err("it cannot be sent");
    }
    mount.kill();
    stage.site.clear_faults();
    stage.site.inject(lasting("list").path("d"));
    let mount = stage.mount_with_state("state", SOON);
    wait_until("they wait to be taken up", || mount.status()["owed"]["files"] == owed.len());
    mount
}

#[test]
fn what_is_taken_up_late_does_not_take_the_place_of_what_was_moved_there() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/d/x"), b"moved");
    let mount = mount_with_untaken(&mut stage, &["d/g", "d/h"]);
    stage.site.clear_faults();
    fs::rename(mount.path("d/x"), mount.path("d/g")).unwrap();
    assert_eq!(fs::create_dir(mount.path("d/h")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    synced(&stage, &mount);
    assert_eq!(stage.stored("d/g").as_deref(), Some(&b"moved"[..]));
    assert_eq!(stage.stored("d/h").as_deref(), Some(&b"owed by the first mount"[..]));
    mount.umount();
}

#[test]
fn whoever_opens_a_file_that_was_taken_up_late_opens_that_one() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/d/f"), b"of before");
    let mount = mount_with_untaken(&mut stage, &["d/f"]);
    stage.site.clear_faults();
    // The kernel knows the version of before from now on.
    fs::metadata(mount.path("d/f")).unwrap();
    synced(&stage, &mount);
    assert_eq!(fs::read(mount.path("d/f")).unwrap(), b"owed by the first mount");
    write_and_close(&mount.path("d/f"), b"newest").unwrap();
    assert_eq!(stage.stored("d/f").as_deref(), Some(&b"newest"[..]));
    mount.umount();
}

#[test]
fn a_folder_is_listed_once_while_others_are_emptied() {
    let mut stage = Stage::new();
    for n in 0..200 {
        stage.site.put(&format!("{FOLDER}/full/{n:03}"), b"x");
    }
    stage.site.put(&format!("{FOLDER}/other/file"), b"x");
    let mount = stage.mount(&["--close", "journaled"]);
    let names: Vec<_> =
        fs::read_dir(mount.path("full")).unwrap().map(|entry| entry.unwrap().path()).collect();
    stage.site.inject(Fault::on("list", Effect::Hold { until: 0 }).path("other"));
    stage.site.clear_requests();
    let other = mount.path("other");
    let reader = std::thread::spawn(move || fs::read_dir(other).unwrap().count());
    wait_until("it is being listed", || stage.site.held() == 1);
    names.into_iter().for_each(|name| fs::remove_file(name).unwrap());
    wait_until("some ended meanwhile", || stage.requests("delete") > 0);
    stage.site.clear_faults();
    assert_eq!(reader.join().unwrap(), 1);
    let requests = stage.site.requests();
    let of_other =
        requests.iter().filter(|request| request.kind == "list" && request.path.ends_with("other"));
    assert_eq!(of_other.count(), 1);
    stage.site.clear_faults();
    mount.umount();
}

#[test]
fn what_is_being_moved_is_not_taken_for_lost_by_who_looks_at_its_neighbours() {
    let mut stage = Stage::new();
    for name in ["d/f", "d/beside", "d/sub/in"] {
        stage.site.put(&format!("{FOLDER}/{name}"), b"there");
    }
    let mount = stage.mount(&["--dir-ttl", "1ms"]);
    for name in ["d/f", "d/beside", "d/sub/in"] {
        fs::metadata(mount.path(name)).unwrap();
    }
    for (from, to, there) in [("d/f", "d/g", "d/g"), ("d/sub", "d/moved", "d/moved/in")] {
        stage.site.inject(answered_late("move", 700));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let moved = fs::rename(mount.path(from), mount.path(to));
                is_over.store(true, Ordering::Relaxed);
                moved.unwrap();
            });
            wait_until("Files.com has moved it", || stage.stored(there).is_some());
            while !is_over.load(Ordering::Relaxed) {
                fs::metadata(mount.path("d/beside")).unwrap();
            }
        });
        write_and_close(&mount.path(there), b"written after the move").unwrap();
        assert_eq!(stage.stored(there).as_deref(), Some(&b"written after the move"[..]));
    }
    mount.umount();
}

#[test]
fn a_close_does_not_wait_for_ever_behind_a_change_that_fails() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"to be moved");
    let options = [SOON, &["--close", "journaled"]].concat();
    let mount = stage.mount_with_state("state", &options);
    stage.site.inject(lasting("move"));
    fs::rename(mount.path("a"), mount.path("b")).unwrap();
    mount.kill();
    let mount = stage.mount_with_state("state", SOON);
    write_and_close(&mount.path("b"), b"behind it").expect_err("the move fails again and again");
    wait_until("the log says why", || mount.log().contains("an earlier change is"));
    stage.site.clear_faults();
    mount.umount();
    assert_eq!(stage.stored("b").as_deref(), Some(&b"behind it"[..]));
    assert_eq!(stage.stored("a"), None);
}

#[test]
fn attributes_of_a_file_that_others_took_away_are_not_those_of_the_next_one() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"of before");
    let mount = stage.mount_with_state("state", &["--dir-ttl", "1ms", "--network-timeout", "3s"]);
    stage.site.inject(lasting("patch"));
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.site.delete(&format!("{FOLDER}/f"));
    wait_until("it is seen to be gone", || fs::read_dir(&mount.point).unwrap().count() == 0);
    stage.site.clear_faults();
    write_and_close(&mount.path("f"), b"another file").unwrap();
    let mode = |mount: &Mount| fs::metadata(mount.path("f")).unwrap().permissions().mode() & 0o777;
    let before = mode(&mount);
    assert_ne!(before, 0o600);
    mount.umount();
    let mount = stage.mount_with_state("state", &[]);
    synced(&stage, &mount);
    assert_eq!(mode(&mount), before);
    mount.umount();
}
