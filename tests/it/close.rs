//! What close(2) promises: 0 means that Files.com holds exactly these bytes, and anything else means
//! that they are kept here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};

use crate::stage::{FOLDER, Stage, noise, wait_until};

const MIB: usize = 1 << 20;

/// close(2), with its answer.
pub fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was just given up by `file`, and is closed exactly once.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes a file and answers with the outcome of close(2).
pub fn write_and_close(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    close(file)
}

fn errno(outcome: io::Result<()>) -> i32 {
    outcome.expect_err("it should have failed").raw_os_error().unwrap()
}

#[test]
fn a_close_that_answers_zero_means_that_the_site_has_it() {
    let mut stage = Stage::with(|site| site.latency_ms = 30);
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("f"), b"first").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"first");
    write_and_close(&mount.path("f"), b"second, over it").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"second, over it");
    let status = mount.status();
    assert_eq!((&status["verified"], &status["owed"]["files"]), (&2.into(), &0.into()));
    mount.umount();
}

#[test]
fn a_small_new_file_costs_three_requests() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("warm-up"), b"x").unwrap();
    stage.site.clear_requests();
    write_and_close(&mount.path("f"), b"bytes").unwrap();
    let kinds: Vec<&str> = stage.site.requests().into_iter().map(|request| request.kind).collect();
    assert_eq!(kinds, ["begin_upload", "part", "complete"]);
    mount.umount();
}

#[test]
fn a_part_that_is_damaged_on_the_way_is_sent_again() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("part", Effect::FlipPart));
    write_and_close(&mount.path("f"), &noise(1, 100_000)).unwrap();
    assert!(stage.stored("f").unwrap() == noise(1, 100_000));
    assert!(stage.requests("part") >= 2);
    mount.umount();
}

#[test]
fn a_file_that_always_arrives_damaged_is_an_error_and_stays_owed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::FlipPart) });
    assert_eq!(errno(write_and_close(&mount.path("f"), b"precious")), libc::EIO);
    assert_eq!(stage.stored("f"), None);
    let status = mount.status();
    assert_eq!(status["owed"]["files"], 1);
    assert!(status["held"][0]["message"].as_str().unwrap().contains("MD5"), "{status}");
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"precious", "the bytes are still readable here");

    let refused = mount.try_umount(&["--timeout", "1s"]);
    assert!(!refused.status.success(), "umount must not say that all is well");
    stage.site.clear_faults();
    // The error is told again until it is resolved; then the next close resolves it.
    let file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
    close(file).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"precious");
    mount.umount();
}

#[test]
fn bytes_that_rot_after_their_part_was_accepted_are_found_by_the_sites_md5() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--verify", "strict"]);
    stage.site.inject(Fault::on("part", Effect::FlipStored));
    write_and_close(&mount.path("f"), &noise(2, 50_000)).unwrap();
    assert!(stage.stored("f").unwrap() == noise(2, 50_000), "the second upload is the good one");
    mount.umount();
}

#[test]
fn a_site_without_digests_proves_by_etags_and_is_not_waited_for() {
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("small"), b"one part").unwrap();
    write_and_close(&mount.path("large"), &noise(3, 40 * MIB)).unwrap();
    stage.site.clear_requests();
    write_and_close(&mount.path("larger"), &noise(4, 41 * MIB)).unwrap();
    assert_eq!(stage.requests("stat"), 0, "what a site does not state is learned once");
    let status = mount.status();
    assert_eq!((&status["verified"], &status["weak"]), (&3.into(), &0.into()));
    mount.umount();
}

#[test]
fn etags_of_encrypted_bytes_are_taken_for_no_digest_and_the_storage_compares_the_parts() {
    for md5 in [true, false] {
        let mut stage = Stage::with(|site| {
            (site.md5, site.crc32, site.encryption) = (md5, false, "aws:kms".into());
        });
        let mount = stage.mount(&[]);
        write_and_close(&mount.path("small"), b"one part").unwrap();
        write_and_close(&mount.path("large"), &noise(3, 40 * MIB)).unwrap();
        assert_eq!(stage.stored("small").unwrap(), b"one part");
        assert!(stage.stored("large").unwrap() == noise(3, 40 * MIB));
        let status = mount.status();
        assert_eq!((&status["verified"], &status["weak"]), (&2.into(), &0.into()), "md5: {md5}");
        assert!(!mount.log().contains("did not arrive as it left"), "{}", mount.log());
        mount.umount();
    }
}

#[test]
fn a_storage_that_takes_no_larger_parts_than_it_granted_gets_such_from_then_on() {
    let mut stage = Stage::with(|site| site.part_size_max = 10 << 20);
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("one"), &noise(1, 20 * MIB)).unwrap();
    let refused = || stage.site.requests().iter().filter(|r| r.kind == "part" && r.status == 400).count();
    let before = refused();
    assert!(before >= 1, "nothing was refused: this test says nothing");
    write_and_close(&mount.path("two"), &noise(2, 41 * MIB)).unwrap();
    assert_eq!(refused(), before, "it is learned once");
    for (name, bytes) in [("one", noise(1, 20 * MIB)), ("two", noise(2, 41 * MIB))] {
        assert!(stage.stored(name).unwrap() == bytes, "{name}");
    }
    mount.umount();
}

#[test]
fn a_target_without_usable_etags_is_weak_and_says_so() {
    let mut stage = Stage::with(|site| {
        (site.md5, site.crc32, site.opaque_etags) = (false, false, true);
    });
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("f"), b"bytes").unwrap();
    assert_eq!(mount.status()["weak"], 1);
    assert!(mount.log().contains("turn on Data Governance"), "the log names the remedy");
    mount.umount();
}

#[test]
fn strict_refuses_a_site_that_states_no_md5() {
    let stage = Stage::with(|site| site.md5 = false);
    let point = stage.path("mnt");
    fs::create_dir(&point).unwrap();
    let output = stage
        .filescomfs(["mount", "--verify", "strict", "--cache-dir"])
        .arg(stage.path("cache"))
        .arg(stage.source())
        .arg(&point)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("File Integrity"), "{said}");
}

#[test]
fn digests_that_come_late_are_awaited() {
    let mut stage = Stage::with(|site| site.checksum_delay_ms = 700);
    let mount = stage.mount(&["--verify", "strict"]);
    write_and_close(&mount.path("f"), b"patience").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"patience");
    mount.umount();
}

#[test]
fn a_temporary_name_never_reaches_the_site_and_its_rename_publishes() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    // rsync's: 0600 for data, 0700 for what can be executed.
    for (name, mode) in [("data.bin", 0o600), ("script.sh", 0o700)] {
        let temporary = mount.path(&format!(".{name}.Xy12Ab"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).unwrap();
        file.write_all(b"backup").unwrap();
        close(file).unwrap();
        assert_eq!(stage.stored(name), None);
        fs::rename(&temporary, mount.path(name)).unwrap();
        assert_eq!(stage.stored(name).unwrap(), b"backup");
    }
    assert!(!stage.was_named("Xy12Ab"));
    assert_eq!(stage.requests("begin_upload"), 2);
    assert_eq!(stage.requests("move"), 0);
    mount.umount();
}

#[test]
fn a_rename_that_cannot_be_published_says_so() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("f.tmp"), b"bytes").unwrap();
    stage.site.inject(Fault { times: 0, ..Fault::on("part", Effect::FlipPart) });
    assert_eq!(errno(fs::rename(mount.path("f.tmp"), mount.path("f"))), libc::EIO);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"bytes");
    stage.site.clear_faults();
    close(OpenOptions::new().append(true).open(mount.path("f")).unwrap()).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"bytes");
    mount.umount();
}

#[test]
fn a_temporary_file_that_nobody_renames_is_published_after_its_hold() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--temporary-hold", "1s"]);
    write_and_close(&mount.path("left.tmp"), b"behind").unwrap();
    assert_eq!(stage.stored("left.tmp"), None);
    wait_until("the hold is over", || stage.stored("left.tmp").is_some());
    mount.umount();
}

#[test]
fn umount_sends_temporary_files_too() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("left.tmp"), b"behind").unwrap();
    mount.umount();
    assert_eq!(stage.stored("left.tmp").unwrap(), b"behind");
}

#[test]
fn a_rename_during_the_upload_publishes_under_the_new_name_only() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }));
    std::thread::scope(|scope| {
        let (mount, site) = (&mount, &stage.site);
        let closing = scope.spawn(move || write_and_close(&mount.path("before"), b"on its way"));
        wait_until("it is on its way", || site.held() == 1);
        let renaming = scope.spawn(move || fs::rename(mount.path("before"), mount.path("after")));
        wait_until("it has its new name here", || {
            let status = mount.status();
            status["uploading"][0]["path"].as_str().is_some_and(|path| path.ends_with("/after"))
        });
        site.clear_faults();
        renaming.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(stage.stored_names(), ["after"]);
    assert_eq!(stage.stored("after").unwrap(), b"on its way");
    assert_eq!(stage.requests("move"), 0);
    mount.umount();
}

#[test]
fn a_file_that_is_deleted_while_it_is_sent_does_not_appear() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }));
    std::thread::scope(|scope| {
        let (mount, site) = (&mount, &stage.site);
        let closing = scope.spawn(move || write_and_close(&mount.path("f"), b"unwanted"));
        wait_until("it is on its way", || site.held() == 1);
        let removing = scope.spawn(move || fs::remove_file(mount.path("f")));
        wait_until("it is not wanted here", || mount.status()["owed"]["files"] == 0);
        site.clear_faults();
        removing.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(stage.stored_names(), [""; 0]);
    assert_eq!(mount.status()["owed"]["files"], 0);
    mount.umount();
}

#[test]
fn an_unlinked_file_stays_with_those_who_have_it_open() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/old"), &noise(5, 3 * MIB));
    let mount = stage.mount(&[]);
    let mut old = File::open(mount.path("old")).unwrap();
    fs::remove_file(mount.path("old")).unwrap();
    assert_eq!(stage.stored("old"), None);
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).unwrap();
    assert!(bytes == noise(5, 3 * MIB));
    drop(old);

    let mut new = OpenOptions::new().read(true).write(true).create_new(true).open(mount.path("new")).unwrap();
    new.write_all(b"scratch").unwrap();
    fs::remove_file(mount.path("new")).unwrap();
    new.write_all(b"pad").unwrap();
    new.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    new.read_to_string(&mut text).unwrap();
    assert_eq!(text, "scratchpad");
    close(new).unwrap();
    assert_eq!(stage.stored_names(), [""; 0]);
    mount.umount();
}

#[test]
fn a_write_after_fsync_is_published_by_the_close() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut file = File::create(mount.path("f")).unwrap();
    file.write_all(b"one ").unwrap();
    file.sync_all().unwrap();
    assert_eq!(stage.requests("begin_upload"), 0, "fsync is a matter of the local disk");
    file.write_all(b"two").unwrap();
    close(file).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"one two");
    mount.umount();
}

#[test]
fn two_writers_of_one_file_publish_what_both_wrote() {
    let mut stage = Stage::with(|site| site.storage_latency_ms = 100);
    let mount = stage.mount(&[]);
    fs::write(mount.path("f"), [b'.'; 64]).unwrap();
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let mount = &mount;
            scope.spawn(move || {
                let mut file = OpenOptions::new().write(true).open(mount.path("f")).unwrap();
                file.seek(SeekFrom::Start(u64::from(n) * 8)).unwrap();
                file.write_all(&[b'a' + n; 8]).unwrap();
                close(file).unwrap();
            });
        }
    });
    let expected: Vec<u8> = (0..8).flat_map(|n| [b'a' + n; 8]).collect();
    assert_eq!(stage.stored("f").unwrap(), expected);
    mount.umount();
}

#[test]
fn a_slow_close_does_not_hold_up_another_file() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    fs::write(mount.path("other"), b"there").unwrap();
    stage.site.inject(Fault::on("complete", Effect::Hold { until: 0 }).path("slow"));
    std::thread::scope(|scope| {
        let (mount, site) = (&mount, &stage.site);
        let closing = scope.spawn(move || write_and_close(&mount.path("slow"), b"bytes"));
        wait_until("the slow file is on its way", || site.held() == 1);
        fs::write(mount.path("quick"), b"bytes").unwrap();
        assert_eq!(fs::read(mount.path("other")).unwrap(), b"there");
        assert!(!closing.is_finished(), "it was answered before it was done");
        site.clear_faults();
        closing.join().unwrap().unwrap();
    });
    mount.umount();
}

#[test]
fn a_completion_whose_answer_is_lost_is_asked_about_and_not_repeated() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    stage.site.inject(Fault { after: true, ..Fault::on("complete", Effect::Reset) });
    write_and_close(&mount.path("f"), b"once").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"once");
    assert_eq!(stage.requests("complete"), 1);
    assert_eq!(stage.requests("begin_upload"), 1);
    mount.umount();
}

#[test]
fn what_is_transient_is_tried_again_within_the_close() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let error = |kind: &str, retry_after: Option<&str>| Effect::Error {
        kind: kind.into(),
        status: None,
        retry_after: retry_after.map(str::to_owned),
    };
    stage.site.inject(Fault::on("begin_upload", error("rate-limited/too-many-requests", Some("1"))));
    stage.site.inject(Fault::on("begin_upload", Effect::Proxy { status: 502 }));
    stage.site.inject(Fault::on("part", Effect::Reset));
    stage.site.inject(Fault::on(
        "part",
        Effect::Storage { status: 503, code: "SlowDown".into(), retry_after: None },
    ));
    stage.site.inject(Fault::on("part", Effect::ExpireUrl));
    write_and_close(&mount.path("f"), b"bytes").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"bytes");
    assert!(mount.status()["retries"].as_u64().unwrap() > 0);
    mount.umount();
}

#[test]
fn an_inherited_descriptor_does_not_make_its_holder_wait() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--network-timeout", "5s"]);
    let mut file = File::create(mount.path("f")).unwrap();
    file.write_all(b"from the parent").unwrap();
    // Nothing can be uploaded as long as the child is there: if it waited for that, its close would fail.
    stage.site.inject(Fault::on("begin_upload", Effect::Hold { until: 0 }).times(0));
    // SAFETY: the child only closes a descriptor and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; _exit runs nothing of the parent's.
        unsafe {
            libc::_exit(libc::close(file.as_raw_fd()));
        }
    }
    let mut status = 0;
    // SAFETY: `status` lives through the call, and `child` is ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child waited for the upload, or was told of it");
    stage.site.clear_faults();
    close(file).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"from the parent");
    mount.umount();
}

#[test]
fn own_changes_are_visible_at_once() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut file = File::create(mount.path("f")).unwrap();
    file.write_all(b"not closed yet").unwrap();
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"not closed yet");
    assert_eq!(fs::metadata(mount.path("f")).unwrap().size(), 14);
    assert!(fs::read_dir(&mount.point).unwrap().any(|entry| entry.unwrap().file_name() == "f"));
    close(file).unwrap();
    mount.umount();
}

#[test]
fn a_shell_redirection_is_published_once_even_where_nothing_may_be_overwritten() {
    let mut stage = Stage::with(|site| {
        site.permissions.insert(FOLDER.into(), "lrw".into());
    });
    let mount = stage.mount(&[]);
    crate::stage::sh(&format!("echo dump > {0}/dump; : > {0}/empty", mount.point.display()));
    assert_eq!(stage.stored("dump").unwrap(), b"dump\n");
    assert_eq!(stage.stored("empty").unwrap(), b"");
    assert_eq!(stage.requests("complete"), 2);
    mount.umount();
}

#[test]
fn a_site_that_keeps_no_times_keeps_them_all_the_same() {
    let mut stage = Stage::with(|site| site.use_provided_modified_at = false);
    let mount = stage.mount(&[]);
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    for name in ["first", "second"] {
        let file = File::create(mount.path(name)).unwrap();
        file.set_modified(time).unwrap();
        close(file).unwrap();
    }
    mount.umount();
    let mount = stage.mount(&[]);
    for name in ["first", "second"] {
        assert_eq!(fs::metadata(mount.path(name)).unwrap().modified().unwrap(), time);
    }
    mount.umount();
}

#[test]
fn an_empty_file_is_published_though_its_process_reads_it_too() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let writer = File::create(mount.path("f")).unwrap();
    let reader = File::open(mount.path("f")).unwrap();
    close(writer).unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"");
    drop(reader);
    mount.umount();
}

#[test]
fn a_large_file_that_the_storage_names_otherwise_is_proven_by_the_digest_of_the_site() {
    for (md5, arrives) in [(true, true), (false, false)] {
        let mut stage = Stage::with(|site| site.md5 = md5);
        let mount = stage.mount(&[]);
        let bytes = noise(1, 30 << 20);
        let headers = [
            ("ETag", format!("\"{}-7\"", "0".repeat(32))),
            ("Content-Range", format!("bytes 0-0/{}", bytes.len())),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let answer = Effect::Answer { status: 206, headers, body: "x".into() };
        stage.site.inject(Fault::on("fetch", answer).times(0));
        let closed = write_and_close(&mount.path("f"), &bytes);
        assert_eq!(closed.is_ok(), arrives, "{closed:?}");
        assert_eq!(mount.status()["verified"], u64::from(arrives));
        if arrives {
            assert!(stage.stored("f").unwrap() == bytes);
            mount.umount();
        }
    }
}
