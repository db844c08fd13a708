//! `close=journaled`: close answers when the file is durable here, `sync` when Files.com has it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::patience::Stopwatch;
use crate::stage::{Mount, PATIENCE, Stage, plant_tree, run, same_trees, sh, told, wait_until};

fn sync(stage: &Stage, mount: &Mount, timeout: &str) -> Output {
    stage.filescomfs(["sync", "--timeout", timeout]).arg(&mount.point).output().unwrap()
}

#[test]
fn a_close_does_not_wait_and_sync_does() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    // The site answers nobody. A close that waited for it would end with an error.
    stage.site.inject(Fault::on("begin_upload", Effect::Hold { until: 0 }).times(0));
    for n in 0..20 {
        write_and_close(&mount.path(&format!("{n}")), format!("file {n}").as_bytes()).unwrap();
    }
    assert_eq!(stage.stored_names().len(), 0);
    let status = mount.status();
    assert_eq!((&status["owed"]["files"], &status["close"]), (&20.into(), &"journaled".into()));
    let early = sync(&stage, &mount, "0s");
    assert_eq!(early.status.code(), Some(8), "{}", told(&early));
    stage.site.clear_faults();
    let done = sync(&stage, &mount, "10m");
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(stage.stored_names().len(), 20);
    assert_eq!(mount.status()["owed"]["files"], 0);
    mount.umount();
}

#[test]
fn rsync_and_sync_bring_a_tree() {
    let mut stage = Stage::with(|site| (site.latency_ms, site.storage_latency_ms) = (20, 20));
    let source = stage.path("source");
    plant_tree(&source);
    for n in 0..200 {
        fs::write(source.join(format!("docs/small {n}")), format!("{n}")).unwrap();
    }
    sh(&format!("touch -d 2020-02-02 {}", source.display()));
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.clear_requests();
    sh(&format!("rsync -a {}/ {}/", source.display(), mount.point.display()));
    let done = sync(&stage, &mount, "10m");
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(stage.stored_names().len(), 224);
    assert_eq!((stage.requests("move"), stage.requests("stat")), (0, 0));
    assert!(!stage.was_named("/."), "a temporary name reached the site");
    mount.umount();
    let mount = stage.mount(&[]);
    let back = stage.path("back");
    run(Command::new("rsync").arg("-a").arg(format!("{}/", mount.point.display())).arg(&back));
    same_trees(&source, &back);
    mount.umount();
}

#[test]
fn what_was_closed_survives_sigkill_and_arrives_with_the_next_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Stall) });
    for n in 0..30 {
        let path = mount.path(&format!("file {n}"));
        fs::write(&path, format!("bytes of {n}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    std::os::unix::fs::symlink("file 3", mount.path("link")).unwrap();
    fs::write(mount.path("x.tmp"), "renamed").unwrap();
    fs::rename(mount.path("x.tmp"), mount.path("final")).unwrap();
    fs::remove_file(mount.path("file 29")).unwrap();
    fs::create_dir(mount.path("before")).unwrap();
    fs::write(mount.path("before/inside"), "moved with its folder").unwrap();
    fs::rename(mount.path("before"), mount.path("after")).unwrap();
    mount.kill();
    assert_eq!(stage.stored_names(), [""; 0]);
    stage.site.clear_faults();

    let mount = stage.mount_with_state("state", &[]);
    assert!(sync(&stage, &mount, "10m").status.success());
    for n in 0..29 {
        assert_eq!(stage.stored(&format!("file {n}")).unwrap(), format!("bytes of {n}").into_bytes());
    }
    assert_eq!(stage.stored("final").unwrap(), b"renamed");
    assert_eq!((stage.stored("file 29"), stage.stored_names().len()), (None, 32));
    assert_eq!(stage.stored("after/inside").unwrap(), b"moved with its folder");
    assert!(!stage.site.folders().iter().any(|folder| folder.ends_with("before")));
    mount.umount();
    let mount = stage.mount(&[]);
    assert_eq!(fs::read_link(mount.path("link")).unwrap(), std::path::Path::new("file 3"));
    assert_eq!(fs::metadata(mount.path("file 7")).unwrap().permissions().mode() & 0o7777, 0o640);
    mount.umount();
}

#[test]
fn what_is_superseded_before_it_is_sent_is_sent_once() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    // However long this takes, nothing is sent before it is over.
    stage.site.inject(Fault { times: 0, ..Fault::on("begin_upload", Effect::Proxy { status: 503 }) });
    for round in 0..5 {
        fs::write(mount.path("f"), format!("round {round}")).unwrap();
    }
    fs::write(mount.path("gone"), "never sent").unwrap();
    fs::remove_file(mount.path("gone")).unwrap();
    stage.site.clear_faults();
    assert!(sync(&stage, &mount, "10m").status.success());
    assert_eq!(stage.stored("f").unwrap(), b"round 4");
    assert_eq!(stage.requests("complete"), 1);
    assert!(!stage.stored_names().contains(&"gone".to_owned()));
    mount.umount();
}

#[test]
fn a_failure_in_the_background_is_told_at_the_next_close() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::FlipPart) });
    fs::write(mount.path("f"), "precious").unwrap();
    wait_until("the file is held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 1));
    let again = || close(fs::OpenOptions::new().append(true).open(mount.path("f")).unwrap());
    assert_eq!(again().unwrap_err().raw_os_error(), Some(libc::EIO));
    stage.site.clear_faults();
    let _ = again();
    wait_until("the file arrives", || mount.status()["owed"]["files"] == 0);
    assert_eq!(stage.stored("f").unwrap(), b"precious");
    again().unwrap();
    mount.umount();
}

#[test]
fn half_a_file_is_not_published_by_an_upload_that_was_overtaken() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }));
    fs::write(mount.path("f"), "first version").unwrap();
    wait_until("it is on its way", || stage.site.held() == 1);
    let file = fs::OpenOptions::new().write(true).truncate(true).open(mount.path("f")).unwrap();
    std::io::Write::write_all(&mut &file, b"half of").unwrap();
    stage.site.clear_faults();
    wait_until("the upload was overtaken", || mount.status()["uploading"].as_array().unwrap().is_empty());
    std::io::Write::write_all(&mut &file, b" the second").unwrap();
    close(file).unwrap();
    assert!(sync(&stage, &mount, "10m").status.success());
    assert_eq!(stage.stored("f").unwrap(), b"half of the second");
    assert_eq!(stage.requests("complete"), 1, "half a file was published");
    mount.umount();
}

#[test]
fn a_file_that_is_always_written_is_no_failure() {
    let mut stage = Stage::with(|site| site.storage_latency_ms = 20);
    let mount = stage.mount(&["--close", "journaled"]);
    let mut steady = fs::File::create(mount.path("log")).unwrap();
    let watch = Stopwatch::start();
    let mut lines = 0;
    // More uploads than are ever chased in one go, each of them overtaken.
    while stage.requests("begin_upload") < 40 {
        assert!(watch.elapsed() < PATIENCE, "it is not sent while it is written");
        steady.write_all(b"one line\n").unwrap();
        steady.sync_all().expect("fsync tells no failure where there is none");
        let mut other = fs::File::options().append(true).open(mount.path("log")).unwrap();
        other.write_all(b"another\n").unwrap();
        close(other).expect("close tells no failure where there is none");
        steady.seek(SeekFrom::End(0)).unwrap();
        lines += 1;
    }
    drop(steady);
    mount.umount();
    assert_eq!(stage.stored("log").unwrap(), b"one line\nanother\n".repeat(lines));
}
