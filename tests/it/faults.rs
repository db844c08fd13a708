//! What a user of the mount sees of each thing that goes wrong between here and Files.com: most of it
//! nothing at all, the rest as an errno, with the bytes kept.
//!
//! Damaged bodies, lost completions and late digests are the subject of `close` and `reading`, hostile
//! answers of `hostile`, keys and sessions of `failures`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Mount, Stage, noise, wait_until};

/// Closes a file and tells how that ended.
fn close(file: File) -> io::Result<()> {
    // SAFETY: `file` gave its descriptor up, and it is closed once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    close(file)
}

fn errno(outcome: &io::Result<()>) -> Option<i32> {
    outcome.as_ref().err().and_then(io::Error::raw_os_error)
}

fn refusal(kind: &str, retry_after: Option<&str>) -> Effect {
    Effect::Error { kind: kind.into(), status: None, retry_after: retry_after.map(str::to_owned) }
}

fn storage(status: u16, code: &str) -> Effect {
    Effect::Storage { status, code: code.into(), retry_after: None }
}

/// A failed upload is owed, can be read here, and the next close of the file publishes it.
fn kept_and_made_good(stage: &Stage, mount: &Mount, bytes: &[u8]) {
    assert_eq!(mount.status()["owed"]["files"], 1, "{}", mount.status());
    assert_eq!(fs::read(mount.path("f")).unwrap(), bytes);
    stage.site.clear_faults();
    close(OpenOptions::new().append(true).open(mount.path("f")).unwrap()).unwrap();
    assert_eq!(stage.stored("f").unwrap(), bytes);
}

/// One operation of each kind, by way of the mount; each must succeed.
fn one_of_each(stage: &Stage, mount: &Mount, kind: &str, name: &str) {
    let path = mount.path(name);
    match kind {
        "begin_upload" | "part" | "complete" => publish(&path, name.as_bytes()).unwrap(),
        "mkdir" => {
            fs::create_dir(&path).unwrap();
            assert!(stage.site.folders().contains(&format!("{FOLDER}/{name}")));
            return;
        }
        "delete" => {
            publish(&path, b"x").unwrap();
            fs::remove_file(&path).unwrap();
            assert_eq!(stage.stored(name), None);
            return;
        }
        "move" => {
            publish(&mount.path("from"), name.as_bytes()).unwrap();
            fs::rename(mount.path("from"), &path).unwrap();
            assert_eq!(stage.stored("from"), None);
        }
        "patch" => {
            publish(&path, name.as_bytes()).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(1_500_000_000);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            wait_until("the time is on the site", || {
                stage.site.waiting_faults().is_empty() && stage.requests("patch") > 0
            });
        }
        "list" => {
            stage.site.put(&format!("{FOLDER}/in {name}/file"), b"x");
            wait_until("the folder is seen", || mount.path(&format!("in {name}")).exists());
            assert_eq!(fs::read_dir(mount.path(&format!("in {name}"))).unwrap().count(), 1);
            return;
        }
        _ => {
            stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
            wait_until("the file is seen", || path.exists());
            assert_eq!(fs::read(&path).unwrap(), name.as_bytes());
        }
    }
    assert_eq!(stage.stored(name).unwrap(), name.as_bytes());
}

#[test]
fn a_connection_reset_before_or_after_the_effect_of_any_call_is_made_good() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    for kind in
        ["begin_upload", "part", "complete", "mkdir", "delete", "move", "patch", "list", "download", "fetch"]
    {
        for after in [false, true] {
            let name = format!("{kind} {after}");
            let fault = Fault { after, ..Fault::on(kind, Effect::Reset) };
            // Other folders are listed whenever they like.
            stage.site.inject(if kind == "list" { fault.path(&name) } else { fault });
            one_of_each(&stage, &mount, kind, &name);
            assert_eq!(stage.site.waiting_faults(), [], "{name} was never met");
        }
    }
    mount.umount();
}

#[test]
fn servers_that_are_busy_or_broken_for_a_moment_are_not_noticed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "1s"]);
    let moments = [
        ("begin_upload", Effect::Proxy { status: 500 }),
        ("begin_upload", Effect::Proxy { status: 503 }),
        ("complete", Effect::Proxy { status: 504 }),
        ("begin_upload", refusal("rate-limited/too-many-requests", Some("1"))),
        ("begin_upload", refusal("rate-limited/too-many-requests", Some("Wed, 21 Oct 2015 07:28:00 GMT"))),
        ("begin_upload", refusal("rate-limited/too-many-concurrent-requests", None)),
        ("begin_upload", refusal("service-unavailable/uploads-unavailable", None)),
        ("part", storage(503, "SlowDown")),
        ("part", storage(500, "InternalError")),
        ("part", Effect::ExpireUrl),
        ("fetch", storage(503, "SlowDown")),
        ("fetch", Effect::ExpireUrl),
        ("download", Effect::Proxy { status: 502 }),
    ];
    for (n, (kind, what)) in moments.into_iter().enumerate() {
        stage.site.inject(Fault::on(kind, what));
        one_of_each(&stage, &mount, kind, &format!("file {n}"));
        assert_eq!(stage.site.waiting_faults(), [], "{n} was never met");
    }
    mount.umount();
}

#[test]
fn a_full_storage_is_enospc_and_the_bytes_are_kept() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "5s"]);
    stage.site.inject(Fault::on("part", storage(403, "StorageQuotaExceeded")).times(0));
    assert_eq!(errno(&publish(&mount.path("f"), b"too much")), Some(libc::ENOSPC), "{}", mount.log());
    kept_and_made_good(&stage, &mount, b"too much");
    mount.umount();
}

#[test]
fn a_permission_withdrawn_in_the_middle_is_eacces_and_the_bytes_are_kept() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    publish(&mount.path("before"), b"x").unwrap();
    stage.site.set_permissions(FOLDER, "lr");
    assert_eq!(errno(&publish(&mount.path("f"), b"kept")), Some(libc::EACCES));
    stage.site.set_permissions(FOLDER, "lrwod");
    kept_and_made_good(&stage, &mount, b"kept");
    mount.umount();
}

#[test]
fn a_rename_whose_migration_fails_or_hangs_is_an_error_and_moves_nothing() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "4s"]);
    publish(&mount.path("f"), b"still here").unwrap();
    for what in [Effect::MigrationFails, Effect::MigrationCancelled, Effect::MigrationHangs] {
        stage.site.inject(Fault::on("move", what.clone()));
        let outcome = fs::rename(mount.path("f"), mount.path("g"));
        assert!(errno(&outcome).is_some(), "{what:?} was taken for success");
        assert_eq!(fs::read(mount.path("f")).unwrap(), b"still here", "{what:?}");
        assert_eq!(stage.stored_names(), ["f"], "{what:?}");
    }
    mount.umount();
}

#[test]
fn a_download_that_stalls_goes_on_from_a_new_connection() {
    let mut stage = Stage::new();
    let bytes = noise(1, 3 << 20);
    stage.site.put(&format!("{FOLDER}/f"), &bytes);
    let mount = stage.mount(&["--network-timeout", "10s"]);
    stage.site.inject(Fault::on("fetch", Effect::StallBody { at: 1000 }));
    let read = fs::read(mount.path("f"));
    assert!(read.is_err() || read.as_ref().is_ok_and(|read| *read == bytes), "wrong bytes were handed out");
    assert!(fs::read(mount.path("f")).unwrap() == bytes);
    mount.umount();
}
