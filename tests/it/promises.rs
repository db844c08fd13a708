//! What was acknowledged is not lost to what follows it: a later version, another writer, a rename, a mount that
//! could not take it up in time. Each ends with a daemon that dies, and a mount that finds what it left.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Stage, told, wait_until};

const JOURNALED: &[&str] = &["--close", "journaled"];

/// Every upload fails from now on, for a while.
fn let_uploads_fail(stage: &Stage) {
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
}

#[test]
fn a_version_that_failed_does_not_come_back_over_the_one_that_was_acknowledged_after_it() {
    for round in 0..5 {
        let mut stage = Stage::new();
        let mount = stage.mount_with_state("state", &["--network-timeout", "3s"]);
        let_uploads_fail(&stage);
        write_and_close(&mount.path("f"), b"the version that failed").expect_err("it cannot be sent");
        stage.site.clear_faults();
        write_and_close(&mount.path("f"), b"newest").unwrap();
        mount.kill();
        let mount = stage.mount_with_state("state", &[]);
        mount.umount();
        assert_eq!(stage.stored("f").unwrap(), b"newest", "round {round}");
    }
}

#[test]
fn a_close_promises_its_bytes_whoever_writes_beside_it() {
    let mut stage = Stage::new();
    for round in 0..5 {
        let name = format!("f{round}");
        let mount = stage.mount_with_state("state", JOURNALED);
        let (busy, beside) = (AtomicBool::new(true), File::create(mount.path(&name)).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Ends with the daemon, at the latest.
                let mut at = (1_u64..).take_while(|_| busy.load(Ordering::Relaxed));
                while at.next().is_some_and(|at| beside.write_all_at(b"theirs", 4096 + at % 64 * 100).is_ok())
                {
                }
            });
            let mut own = OpenOptions::new().write(true).open(mount.path(&name)).unwrap();
            own.write_all(b"acknowledged").unwrap();
            close(own).unwrap();
            // SAFETY: the daemon of this test.
            unsafe { libc::kill(mount.pid, libc::SIGSTOP) };
            busy.store(false, Ordering::Relaxed);
            // SAFETY: as above; the writer's last call ends with an error or not at all.
            unsafe { libc::kill(mount.pid, libc::SIGKILL) };
        });
        drop(beside);
        mount.kill();
        let mount = stage.mount_with_state("state", JOURNALED);
        mount.umount();
        let stored = stage.stored(&name).unwrap_or_else(|| panic!("round {round}: nothing arrived"));
        assert!(stored.starts_with(b"acknowledged"), "round {round}");
    }
}

#[test]
fn a_file_that_is_renamed_while_it_is_written_takes_no_promise_with_it() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &[JOURNALED, &["--network-timeout", "3s"]].concat());
    let_uploads_fail(&stage);
    write_and_close(&mount.path("f"), b"acknowledged").unwrap();
    let mut file = File::create(mount.path("g")).unwrap();
    file.write_all(b"not closed yet").unwrap();
    fs::rename(mount.path("g"), mount.path("f")).unwrap();
    let pid = mount.pid;
    // SAFETY: the daemon of this test.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    drop(file);
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", JOURNALED);
    mount.umount();
    assert_eq!(stage.stored("f").as_deref(), Some(&b"not closed yet"[..]), "one of the two has to be there");
}

#[test]
fn what_was_owed_under_a_name_does_not_come_back_over_what_was_moved_there() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a"), b"moved");
    let options = ["--network-timeout", "3s"];
    let mount = stage.mount_that_dies_at("rename.there", "state", &options);
    assert_eq!(fs::read(mount.path("a")).unwrap(), b"moved");
    let_uploads_fail(&stage);
    write_and_close(&mount.path("b"), b"owed").expect_err("it cannot be sent");
    fs::rename(mount.path("a"), mount.path("b")).expect_err("the daemon dies in the middle");
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &options);
    mount.umount();
    assert_eq!(stage.stored("b").as_deref(), Some(&b"moved"[..]));
    assert_eq!(stage.stored("a"), None);
}

#[test]
fn what_is_taken_up_late_gives_way_to_what_was_written_meanwhile() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--network-timeout", "3s"]);
    fs::create_dir(mount.path("d")).unwrap();
    write_and_close(&mount.path("d/h"), b"not wanted any more").unwrap();
    let_uploads_fail(&stage);
    write_and_close(&mount.path("d/h"), b"owed, and not wanted").expect_err("it cannot be sent");
    write_and_close(&mount.path("d/f"), b"owed by the first mount").expect_err("it cannot be sent");
    write_and_close(&mount.path("d/g"), b"owed, and wanted").expect_err("it cannot be sent");
    mount.kill();
    stage.site.clear_faults();

    // The folder cannot be listed when the mount begins.
    let broken = Fault { times: 0, ..Fault::on("list", Effect::Proxy { status: 503 }) };
    stage.site.inject(broken.path("d"));
    let mount = stage.mount_with_state("state", &["--network-timeout", "3s"]);
    wait_until("all are waiting to be taken up", || mount.status()["owed"]["files"] == 3);
    let early = stage.filescomfs(["sync", "--timeout", "1s"]).arg(&mount.point).output().unwrap();
    assert_eq!(early.status.code(), Some(8), "{}", told(&early));
    stage.site.clear_faults();
    write_and_close(&mount.path("d/f"), b"newest").unwrap();
    fs::remove_file(mount.path("d/h")).unwrap();
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
    assert_eq!(stage.stored("d/f").as_deref(), Some(&b"newest"[..]));
    assert_eq!(stage.stored("d/g").as_deref(), Some(&b"owed, and wanted"[..]));
    assert_eq!(stage.stored("d/h"), None);
    let aside = fs::read_dir(mount.state.join("state/quarantine")).unwrap().count();
    // Unless they were taken up just before, and replaced like any others.
    let gave_way = mount.log().contains("newer bytes than those of an earlier mount");
    assert_eq!(aside, usize::from(gave_way), "the older bytes are kept: {}", mount.log());
    mount.umount();
}
