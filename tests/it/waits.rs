//! Waits: each call of the kernel has one deadline, and nobody waits for what does not concern him.

use std::fs;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::close::write_and_close;
use crate::faults::refusal;
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, Mount, PATIENCE, Stage, told, wait_until};

/// How long each of so many closes took, which all failed.
fn closes_that_fail(mount: &Mount, name: &str, count: usize) -> Vec<Duration> {
    thread::scope(|scope| {
        let close = |n| {
            let path = mount.path(&format!("{name} {n}"));
            move || {
                let began = Stopwatch::start();
                write_and_close(&path, b"kept here").expect_err("nobody took it");
                began.elapsed()
            }
        };
        let closers: Vec<_> = (0..count).map(|n| scope.spawn(close(n))).collect();
        closers.into_iter().map(|closer| closer.join().unwrap()).collect()
    })
}

/// A site that refuses for ever: however many wait for it, each gives up when its own time is over. (Attempts that
/// waited for each other, and each counted anew, made it two minutes.)
#[test]
fn thirty_closes_that_nobody_serves_end_with_the_one_deadline_of_each() {
    for (kind, what) in [
        ("begin_upload", refusal("rate-limited/too-many-requests", None)),
        ("begin_upload", refusal("rate-limited/too-many-requests", Some("1"))),
        ("begin_upload", Effect::Proxy { status: 503 }),
        ("part", Effect::Storage { status: 503, code: "SlowDown".into(), retry_after: None }),
    ] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--network-timeout", "5s"]);
        stage.site.inject(Fault::on(kind, what.clone()).times(0));
        let took = closes_that_fail(&mount, "f", 30);
        let longest = took.iter().max().unwrap();
        assert!(*longest < Duration::from_secs(12), "{kind} {what:?}: {took:?}");
        assert_eq!(mount.status()["owed"]["files"], 30, "all of them are kept");
        stage.site.clear_faults();
        wait_until("they arrive by themselves", || mount.status()["owed"]["files"] == 0);
        assert_eq!(stage.stored_names().len(), 30);
        mount.umount();
    }
}

/// Its names. (An open alone asks nobody.)
fn listed(mount: &Mount, folder: &str) -> io::Result<Vec<fs::DirEntry>> {
    fs::read_dir(mount.path(folder))?.collect()
}

/// What does not touch the two ends of a long move: each of it comes to its end.
fn everyday_work(mount: &Mount) -> io::Result<()> {
    write_and_close(&mount.path("b/new"), b"new")?;
    write_and_close(&mount.path("b/file"), b"over it")?;
    fs::create_dir(mount.path("b/made"))?;
    fs::remove_dir(mount.path("b/made"))?;
    fs::rename(mount.path("b/file"), mount.path("b/renamed"))?;
    fs::rename(mount.path("b/folder"), mount.path("b/other folder"))?;
    fs::remove_file(mount.path("b/new"))?;
    assert_eq!(fs::read(mount.path("b/never read"))?, b"never read");
    // The kernel itself locks the folder above.
    assert_eq!(listed(mount, "never listed")?.len(), 1);
    Ok(())
}

/// Does other work while something takes for ever, and tells whether it was done.
fn is_work_done(mount: &Mount) -> Result<(), String> {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || done.send(everyday_work(mount)));
        match is_done.recv_timeout(PATIENCE - Duration::from_secs(5)) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("others are held up".to_owned()),
        }
    })
}

fn planted(stage: &Stage) {
    for name in ["a/moving/f", "b/file", "b/never read", "b/folder/x", "never listed/x"] {
        stage.site.put(&format!("{FOLDER}/{name}"), name.rsplit('/').next().unwrap().as_bytes());
    }
    stage.site.mkdir(&format!("{FOLDER}/a/empty"));
}

#[test]
fn a_folder_that_moves_for_long_holds_up_nobody_elsewhere() {
    let mut stage = Stage::with(|site| site.migration_delay_ms = 3_600_000);
    planted(&stage);
    stage.site.delete(&format!("{FOLDER}/a/empty"));
    let mount = stage.mount(&[]);
    assert_eq!(fs::read_dir(mount.path("b")).unwrap().count(), 3);
    let (from, to) = (mount.path("a/moving"), mount.path("a/moved"));
    let mover = thread::spawn(move || fs::rename(from, to));
    wait_until("it is being moved", || stage.requests("move") == 1);
    stage.site.change(|site| site.migration_delay_ms = 0);
    let outcome = is_work_done(&mount);
    assert!(!mover.is_finished(), "the move was to take for ever");
    stage.site.advance(Duration::from_secs(3600));
    mover.join().unwrap().unwrap();
    outcome.unwrap();
    assert_eq!(fs::read(mount.path("a/moved/f")).unwrap(), b"f");
    assert_eq!(stage.stored("a/moved/f").unwrap(), b"f");
    assert_eq!(stage.stored("b/renamed").unwrap(), b"over it");
    mount.umount();
}

#[test]
fn a_folder_that_goes_slowly_holds_up_nobody_elsewhere() {
    let mut stage = Stage::with(|site| site.folder_delete_delay_ms = 3_600_000);
    planted(&stage);
    stage.site.delete(&format!("{FOLDER}/a/moving"));
    let mount = stage.mount(&[]);
    assert_eq!(fs::read_dir(mount.path("b")).unwrap().count(), 3);
    let goes = mount.path("a/empty");
    let remover = thread::spawn(move || fs::remove_dir(goes));
    wait_until("it is being deleted", || stage.requests("delete") == 1);
    stage.site.change(|site| site.folder_delete_delay_ms = 0);
    let outcome = is_work_done(&mount);
    assert!(!remover.is_finished(), "it was to take for ever");
    stage.site.advance(Duration::from_secs(3600));
    remover.join().unwrap().unwrap();
    outcome.unwrap();
    mount.umount();
}

/// What is in a folder that moves is published under the path that it has in the end, and not before.
#[test]
fn a_file_that_is_closed_in_a_folder_that_moves_arrives_at_its_new_place() {
    let mut stage = Stage::with(|site| site.migration_delay_ms = 3_600_000);
    planted(&stage);
    let mount = stage.mount(&[]);
    assert_eq!(fs::read_dir(mount.path("a/moving")).unwrap().count(), 1);
    let (from, to) = (mount.path("a/moving"), mount.path("a/moved"));
    let mover = thread::spawn(move || fs::rename(from, to));
    wait_until("it is being moved", || stage.requests("move") == 1);
    let inside = mount.path("a/moving/g");
    let closer = thread::spawn(move || write_and_close(&inside, b"g"));
    wait_until("it is there", || mount.path("a/moving/g").exists());
    assert!(!closer.is_finished(), "nothing is sent to a path that goes");
    stage.site.advance(Duration::from_secs(3600));
    mover.join().unwrap().unwrap();
    closer.join().unwrap().unwrap();
    assert_eq!(stage.stored("a/moved/g").unwrap(), b"g");
    assert_eq!(stage.stored("a/moving/g"), None);
    mount.umount();
}

#[test]
fn once_files_com_cannot_be_reached_nobody_waits_to_find_that_out_again() {
    let mut stage = Stage::new();
    for n in 0..20 {
        stage.site.put(&format!("{FOLDER}/d{n}/f"), b"f");
    }
    stage.site.put(&format!("{FOLDER}/never read"), b"never read");
    let mount = stage.mount(&["--network-timeout", "4s"]);
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 21);
    stage.site.inject(Fault { kind: None, times: 0, ..Fault::on("", Effect::Reset) });
    listed(&mount, "d0").unwrap_err();
    wait_until("it is known", || mount.status()["reachable"] == false);
    stage.site.clear_requests();
    for n in 1..20 {
        listed(&mount, &format!("d{n}")).unwrap_err();
    }
    fs::read(mount.path("never read")).unwrap_err();
    fs::create_dir(mount.path("made")).unwrap_err();
    fs::rename(mount.path("d1"), mount.path("renamed")).unwrap_err();
    fs::remove_file(mount.path("never read")).unwrap_err();
    write_and_close(&mount.path("written"), b"kept here").unwrap_err();
    // Whoever looks for Files.com lists the folder that is mounted, and nothing else was asked for.
    let asked = |part: &str| stage.was_named(&format!("{FOLDER}/{part}"));
    assert!(!["d", "never", "made", "renamed", "written"].into_iter().any(asked), "asked for in vain");
    stage.site.clear_faults();
    wait_until("it is reached again", || mount.status()["reachable"] == true);
    assert_eq!(listed(&mount, "d19").unwrap().len(), 1);
    wait_until("what is owed arrives", || stage.stored("written").is_some());
    mount.umount();
}

#[test]
fn a_network_timeout_that_leaves_no_time_for_an_answer_is_refused() {
    let stage = Stage::new();
    for time in ["0", "0s", "999ms"] {
        let refused = stage.filescomfs(["mount", "mysite", "/", "--network-timeout", time]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        let text = told(&refused);
        assert!(text.contains("--network-timeout") && text.contains("1s"), "{text}");
    }
}
