//! Uploads of several parts go on at the first missing part: after a crash, after an attempt that
//! failed, and never with other bytes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use filescomfs::emulator::{Effect, Fault};
use filescomfs::model::digest::{Hasher, Md5};

use crate::close::write_and_close;
use crate::stage::{FOLDER, Mount, Stage, noise, told, wait_until};

/// Bytes of a part, as long as files are not much larger.
const PART: usize = 16 << 20;

fn sync(stage: &Stage, mount: &Mount) {
    let done = stage.filescomfs(["sync", "--timeout", "10m"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
}

/// The numbers of the parts for which URLs were asked, in order.
fn parts_asked_for(stage: &Stage) -> Vec<u64> {
    let requests = stage.site.requests().into_iter().filter(|request| request.kind == "begin_part");
    let body = |body: String| serde_json::from_str::<serde_json::Value>(&body).unwrap();
    requests.map(|request| body(request.body)["part"].as_u64().unwrap()).collect()
}

fn spooled(mount: &Mount) -> PathBuf {
    let spool = mount.state.join("state/spool");
    let mut files: Vec<_> = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Empty ones are made in advance.
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    assert_eq!(files.len(), 1);
    files[0].clone()
}

/// Waits until the journal has as many of these parts. What is written to `other` and synced meanwhile brings what was
/// noted before it to the disk; it stays open, since its close may have to wait.
fn until_noted(mount: &Mount, parts: &[String], count: usize) -> File {
    let mut other = File::create(mount.path("other")).unwrap();
    let journal = mount.state.join("state/journal.sqlite-wal");
    wait_until("the parts that are there are noted", || {
        other.write_all(b"x").unwrap();
        other.sync_all().unwrap();
        let log = fs::read(&journal).unwrap_or_default();
        let is_noted = |part: &&String| log.windows(part.len()).any(|text| text == part.as_bytes());
        parts.iter().filter(is_noted).count() == count
    });
    other
}

/// The MD5 of each part.
fn digests(bytes: &[u8]) -> Vec<String> {
    bytes.chunks(PART).map(|part| Md5::of(part).to_string()).collect()
}

/// Writes a file of three parts and kills the mount when one of them is there. The state is `state`.
fn kill_after_one_of_three(stage: &mut Stage, bytes: &[u8]) -> PathBuf {
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    stage.site.inject(Fault::on("part", Effect::Stall).skip(1).times(0));
    write_and_close(&mount.path("f"), bytes).unwrap();
    wait_until("one part has arrived", || stage.requests("part") >= 1);
    let spooled = spooled(&mount);
    let other = until_noted(&mount, &digests(bytes), 1);
    mount.kill();
    drop(other);
    stage.site.clear_faults();
    stage.site.clear_requests();
    spooled
}

#[test]
fn a_large_upload_that_was_killed_half_way_sends_the_missing_parts_alone() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    let (size, count) = (300 << 20, 19);
    stage.site.inject(Fault::on("part", Effect::Stall).skip(9).times(0));
    let mut file = File::create(mount.path("large")).unwrap();
    let mut hasher = Hasher::default();
    let (piece, mut parts) = (noise(1, PART), Vec::new());
    for part in 0..count {
        let bytes = &piece[..PART.min(size - part * PART)];
        let mark = (part as u64).to_le_bytes();
        hasher.update(&mark);
        hasher.update(&bytes[mark.len()..]);
        parts.push(Md5::of(&[&mark, &bytes[mark.len()..]].concat()).to_string());
        file.write_all(&mark).unwrap();
        file.write_all(&bytes[mark.len()..]).unwrap();
    }
    crate::close::close(file).unwrap();
    let accepted = |stage: &Stage| {
        let parts = stage.site.requests().into_iter().filter(|request| request.kind == "part");
        parts.filter(|request| request.status == 200 && request.path.ends_with("large")).count()
    };
    wait_until("about half of the parts are there", || accepted(&stage) == 9);
    let other = until_noted(&mount, &parts, 9);
    mount.kill();
    drop(other);
    stage.site.clear_faults();
    stage.site.clear_requests();

    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    sync(&stage, &mount);
    assert_eq!(accepted(&stage), count - 9, "parts were sent again");
    let asked = parts_asked_for(&stage);
    assert_eq!((asked.len(), asked.iter().collect::<BTreeSet<_>>().len()), (count - 9, count - 9));
    let begun = stage.site.requests().into_iter().filter(|request| request.kind == "begin_upload");
    assert!(begun.into_iter().all(|request| !request.path.ends_with("large")), "begun afresh");
    let stored = &stage.site.files()[&format!("{FOLDER}/large")];
    assert_eq!(stored.md5, hasher.finish().md5.to_string());
    assert!(mount.log().contains("goes on: 9 of 19 parts are there"));
    mount.umount();
}

#[test]
fn a_large_file_whose_close_was_cut_off_is_published_by_the_next_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &[]);
    let bytes = noise(2, 40 << 20);
    stage.site.inject(Fault::on("part", Effect::Stall).skip(1).times(0));
    let (path, written) = (mount.path("f"), bytes.clone());
    let closing = thread::spawn(move || write_and_close(&path, &written));
    wait_until("one part has arrived", || stage.requests("part") >= 1);
    let other = until_noted(&mount, &digests(&bytes), 1);
    let journal = mount.state.join("state/journal.sqlite-wal");
    let is_noted = || fs::read(&journal).is_ok_and(|wal| wal.windows(9).any(|text| text == b"backups/f"));
    wait_until("the file is journaled", is_noted);
    mount.kill();
    closing.join().unwrap().unwrap_err();
    stage.site.clear_faults();
    stage.site.clear_requests();
    let mount = stage.mount_with_state("state", &[]);
    sync(&stage, &mount);
    drop(other);
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!(stage.requests("part"), 3, "two that were missing, and the other file");
    mount.umount();
}

#[test]
fn other_bytes_are_never_added_to_parts_of_the_old_ones() {
    for disk_lies in [false, true] {
        let mut stage = Stage::new();
        let mut bytes = noise(3, 40 << 20);
        let spooled = kill_after_one_of_three(&mut stage, &bytes);
        let before = fs::metadata(&spooled).unwrap().modified().unwrap();
        // One byte in every part, so that whichever was sent is another now.
        let mut file = File::options().write(true).open(&spooled).unwrap();
        for part in 0..3 {
            bytes[part * PART + 5] ^= 1;
            file.seek(SeekFrom::Start((part * PART + 5) as u64)).unwrap();
            file.write_all(&[bytes[part * PART + 5]]).unwrap();
        }
        if disk_lies {
            file.set_modified(before).unwrap();
        }
        let mount = stage.mount_with_state("state", &["--close", "journaled"]);
        sync(&stage, &mount);
        assert!(stage.stored("f").unwrap() == bytes, "the file was put together from two versions");
        assert_eq!(mount.log().contains("has other bytes than those that were sent"), disk_lies);
        assert_eq!(stage.requests("complete"), 2);
        mount.umount();
    }
}

#[test]
fn what_is_written_between_two_attempts_is_sent_whole() {
    let mut stage = Stage::new();
    let mut bytes = noise(4, 40 << 20);
    kill_after_one_of_three(&mut stage, &bytes);
    stage.site.inject(Fault::on("begin_part", Effect::Stall).times(0));
    let mount = stage.mount_with_state("state", &["--close", "journaled", "--network-timeout", "3s"]);
    wait_until("it goes on", || mount.log().contains("goes on: 1 of 3 parts"));
    let mut file = File::options().read(true).write(true).open(mount.path("f")).unwrap();
    file.seek(SeekFrom::Start(5)).unwrap();
    file.write_all(b"newer").unwrap();
    bytes[5..10].copy_from_slice(b"newer");
    let mut back = vec![0; 10];
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes[..10]);
    drop(file);
    stage.site.clear_faults();
    sync(&stage, &mount);
    assert!(stage.stored("f").unwrap() == bytes);
    mount.umount();
}

#[test]
fn an_upload_that_files_com_forgot_is_begun_afresh() {
    let mut stage = Stage::new();
    let bytes = noise(5, 40 << 20);
    kill_after_one_of_three(&mut stage, &bytes);
    stage.site.advance(Duration::from_secs(3 * 24 * 3600));
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    sync(&stage, &mount);
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!(stage.requests("part"), 4, "three parts, and the other file");
    mount.umount();
}

#[test]
fn an_attempt_that_failed_is_continued_in_the_same_mount() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    let quota = Effect::Storage { status: 403, code: "StorageQuotaExceeded".into(), retry_after: None };
    stage.site.inject(Fault::on("part", quota).skip(2).times(0));
    let bytes = noise(6, 40 << 20);
    write_and_close(&mount.path("f"), &bytes).unwrap();
    let failed = || mount.status()["errors"].as_array().is_some_and(|errors| errors.len() == 1);
    wait_until("the attempt failed", failed);
    stage.site.clear_faults();
    stage.site.clear_requests();
    sync(&stage, &mount);
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!((stage.requests("part"), stage.requests("begin_upload")), (1, 0));
    mount.umount();
}

#[test]
fn a_completion_that_was_carried_out_unheard_is_looked_up_and_proven() {
    for digests in [true, false] {
        let mut stage = Stage::with(|site| (site.md5, site.crc32) = (digests, digests));
        let mount = stage.mount_with_state("state", &["--close", "journaled"]);
        stage.site.inject(Fault::on("complete", Effect::Stall).after_effect());
        let bytes = noise(7, 40 << 20);
        write_and_close(&mount.path("f"), &bytes).unwrap();
        wait_until("it is completed", || stage.stored("f").is_some());
        mount.kill();
        stage.site.clear_faults();
        stage.site.clear_requests();
        let mount = stage.mount_with_state("state", &["--close", "journaled"]);
        sync(&stage, &mount);
        let sent = ["begin_upload", "begin_part", "part", "complete"].map(|kind| stage.requests(kind));
        assert_eq!(sent, [0; 4], "it was sent again");
        assert_eq!((&mount.status()["verified"], &mount.status()["weak"]), (&1.into(), &0.into()));
        assert!(stage.stored("f").unwrap() == bytes);
        mount.umount();
    }
}

#[test]
fn a_completion_that_was_not_carried_out_is_asked_for_again_and_no_part_is_sent() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    stage.site.inject(Fault::on("complete", Effect::Stall));
    let bytes = noise(8, 40 << 20);
    write_and_close(&mount.path("f"), &bytes).unwrap();
    wait_until("it is to be completed", || stage.site.waiting_faults().is_empty());
    mount.kill();
    stage.site.clear_requests();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    sync(&stage, &mount);
    let sent = ["begin_upload", "part", "complete"].map(|kind| stage.requests(kind));
    assert_eq!(sent, [0, 0, 1]);
    assert!(stage.stored("f").unwrap() == bytes);
    mount.umount();
}

#[test]
fn a_completed_file_that_somebody_else_took_away_is_sent_afresh() {
    let mut stage = Stage::new();
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    stage.site.inject(Fault::on("complete", Effect::Stall).after_effect());
    let bytes = noise(9, 30 << 20);
    write_and_close(&mount.path("f"), &bytes).unwrap();
    wait_until("it is completed", || stage.stored("f").is_some());
    mount.kill();
    stage.site.put(&format!("{FOLDER}/f"), b"of somebody else");
    let mount = stage.mount_with_state("state", &["--close", "journaled"]);
    sync(&stage, &mount);
    assert!(stage.stored("f").unwrap() == bytes, "the last close wins");
    mount.umount();
}
