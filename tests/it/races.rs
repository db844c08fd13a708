//! Two things at once, in the order that hurts: what one journey learned must not be out of date when
//! another acts on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Stage, noise, wait_until};

const MIB: usize = 1 << 20;

/// truncate(2), without a descriptor.
fn truncate(path: &Path, size: i64) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: `path` is a C string that lives through the call.
    match unsafe { libc::truncate(path.as_ptr(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A site whose MD5 comes so late that there is time between completion and proof.
fn slow_to_prove() -> Stage {
    Stage::with(|site| site.checksum_delay_ms = 1500)
}

#[test]
fn a_rename_between_completion_and_proof_takes_the_file_along() {
    let mut stage = slow_to_prove();
    let mount = stage.mount(&["--verify", "strict"]);
    std::thread::scope(|scope| {
        let (mount, stage) = (&mount, &stage);
        let closing = scope.spawn(move || write_and_close(&mount.path("before"), b"precious"));
        wait_until("the upload is complete", || stage.stored("before").is_some());
        fs::rename(mount.path("before"), mount.path("after")).unwrap();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(stage.stored_names(), ["after"]);
    assert_eq!(stage.stored("after").unwrap(), b"precious");
    mount.umount();
}

#[test]
fn a_file_that_is_deleted_between_completion_and_proof_does_not_come_back() {
    let mut stage = slow_to_prove();
    let mount = stage.mount(&["--verify", "strict"]);
    std::thread::scope(|scope| {
        let (mount, stage) = (&mount, &stage);
        let closing = scope.spawn(move || write_and_close(&mount.path("f"), b"unwanted"));
        wait_until("the upload is complete", || stage.stored("f").is_some());
        fs::remove_file(mount.path("f")).unwrap();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(stage.stored_names(), [""; 0]);
    mount.umount();
}

#[test]
fn a_temporary_file_that_was_truncated_by_its_path_is_published_by_its_rename() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("f.tmp"), b"long and short").unwrap();
    truncate(&mount.path("f.tmp"), 4).unwrap();
    fs::rename(mount.path("f.tmp"), mount.path("f")).unwrap();
    assert_eq!(stage.stored("f").as_deref(), Some(&b"long"[..]));
    mount.umount();
}

#[test]
fn a_power_cut_does_not_bring_back_the_version_before_the_one_that_was_just_acknowledged() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &[]);
    write_and_close(&mount.path("f.tmp"), b"the version before").unwrap();
    fs::rename(mount.path("f.tmp"), mount.path("f")).unwrap();
    write_and_close(&mount.path("f"), b"newest").unwrap();
    let state = mount.state.clone();
    mount.kill();
    // A power cut may take back that proven bytes left the spool.
    for entry in fs::read_dir(state.join("content")).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), state.join("state/spool").join(entry.file_name())).unwrap();
    }
    let mount = stage.mount_with_state("state", &[]);
    mount.umount();
    assert_eq!(stage.stored("f").unwrap(), b"newest");
}

#[test]
fn a_version_that_others_made_is_read_and_not_the_one_before() {
    // Without digests nobody would notice the bytes of another version.
    let mut stage = Stage::with(|site| (site.md5, site.crc32) = (false, false));
    let mount = stage.mount(&["--dir-ttl", "0s"]);
    for round in 0..40 {
        let bytes = noise(round, 40_000 - round as usize * 700);
        stage.site.put(&format!("{FOLDER}/f"), &bytes);
        let read = fs::read(mount.path("f")).unwrap();
        let from = |other: &u64| noise(*other, 40_000 - *other as usize * 700);
        let whose = (0..=round).rev().find(|other| from(other).starts_with(&read[..700]));
        assert!(read == bytes, "round {round}: {} bytes of round {whose:?}", read.len());
    }
    mount.umount();
}

#[test]
fn a_file_larger_than_the_cache_is_truncated_by_its_path() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), &noise(1, 3 * MIB));
    let mount = stage.mount(&["--cache-size", "1M"]);
    let path = mount.path("f");
    let truncating = std::thread::spawn(move || truncate(&path, 100));
    wait_until("truncate answers", || truncating.is_finished());
    truncating.join().unwrap().unwrap();
    assert!(stage.stored("f").unwrap() == noise(1, 100));
    mount.umount();
}

#[test]
fn what_is_due_in_the_background_waits_for_who_is_writing() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--temporary-hold", "1s"]);
    write_and_close(&mount.path("f.tmp"), b"first, ").unwrap();
    let mut file = File::options().append(true).open(mount.path("f.tmp")).unwrap();
    file.write_all(b"half, ").unwrap();
    // Its hold begins later, and ends later.
    write_and_close(&mount.path("g.tmp"), b"").unwrap();
    wait_until("both holds are over", || stage.stored("g.tmp").is_some());
    assert_eq!(stage.stored("f.tmp"), None, "half a file was published");
    file.write_all(b"whole").unwrap();
    close(file).unwrap();
    wait_until("the second hold is over", || stage.stored("f.tmp").is_some());
    assert_eq!(stage.stored("f.tmp").unwrap(), b"first, half, whole");
    mount.umount();
}

#[test]
fn a_file_that_is_replaced_by_a_rename_stays_with_those_who_have_it_open() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/old"), &noise(1, 3 * MIB));
    stage.site.put(&format!("{FOLDER}/new"), b"new");
    let mount = stage.mount(&[]);
    let mut old = File::open(mount.path("old")).unwrap();
    fs::rename(mount.path("new"), mount.path("old")).unwrap();
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).unwrap();
    assert!(bytes == noise(1, 3 * MIB));
    drop(old);
    assert_eq!(fs::read(mount.path("old")).unwrap(), b"new");
    mount.umount();
}

#[test]
fn a_write_to_a_file_that_others_deleted_is_not_called_done() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/f"), b"theirs and ours");
    let mount = stage.mount(&["--dir-ttl", "0s"]);
    let mut file = OpenOptions::new().read(true).write(true).open(mount.path("f")).unwrap();
    file.read_to_end(&mut Vec::new()).unwrap();
    stage.site.delete(&format!("{FOLDER}/f"));
    assert_eq!(fs::read_dir(&mount.point).unwrap().count(), 0);
    file.seek(SeekFrom::Start(0)).unwrap();
    let outcome = file.write_all(b"changed").and_then(|()| close(file));
    assert!(outcome.is_err() || stage.stored("f").is_some(), "zero was answered, and nobody has the bytes");
    mount.umount();
}

#[test]
fn a_folder_that_could_not_be_made_is_tried_again_soon() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--temporary-hold", "1s"]);
    let refusal =
        Effect::Error { kind: "processing-failure/folder-locked".into(), status: None, retry_after: None };
    stage.site.inject(Fault::on("mkdir", refusal));
    fs::create_dir(mount.path("lock.tmp")).unwrap();
    wait_until("the refusal was met", || stage.site.waiting_faults().is_empty());
    let ended = mount.try_umount(&["--timeout", "10m"]);
    assert!(ended.status.success(), "{}", crate::stage::told(&ended));
    assert!(stage.site.folders().contains(&format!("{FOLDER}/lock.tmp")));
}

#[test]
fn a_file_is_renamed_in_a_folder_that_is_being_renamed() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/a/x"), b"bytes");
    let mount = stage.mount(&[]);
    assert_eq!(fs::read(mount.path("a/x")).unwrap(), b"bytes");
    let folder = File::open(mount.path("a")).unwrap();
    stage.site.inject(Fault::on("move", Effect::Delay { ms: 1500 }));
    std::thread::scope(|scope| {
        let mount = &mount;
        let moving = scope.spawn(move || fs::rename(mount.path("a"), mount.path("b")));
        wait_until("the folder is on its way", || stage.site.waiting_faults().is_empty());
        let at = std::os::fd::AsRawFd::as_raw_fd(&folder);
        // SAFETY: two C strings, and a descriptor that is open.
        let outcome = unsafe { libc::renameat(at, c"x".as_ptr(), at, c"y".as_ptr()) };
        assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
        moving.join().unwrap().unwrap();
    });
    drop(folder);
    assert_eq!(stage.stored_names(), ["b/y"]);
    mount.umount();
}

#[test]
fn a_write_that_the_local_disk_refuses_leaves_no_bytes_behind() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(mount.path("f")).unwrap();
    file.write_all(&noise(1, 100)).unwrap();
    let limit = libc::rlimit { rlim_cur: 150, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` lives through the call; the daemon is ours.
    assert_eq!(
        unsafe { libc::prlimit(mount.pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) },
        0
    );
    let refused = file.write_all(&noise(2, 200));
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit };
    // SAFETY: as above.
    assert_eq!(
        unsafe { libc::prlimit(mount.pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) },
        0
    );
    assert!(refused.is_err(), "the limit was not met: this test shows nothing");
    let size = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(1000)).unwrap();
    file.write_all(b"far").unwrap();
    close(file).unwrap();
    let stored = stage.stored("f").unwrap();
    let expected: Vec<u8> = noise(1, 100).into_iter().chain(vec![0; 900]).chain(*b"far").collect();
    assert_eq!(size, 100);
    assert!(stored == expected, "bytes of a refused write are in the gap");
    mount.umount();
}

/// The upload arrived, and nobody heard of it: the answer was lost, and so was that of the look.
fn lose_every_answer(stage: &Stage) {
    stage.site.inject(Fault::on("complete", Effect::Reset).after_effect());
    stage.site.inject(Fault { times: 0, ..Fault::on("stat", Effect::Reset) });
}

#[test]
fn a_file_that_may_have_arrived_is_deleted_there_too() {
    for mode in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode, "--network-timeout", "3s"]);
        lose_every_answer(&stage);
        let _ = fs::write(mount.path("gone"), "deleted before anybody knew");
        wait_until("it arrived", || stage.stored("gone").is_some());
        wait_until("nobody knows", || mount.log().contains("gone is not on Files.com"));
        fs::remove_file(mount.path("gone")).unwrap();
        stage.site.clear_faults();
        wait_until("it goes", || stage.stored("gone").is_none());

        lose_every_answer(&stage);
        let _ = fs::write(mount.path("before"), "renamed before anybody knew");
        wait_until("it arrived", || stage.stored("before").is_some());
        wait_until("nobody knows", || mount.log().contains("before is not on Files.com"));
        stage.site.clear_faults();
        // It tells the failure of the upload, and is done all the same.
        let _ = fs::rename(mount.path("before"), mount.path("after"));
        wait_until("one of them is there", || stage.stored_names() == ["after"]);
        mount.umount();
    }
}
