//! What happens between a look and the deed that rests on it: the deed rests on what is so when it is done.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, noise, told, wait_until};

fn refusal() -> Effect {
    let kind = "not-authorized/insufficient-permission-for-params";
    Effect::Error { kind: kind.into(), status: None, retry_after: None }
}

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

#[test]
fn bytes_that_are_promised_while_a_rename_waits_are_replaced_by_bytes_that_are_promised() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/target"), b"on the site");
    let mount = stage.mount_with_state("state", &[]);
    // Whoever changes the name of the target waits behind its attributes.
    stage.site.inject(Fault::on("patch", Effect::Delay { ms: 3000 }));
    fs::set_permissions(mount.path("target"), fs::Permissions::from_mode(0o600)).unwrap();
    wait_until("they are being sent", || stage.site.waiting_faults().is_empty());
    stage.site.inject(Fault::on("begin_upload", Effect::Delay { ms: 1000 }).path("target"));
    stage.site.inject(
        Fault::on("part", Effect::Storage { status: 403, code: "AccessDenied".into(), retry_after: None })
            .path("target")
            .times(0),
    );
    let mut source = File::create(mount.path("source")).unwrap();
    source.write_all(b"not closed yet").unwrap();
    std::thread::scope(|scope| {
        let mount = &mount;
        let closing = scope.spawn(|| {
            let mut target = OpenOptions::new().append(true).open(mount.path("target")).unwrap();
            target.write_all(b", and kept here").unwrap();
            close(target)
        });
        wait_until("the target is being sent", || {
            stage.site.waiting_faults().iter().all(|fault| fault.kind.as_deref() != Some("begin_upload"))
        });
        // It looks before the target is promised, and has its turn after that. It may tell that nothing can be sent.
        let _ = fs::rename(mount.path("source"), mount.path("target"));
        let _ = closing.join().unwrap();
    });
    mount.kill();
    stage.site.clear_faults();
    drop(source);
    let mount = stage.mount_with_state("state", &[]);
    synced(&stage, &mount);
    assert_eq!(fs::read(mount.path("target")).unwrap(), b"not closed yet");
    mount.umount();
}

#[test]
fn attributes_of_what_others_took_away_are_forgotten_under_the_name_that_it_had() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"of before");
    let options = ["--dir-ttl", "1ms", "--network-timeout", "1s"];
    let mount = stage.mount_with_state("state", &options);
    stage.site.inject(Fault::on("patch", Effect::Proxy { status: 503 }).times(0));
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
    file.write_all(b", and more").unwrap();
    stage.site.delete(&format!("{FOLDER}/f"));
    wait_until("it is seen to be gone", || {
        stage.site.clear_requests();
        let _ = fs::read_dir(&mount.point).unwrap().count();
        stage.requests("list") > 0
    });
    fs::rename(mount.path("f"), mount.path("g")).unwrap();
    close(file).unwrap();
    stage.site.put(&format!("{FOLDER}/f"), b"of another client");
    mount.kill();
    stage.site.clear_faults();
    let mount = stage.mount_with_state("state", &[]);
    synced(&stage, &mount);
    let mode = |name| fs::metadata(mount.path(name)).unwrap().permissions().mode() & 0o777;
    assert_ne!(mode("f"), 0o600, "it is another file");
    assert_eq!(mode("g"), 0o600);
    mount.umount();
}

#[test]
fn what_is_written_anew_while_it_is_settled_leaves_nothing_in_the_cache() {
    let mut stage = Stage::in_memory(|_| {});
    let mount = stage.mount(&["--close", "journaled"]);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let path = mount.path(&format!("f{thread}"));
            scope.spawn(move || {
                for _ in 0..150 {
                    write_and_close(&path, b"again and again").unwrap();
                }
            });
        }
    });
    synced(&stage, &mount);
    let files = || fs::read_dir(mount.state.join("content")).unwrap().count();
    // What is removed is removed once the journal has forgotten it.
    wait_until("each file is there once", || files() <= 16);
    mount.umount();
}

#[test]
fn what_is_tried_again_is_not_given_up_meanwhile() {
    let mut stage = Stage::new();
    for name in ["a/first", "b/second"] {
        stage.site.put(&format!("{FOLDER}/{name}"), name.as_bytes());
    }
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault::on("move", refusal()).times(2));
    fs::rename(mount.path("a/first"), mount.path("a/moved")).unwrap();
    fs::rename(mount.path("b/second"), mount.path("b/moved")).unwrap();
    wait_until("both are held", || mount.status()["held"].as_array().is_some_and(|held| held.len() == 2));
    // The first of the two takes long to be given up.
    stage.site.inject(Fault::on("list", Effect::Delay { ms: 1500 }).path("backups/a"));
    stage.site.inject(Fault::on("move", Effect::Delay { ms: 3000 }));
    std::thread::scope(|scope| {
        let discard = ["held", mount.point.to_str().unwrap(), "discard", "--yes", "--all"];
        let mut discard = stage.filescomfs(discard);
        let discarding = scope.spawn(move || discard.output().unwrap());
        wait_until("the first is being given up", || {
            stage.site.waiting_faults().iter().all(|fault| fault.kind.as_deref() != Some("list"))
        });
        let second = mount.path("b/moved");
        let retry = ["held", mount.point.to_str().unwrap(), "retry", second.to_str().unwrap()];
        let mut retry = stage.filescomfs(retry);
        let retrying = scope.spawn(move || retry.output().unwrap());
        let (discarded, retried) = (discarding.join().unwrap(), retrying.join().unwrap());
        let said = String::from_utf8_lossy(&discarded.stdout).into_owned();
        assert!(retried.status.success(), "{}", told(&retried));
        assert!(said.contains("a/moved: discarded"), "{}", told(&discarded));
        assert!(!said.contains("b/moved: discarded"), "{}", told(&discarded));
    });
    synced(&stage, &mount);
    assert_eq!(stage.stored_names(), ["a/first", "b/moved"]);
    for name in ["a/first", "b/moved"] {
        assert!(mount.path(name).exists(), "{name}");
    }
    mount.umount();
}

#[test]
fn what_was_brought_into_the_spool_and_could_not_be_written_goes_back_to_the_cache() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), &noise(1, 49_152));
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "1M", "--network-timeout", "2s"]);
    stage.site.inject(Fault::on("begin_upload", Effect::Proxy { status: 503 }).times(0));
    write_and_close(&mount.path("owed"), &noise(2, 999_424)).unwrap();
    let mut file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
    let refused = file.write_all(&noise(3, 500_000)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC));
    close(file).unwrap();
    let holds = |folder: &str, size: u64| {
        let mut files = fs::read_dir(mount.state.join(folder)).unwrap().flatten();
        files.any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() == size))
    };
    wait_until("it is in the cache", || holds("content", 49_152));
    assert!(!holds("state/spool", 49_152) && holds("state/spool", 999_424));
    assert!(fs::read(mount.path("f")).unwrap() == noise(1, 49_152));
    stage.site.clear_faults();
    mount.umount();
}
