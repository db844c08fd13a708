//! The local disk lets us down: a journal that cannot be written, and one that is damaged. Nothing is lost,
//! nothing is promised that cannot be kept, and people are told.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};

use crate::crash::daemon::{Daemon, ask};
use crate::stage::{Stage, told};

const JOURNALED: [&str; 2] = ["--close", "journaled"];

fn start(stage: &Stage, options: &[&str], orders: &[(&str, String)]) -> Daemon {
    let mut daemon = Daemon::start(stage, "mnt", "state", options, orders);
    assert!(daemon.answers().unwrap(), "it died");
    daemon
}

fn errno<T>(outcome: io::Result<T>) -> Option<i32> {
    outcome.err().and_then(|error| error.raw_os_error())
}

fn status(stage: &Stage, daemon: &Daemon) -> serde_json::Value {
    let output = stage.filescomfs(["status", "--json"]).arg(&daemon.point).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The order from the `nth` passage on: how often a mount writes to its journal before the first call is its
/// own affair, so the tests go on until it happens.
fn broken(point: &str, nth: u32) -> [(&'static str, String); 1] {
    [("FILESCOMFS_BREAK_AT", format!("{point}:{nth}"))]
}

fn everything_is_refused_and_can_be_read(root: &Path, kept: &str) {
    let kept = root.join(kept);
    let other = root.join("other");
    for (what, outcome) in [
        ("create", errno(fs::File::create(&other))),
        ("open for writing", errno(OpenOptions::new().write(true).open(&kept))),
        ("mkdir", errno(fs::create_dir(&other))),
        ("rename", errno(fs::rename(&kept, &other))),
        ("unlink", errno(fs::remove_file(&kept))),
        ("rmdir", errno(fs::remove_dir(root.join("folder")))),
        ("chmod", errno(fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)))),
        ("symlink", errno(std::os::unix::fs::symlink("x", &other))),
    ] {
        assert_eq!(outcome, Some(libc::EROFS), "{what}");
    }
    assert_eq!(fs::read(&kept).unwrap(), b"acknowledged");
    assert!(fs::read_dir(root).unwrap().count() >= 2);
}

/// From the first failure on the mount only reads; the next one goes on where this one was.
fn the_disk_fails(point: &str, options: &[&str]) {
    let stage = Stage::new();
    let daemon = start(&stage, options, &broken(point, 12));
    fs::create_dir(daemon.point.join("folder")).unwrap();
    // Files.com takes nothing meanwhile: all that was promised is here.
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    let mut acknowledged = 0;
    let failed = loop {
        let path = daemon.point.join(format!("{acknowledged}.tmp"));
        match fs::File::create(&path).and_then(|mut file| {
            io::Write::write_all(&mut file, b"acknowledged")?;
            file.sync_all()
        }) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 50, "nothing ever failed");
    };
    // EROFS where a fact that nobody waited for was the first to find no disk.
    assert!(matches!(failed.raw_os_error(), Some(libc::EIO | libc::EROFS)), "{failed}");
    assert!(acknowledged > 0, "it failed too early to prove anything");
    everything_is_refused_and_can_be_read(&daemon.point, "0.tmp");
    let status = status(&stage, &daemon);
    assert!(status["read_only"].as_str().is_some_and(|why| why.contains("cannot be")), "{status}");
    let log = fs::read_to_string(&daemon.log).unwrap();
    assert_eq!(log.matches("the mount is read-only until").count(), 1, "{log}");
    drop(daemon);

    stage.site.clear_faults();
    let daemon = start(&stage, options, &[]);
    let output = ask(&stage, "sync", &daemon.point);
    assert!(output.status.success(), "{}", told(&output));
    for n in 0..acknowledged {
        assert_eq!(stage.stored(&format!("{n}.tmp")).unwrap(), b"acknowledged");
    }
}

#[test]
fn a_journal_that_cannot_be_written_makes_the_mount_read_only() {
    the_disk_fails("journal.before", &[]);
    the_disk_fails("journal.before", &JOURNALED);
}

#[test]
fn a_sync_that_fails_makes_the_mount_read_only() {
    the_disk_fails("durable.bytes", &[]);
}

#[test]
fn a_damaged_journal_is_kept_and_what_it_spoke_of_is_set_aside_and_named() {
    let stage = Stage::new();
    let daemon = start(&stage, &JOURNALED, &[]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    fs::write(daemon.point.join("f"), "acknowledged").unwrap();
    fs::write(daemon.point.join("g"), "too").unwrap();
    drop(daemon);
    stage.site.clear_faults();
    let state = ["state", "state/state"].map(|state| stage.path(state));
    let state = state.into_iter().find(|state| state.join("journal.sqlite").exists()).expect("a journal");
    let journal = state.join("journal.sqlite");
    fs::write(&journal, "these bytes are no journal").unwrap();
    // Its log alone would be enough to put it right.
    fs::write(journal.with_extension("sqlite-wal"), "nor are these").unwrap();

    let mut daemon = start(&stage, &JOURNALED, &[]);
    let kept = state.join("journal.sqlite.damaged.1");
    assert_eq!(fs::read(&kept).unwrap(), b"these bytes are no journal");
    let mut aside: Vec<Vec<u8>> = fs::read_dir(state.join("quarantine"))
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            assert!(daemon.told().contains(path.to_str().unwrap()), "{} is not named", path.display());
            fs::read(path).unwrap()
        })
        .collect();
    aside.sort();
    assert_eq!(aside, [b"acknowledged".to_vec(), b"too".to_vec()]);
    assert!(daemon.told().contains("damaged"), "{}", daemon.told());
    assert_eq!(status(&stage, &daemon)["damaged_journals"][0], kept.to_str().unwrap());
    fs::write(daemon.point.join("h"), "goes on").unwrap();
    assert!(ask(&stage, "sync", &daemon.point).status.success());
    assert_eq!(stage.stored("h").unwrap(), b"goes on");
    daemon.kill();
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    let stage = Stage::new();
    drop(start(&stage, &[], &[]));
    let state = ["state", "state/state"].map(|state| stage.path(state).join("journal.sqlite"));
    let journal = state.into_iter().find(|journal| journal.exists()).expect("a journal");
    rusqlite::Connection::open(&journal).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&journal).unwrap();
    let refused = Daemon::start(&stage, "mnt", "state", &[], &[]).answers().unwrap_err();
    assert!(refused.contains("version 99"), "{refused}");
    assert!(fs::read(&journal).unwrap() == before, "it was changed");
}
