//! What a user of the mount sees of what does not get better: one errno, one line in the log, bytes that
//! are kept, and a next attempt that works once the trouble is over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::faults::{refusal, stated_time, storage};
use crate::patience::Stopwatch;
use crate::stage::{FOLDER, Mount, Stage, noise, told, wait_until};

fn errno<T: std::fmt::Debug>(outcome: io::Result<T>) -> i32 {
    outcome.expect_err("it was taken for success").raw_os_error().expect("an errno")
}

/// The lines of the log at that level that hold all of `words`.
fn lines(mount: &Mount, level: &str, words: &[&str]) -> Vec<String> {
    let log = mount.log();
    let fits = |line: &&str| line.contains(level) && words.iter().all(|word| line.contains(word));
    log.lines().filter(fits).map(str::to_owned).collect()
}

/// The upload of `name` has failed: it is not on the site, it can be read here, the log says why and what
/// happens next; and once the trouble is over, the next close publishes it.
fn kept_and_made_good(stage: &Stage, mount: &Mount, name: &str, bytes: &[u8], words: &[&str]) {
    assert_eq!(stage.stored(name), None, "{name}");
    assert_eq!(mount.status()["owed"]["files"], 1, "{name}: {}", mount.status());
    assert!(fs::read(mount.path(name)).unwrap() == bytes, "{name}");
    let told = lines(mount, "ERROR", &[&[name, "is not on Files.com", "it is kept here"], words].concat());
    assert!(!told.is_empty(), "{name}: {words:?} is not in the log:\n{}", mount.log());
    stage.site.clear_faults();
    close(OpenOptions::new().append(true).open(mount.path(name)).unwrap()).unwrap();
    assert!(stage.stored(name).unwrap() == bytes, "{name}");
    assert_eq!(mount.status()["owed"]["files"], 0, "{name}");
}

#[test]
fn an_upload_that_cannot_be_made_is_an_errno_of_its_own_and_a_line_in_the_log_and_loses_nothing() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "2s"]);
    let busy = "rate-limited/too-many-requests";
    let lasting: [(&str, Effect, i32, &[&str]); 21] = [
        ("begin_upload", refusal(busy, Some("1")), libc::EIO, &[busy, "limits the rate"]),
        ("begin_upload", refusal(busy, Some("3600")), libc::EIO, &[busy]),
        ("begin_upload", refusal(busy, None), libc::EIO, &[busy, "attempts"]),
        ("begin_upload", Effect::Proxy { status: 500 }, libc::EIO, &["HTTP 500", "a web page"]),
        ("begin_upload", Effect::Proxy { status: 502 }, libc::EIO, &["HTTP 502", "a web page"]),
        ("begin_upload", Effect::Proxy { status: 503 }, libc::EIO, &["HTTP 503", "a web page"]),
        ("begin_upload", Effect::Proxy { status: 504 }, libc::EIO, &["HTTP 504", "a web page"]),
        ("begin_upload", Effect::Reset, libc::EIO, &["attempts", "Check the network"]),
        ("begin_upload", Effect::Stall, libc::ETIMEDOUT, &["no answer within"]),
        ("part", storage(503, "SlowDown"), libc::EIO, &["SlowDown", "PUT of part 1"]),
        ("part", Effect::Reset, libc::EIO, &["PUT of part 1", "Check the network"]),
        ("part", Effect::Stall, libc::ETIMEDOUT, &["PUT of part 1", "no answer within"]),
        ("part", Effect::ExpireUrl, libc::EIO, &["Request has expired", "AccessDenied"]),
        ("part", storage(403, "StorageQuotaExceeded"), libc::ENOSPC, &["StorageQuotaExceeded", "Free space"]),
        (
            "begin_upload",
            refusal("processing-failure/file-locked", None),
            libc::EBUSY,
            &["the lock is released"],
        ),
        ("begin_upload", refusal("site-configuration/trial-expired", None), libc::EDQUOT, &["trial"]),
        ("complete", refusal("not-authorized/read-only-session", None), libc::EROFS, &["read-only-session"]),
        ("part", Effect::FlipPart, libc::EIO, &["did not arrive as it left"]),
        ("part", Effect::TruncatePart { at: 3 }, libc::EIO, &["did not arrive as it left"]),
        ("complete", Effect::Reset, libc::EIO, &["it may have been done, and no answer tells"]),
        ("complete", Effect::Proxy { status: 502 }, libc::EIO, &["it may have been done", "HTTP 502"]),
    ];
    for (n, (kind, what, expected, words)) in lasting.into_iter().enumerate() {
        let (name, bytes) = (format!("file {n}"), noise(n as u64, 3000 + n));
        stage.site.inject(Fault::on(kind, what.clone()).times(0));
        let watch = Stopwatch::start();
        let found = errno(write_and_close(&mount.path(&name), &bytes));
        assert_eq!(found, expected, "{kind} {what:?}: {}", mount.log());
        assert!(watch.elapsed() < Duration::from_secs(15), "{kind} {what:?} took {:?}", watch.elapsed());
        kept_and_made_good(&stage, &mount, &name, &bytes, words);
    }
    mount.umount();
}

#[test]
fn a_permission_withdrawn_in_the_middle_is_eacces_for_every_call_that_needs_it() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--dir-ttl", "3600s"]);
    fs::create_dir(mount.path("folder")).unwrap();
    write_and_close(&mount.path("before"), b"x").unwrap();
    stage.site.set_permissions(FOLDER, "lr");
    assert_eq!(errno(write_and_close(&mount.path("f"), b"kept")), libc::EACCES);
    for (call, outcome) in [
        ("POST /folders/backups/new", fs::create_dir(mount.path("new"))),
        ("DELETE /files/backups/before", fs::remove_file(mount.path("before"))),
        ("DELETE /files/backups/folder", fs::remove_dir(mount.path("folder"))),
        ("POST /file_actions/move/backups/before", fs::rename(mount.path("before"), mount.path("after"))),
    ] {
        assert_eq!(errno(outcome), libc::EACCES, "{call}");
        let told = lines(&mount, "WARN", &[call, "permission-required", "Ask the site's administrator"]);
        assert_eq!(told.len(), 1, "{call}: {}", mount.log());
    }
    stage.site.set_permissions(FOLDER, "lrwod");
    assert_eq!(fs::read(mount.path("before")).unwrap(), b"x", "nothing has changed here");
    kept_and_made_good(&stage, &mount, "f", b"kept", &["write-permission-required"]);
    assert_eq!(stage.stored_names(), ["before", "f"]);
    mount.umount();
}

#[test]
fn a_read_that_cannot_be_made_is_an_errno_of_its_own_and_a_line_in_the_log() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "2s", "--dir-ttl", "1s"]);
    let lasting: [(&str, Effect, i32, &[&str]); 9] = [
        ("download", refusal("rate-limited/too-many-requests", None), libc::EIO, &["too-many-requests"]),
        ("download", Effect::Proxy { status: 503 }, libc::EIO, &["HTTP 503"]),
        ("download", Effect::Stall, libc::ETIMEDOUT, &["no answer within"]),
        ("download", refusal("not-authorized/read-permission-required", None), libc::EACCES, &["read-perm"]),
        ("fetch", storage(503, "SlowDown"), libc::EIO, &["SlowDown"]),
        ("fetch", Effect::Reset, libc::EIO, &["GET of the bytes", "Check the network"]),
        ("fetch", Effect::ExpireUrl, libc::EIO, &["Request has expired"]),
        ("fetch", Effect::StallBody { at: 10 }, libc::ETIMEDOUT, &["no bytes for"]),
        ("fetch", Effect::FlipBody { at: 10 }, libc::EIO, &["are not those that Files.com holds"]),
    ];
    for (n, (kind, what, expected, words)) in lasting.into_iter().enumerate() {
        let (name, bytes) = (format!("file {n}"), noise(n as u64, 100_000 + n));
        stage.site.put(&format!("{FOLDER}/{name}"), &bytes);
        wait_until("the file is seen", || mount.path(&name).exists());
        stage.site.inject(Fault::on(kind, what.clone()).times(0));
        let watch = Stopwatch::start();
        assert_eq!(errno(fs::read(mount.path(&name))), expected, "{kind} {what:?}: {}", mount.log());
        assert!(watch.elapsed() < Duration::from_secs(25), "{kind} {what:?} took {:?}", watch.elapsed());
        let told = lines(&mount, "ERROR", &[&[&name, "cannot be read"], words].concat());
        assert!(!told.is_empty(), "{kind} {what:?}: {}", mount.log());
        stage.site.clear_faults();
        assert!(fs::read(mount.path(&name)).unwrap() == bytes, "{kind} {what:?}: the next attempt");
    }
    mount.umount();
}

/// Python takes EAGAIN of a read for "not yet", and answers with what it has.
#[test]
fn a_program_that_reads_in_one_go_is_told_of_an_outage_in_the_middle() {
    let mut stage = Stage::new();
    let size = 48 << 20;
    stage.site.put(&format!("{FOLDER}/large"), &noise(1, size));
    let mount = stage.mount(&["--network-timeout", "2s"]);
    for what in [Effect::Proxy { status: 503 }, storage(503, "SlowDown"), Effect::Reset, Effect::Stall] {
        let line = "import sys; print(len(open(sys.argv[1], 'rb').read()))";
        stage.site.inject(Fault::on("fetch", what.clone()).skip(2).times(0));
        let mut python = Command::new("python3");
        let read = python.args(["-c", line]).arg(mount.path("large")).output().unwrap();
        assert!(!read.status.success(), "{what:?}: {}", told(&read));
        stage.site.clear_faults();
        let read = python.output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&read.stdout).trim(),
            size.to_string(),
            "{what:?}: {}",
            told(&read)
        );
        let refresh = stage.filescomfs(["refresh"]).arg(&mount.point).output().unwrap();
        assert!(refresh.status.success(), "{}", told(&refresh));
        stage.site.put(&format!("{FOLDER}/large"), &noise(2, size));
    }
    mount.umount();
}

#[test]
fn a_rename_whose_migration_fails_or_hangs_is_eio_and_moves_nothing() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "2s"]);
    write_and_close(&mount.path("f"), b"still here").unwrap();
    for (what, words) in [
        (Effect::MigrationFails, "the service ended the move as failed"),
        (Effect::MigrationCancelled, "the service ended the move as cancelled"),
        (Effect::MigrationHangs, "the service began and did not end it in time"),
    ] {
        stage.site.inject(Fault::on("move", what.clone()));
        let watch = Stopwatch::start();
        assert_eq!(errno(fs::rename(mount.path("f"), mount.path("g"))), libc::EIO, "{what:?}");
        assert!(watch.elapsed() < Duration::from_secs(10), "{what:?} took {:?}", watch.elapsed());
        let told = lines(&mount, "WARN", &["POST /file_actions/move/backups/f", words]);
        assert_eq!(told.len(), 1, "{what:?}: {}", mount.log());
        assert_eq!(fs::read(mount.path("f")).unwrap(), b"still here", "{what:?}");
        assert!(!mount.path("g").exists(), "{what:?}");
        assert_eq!(stage.stored_names(), ["f"], "{what:?}");
    }
    fs::rename(mount.path("f"), mount.path("g")).unwrap();
    assert_eq!(stage.stored("g").unwrap(), b"still here");
    mount.umount();
}

#[test]
fn a_rename_whose_migration_takes_long_but_moves_is_awaited() {
    let mut stage = Stage::with(|site| site.migration_delay_ms = 3000);
    let mount = stage.mount(&["--network-timeout", "2s"]);
    write_and_close(&mount.path("f"), b"slowly").unwrap();
    fs::rename(mount.path("f"), mount.path("g")).unwrap();
    assert_eq!((stage.stored("f"), stage.stored("g").unwrap()), (None, b"slowly".to_vec()));
    mount.umount();
}

#[test]
fn attributes_that_cannot_be_sent_are_sent_later_and_those_that_are_refused_are_logged() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "2s"]);
    let set = |name: &str, seconds| {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(mount.path(name)).unwrap().set_modified(time).unwrap();
        assert_eq!(fs::metadata(mount.path(name)).unwrap().modified().unwrap(), time);
    };
    write_and_close(&mount.path("f"), b"x").unwrap();
    stage.site.inject(Fault::on("patch", Effect::Proxy { status: 503 }).times(0));
    set("f", 1_500_000_000);
    wait_until("the log tells", || {
        !lines(&mount, "WARN", &["attributes of /backups/f are sent later", "HTTP 503"]).is_empty()
    });
    stage.site.clear_faults();
    wait_until("they are sent", || stated_time(&stage, "f").as_deref() == Some("2017-07-14T02:40:00Z"));
    stage.site.inject(Fault::on("patch", refusal("not-authorized/write-permission-required", None)).times(0));
    set("f", 1_600_000_000);
    wait_until("the log tells", || {
        !lines(&mount, "WARN", &["attributes of /backups/f are not stored", "write-permission"]).is_empty()
    });
    stage.site.clear_faults();
    assert_eq!(stage.stored("f").unwrap(), b"x");
    mount.umount();
}

#[test]
fn a_folder_that_cannot_be_listed_is_an_error_with_a_line_in_the_log_and_never_empty() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/d/f"), b"x");
    let mount = stage.mount(&["--network-timeout", "2s"]);
    for (what, expected, words) in [
        (Effect::Proxy { status: 502 }, libc::EIO, "HTTP 502"),
        (Effect::Stall, libc::ETIMEDOUT, "no answer within"),
        (refusal("not-authorized/read-permission-required", None), libc::EACCES, "read-permission-required"),
    ] {
        stage.site.inject(Fault::on("list", what.clone()).path("backups/d").times(0));
        let listed = fs::read_dir(mount.path("d")).and_then(|mut entries| entries.next().transpose());
        assert_eq!(errno(listed), expected, "{what:?}");
        let told = lines(&mount, "WARN", &["GET /folders/backups/d", words]);
        assert!(!told.is_empty(), "{what:?}: {}", mount.log());
        stage.site.clear_faults();
    }
    assert_eq!(fs::read(mount.path("d/f")).unwrap(), b"x");
    mount.umount();
}
