//! Large files travel while they are still being written, and arrive as they were closed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use filescomfs::emulator::{Effect, Fault, LoggedRequest};

use crate::close::{close, write_and_close};
use crate::stage::{Mount, Stage, noise, run, sh, wait_until};

const MIB: usize = 1 << 20;
/// Bytes of a part.
const PART: usize = 16 * MIB;

/// Parts that the storage accepted.
fn accepted(stage: &Stage) -> usize {
    let parts = stage.site.requests().into_iter().filter(|request| request.kind == "part");
    parts.filter(|request| request.status == 200).count()
}

/// A file of `bytes` that is not closed yet, once `parts` of its parts have arrived.
fn written(stage: &Stage, mount: &Mount, bytes: &[u8], parts: usize) -> File {
    let mut file = File::create(mount.path("f")).unwrap();
    bytes.chunks(MIB).for_each(|piece| file.write_all(piece).unwrap());
    wait_until("parts have left", || accepted(stage) >= parts);
    file
}

#[test]
fn all_parts_but_the_last_leave_before_the_close_and_none_is_sent_twice() {
    for mode in ["verified", "journaled"] {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode]);
        let bytes = noise(1, 5 * PART + 3 * MIB);
        let file = written(&stage, &mount, &bytes, 5);
        assert!(stage.stored("f").is_none(), "nobody sees half a file");
        close(file).unwrap();
        if mode == "journaled" {
            run(stage.filescomfs(["sync"]).arg(&mount.point));
        }
        assert!(stage.stored("f").unwrap() == bytes);
        let counts = ["begin_upload", "begin_part", "part", "complete"].map(|kind| stage.requests(kind));
        assert_eq!(counts, [1, 5, 6, 1]);
        assert_eq!(mount.status()["weak"], 0);
        assert!(fs::read(mount.path("f")).unwrap() == bytes);
        mount.umount();
    }
}

#[test]
fn what_ends_where_a_part_ends_is_whole() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let bytes = noise(2, 4 * PART);
    close(written(&stage, &mount, &bytes, 3)).unwrap();
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!(stage.requests("part"), 4);
    mount.umount();
}

#[test]
fn a_header_that_is_written_last_costs_one_part_more() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut bytes = noise(3, 5 * PART + MIB);
    let file = written(&stage, &mount, &bytes, 5);
    bytes[100..104].copy_from_slice(b"head");
    file.write_all_at(b"head", 100).unwrap();
    close(file).unwrap();
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!((stage.requests("begin_upload"), stage.requests("part")), (1, 7));
    mount.umount();
}

#[test]
fn a_file_that_is_cut_off_after_parts_left_arrives_as_it_is() {
    for (len, lengthened) in
        [(0, 0), (5, 0), (PART, 0), (2 * PART, 0), (PART + 7, 3 * PART), (3 * PART, 40 * MIB)]
    {
        let mut stage = Stage::new();
        let mount = stage.mount(&[]);
        let mut bytes = noise(4, 4 * PART + MIB);
        let file = written(&stage, &mount, &bytes, 4);
        file.set_len(len as u64).unwrap();
        bytes.truncate(len);
        if lengthened > 0 {
            file.set_len((len + lengthened) as u64).unwrap();
            bytes.resize(len + lengthened, 0);
        }
        close(file).unwrap();
        assert!(stage.stored("f").unwrap() == bytes, "cut to {len}, lengthened by {lengthened}");
        mount.umount();
    }
}

#[test]
fn what_is_deleted_or_emptied_while_it_travels_is_never_completed() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let bytes = noise(5, 5 * PART);
    let file = written(&stage, &mount, &bytes, 4);
    fs::remove_file(mount.path("f")).unwrap();
    close(file).unwrap();
    assert_eq!(stage.requests("complete"), 0);

    let file = written(&stage, &mount, &bytes, 8);
    write_and_close(&mount.path("f"), b"small").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"small");
    drop(file);
    mount.umount();
    assert_eq!(stage.stored("f").unwrap(), b"small");
}

#[test]
fn a_part_that_fails_while_the_file_is_written_is_the_business_of_its_close() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let refusal =
        || Effect::Error { kind: "bad-request/invalid-path".into(), status: None, retry_after: None };
    let bytes = noise(6, 6 * PART + MIB);
    stage.site.inject(Fault::on("begin_part", refusal()).skip(2).times(1));
    let file = written(&stage, &mount, &bytes, 3);
    close(file).unwrap();
    assert!(stage.stored("f").unwrap() == bytes);
    assert_eq!(stage.requests("begin_upload"), 1, "what had arrived was not sent again");
    fs::remove_file(mount.path("f")).unwrap();

    // Not even begun: the close begins.
    stage.site.inject(Fault::on("begin_upload", refusal()).times(1));
    stage.site.clear_requests();
    let mut file = File::create(mount.path("f")).unwrap();
    bytes.chunks(MIB).for_each(|piece| file.write_all(piece).unwrap());
    let refused = |request: &LoggedRequest| request.status == 422;
    wait_until("it was refused", || stage.site.requests().iter().any(refused));
    close(file).unwrap();
    assert!(stage.stored("f").unwrap() == bytes);
    mount.umount();
}

#[test]
fn a_file_that_is_renamed_while_it_travels_arrives_under_its_new_name() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let bytes = noise(7, 5 * PART);
    fs::create_dir(mount.path("d")).unwrap();
    let file = written(&stage, &mount, &bytes, 3);
    fs::rename(mount.path("f"), mount.path("d/g")).unwrap();
    close(file).unwrap();
    assert!(stage.stored("d/g").unwrap() == bytes);
    assert!(stage.stored("f").is_none());
    assert_eq!((stage.requests("begin_upload"), stage.requests("part")), (1, 5));
    mount.umount();
}

#[test]
fn rsync_of_a_large_file_travels_while_it_is_copied() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let bytes = noise(8, 6 * PART + 5);
    let source = stage.path("large");
    fs::write(&source, &bytes).unwrap();
    // Slow enough that it is not over at once.
    let line = format!("rsync -a --bwlimit=100m {} {}", source.display(), mount.path("large").display());
    assert!(sh(&line).status.success());
    assert!(stage.stored("large").unwrap() == bytes);
    let first = |kind| stage.site.requests().iter().position(|request| request.kind == kind).unwrap();
    assert!(first("begin_upload") < first("complete"));
    assert_eq!((stage.requests("begin_upload"), stage.requests("part"), stage.requests("move")), (1, 7, 0));
    let begun = stage.site.requests().into_iter().find(|request| request.kind == "begin_upload").unwrap();
    assert!(!begun.body.contains("\"size\""), "it began before its size was known: {}", begun.body);
    mount.umount();
}

#[test]
fn a_log_that_is_appended_to_for_long_arrives_with_every_line() {
    let mut stage = Stage::new();
    let mount = stage.mount(&[]);
    let mut bytes = noise(9, 40 * MIB);
    write_and_close(&mount.path("f"), &bytes).unwrap();
    let mut file = File::options().append(true).open(mount.path("f")).unwrap();
    let before = accepted(&stage);
    let more = noise(10, 50 * MIB);
    more.chunks(MIB).for_each(|piece| file.write_all(piece).unwrap());
    wait_until("parts have left", || accepted(&stage) >= before + 5);
    close(file).unwrap();
    bytes.extend(more);
    assert!(stage.stored("f").unwrap() == bytes);
    mount.umount();
}
