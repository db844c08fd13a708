//! The newest bytes of a file are those that were written last, whatever else is under way with it, and however the
//! local files are numbered in which they are kept.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use filescomfs::emulator::{Effect, Fault};

use crate::close::{close, write_and_close};
use crate::stage::{FOLDER, Mount, Stage, told, wait_until};

const MODES: [&str; 2] = ["verified", "journaled"];

fn synced(stage: &Stage, mount: &Mount) {
    let synced = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(synced.status.success(), "{}", told(&synced));
}

/// Empty files of the spool are ready from here on, with numbers that come before those of what is fetched.
fn make_spares(mount: &Mount) {
    for n in 0..12 {
        let mut file = File::create(mount.path(&format!("small {n}"))).unwrap();
        file.write_all(b"small").unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
    }
}

#[test]
fn bytes_written_while_older_ones_are_completed_are_the_file() {
    for mode in MODES {
        let mut stage = Stage::new();
        stage.site.put(&format!("{FOLDER}/f"), b"of before, ");
        let mount = stage.mount_with_state("state", &["--close", mode]);
        make_spares(&mount);
        synced(&stage, &mount);
        stage.site.inject(Fault::on("complete", Effect::Delay { ms: 1500 }).path("/f"));
        std::thread::scope(|scope| {
            let mount = &mount;
            scope.spawn(|| {
                // What is there is fetched first.
                let mut file = OpenOptions::new().append(true).open(mount.path("f")).unwrap();
                file.write_all(b"appended").unwrap();
                close(file).unwrap();
            });
            wait_until("it is being completed", || stage.site.waiting_faults().is_empty());
            let mut file = OpenOptions::new().write(true).truncate(true).open(mount.path("f")).unwrap();
            file.write_all(b"newest").unwrap();
            file.sync_all().unwrap();
            close(file).unwrap();
        });
        synced(&stage, &mount);
        assert_eq!(fs::read(mount.path("f")).unwrap(), b"newest", "{mode}");
        assert_eq!(stage.stored("f").as_deref(), Some(&b"newest"[..]), "{mode}");
        mount.umount();
    }
}

/// Others that write to a file for as long as this lives.
struct Steady<'a> {
    is_over: &'a AtomicBool,
}

impl Drop for Steady<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_close_beside_a_steady_writer_proves_what_was_written_before_it() {
    let mut stage = Stage::with(|site| (site.latency_ms, site.storage_latency_ms) = (10, 30));
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("log"), b"").unwrap();
    stage.site.clear_requests();
    let (is_over, lines) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _steady = Steady { is_over: &is_over };
        scope.spawn(|| {
            let mut log = OpenOptions::new().append(true).open(mount.path("log")).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                log.write_all(b"a line of the steady writer\n").unwrap();
                lines.fetch_add(1, Ordering::Relaxed);
            }
            close(log).unwrap();
        });
        for n in 0..3 {
            let before = lines.load(Ordering::Relaxed);
            wait_until("the other writes", || lines.load(Ordering::Relaxed) > before);
            let mut log = OpenOptions::new().append(true).open(mount.path("log")).unwrap();
            log.write_all(format!("close {n}\n").as_bytes()).unwrap();
            close(log).unwrap();
            let stored = String::from_utf8(stage.stored("log").unwrap()).unwrap();
            assert!(stored.contains(&format!("close {n}\n")), "close {n} answered for other bytes");
            assert!(stored.ends_with('\n'), "a write was cut in two");
        }
    });
    assert!(stage.requests("begin_upload") <= 4, "{} uploads for 4 closes", stage.requests("begin_upload"));
    assert_eq!(stage.stored("log").unwrap(), fs::read(mount.path("log")).unwrap());
    mount.umount();
}

#[test]
fn a_close_beside_one_who_writes_in_place_proves_the_file_as_it_was_at_one_moment() {
    let size = 3 << 20;
    let mut stage = Stage::with(|site| (site.latency_ms, site.storage_latency_ms) = (10, 30));
    let mount = stage.mount(&[]);
    write_and_close(&mount.path("db"), &vec![0; size]).unwrap();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let (is_over, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let _steady = Steady { is_over: &is_over };
        scope.spawn(|| {
            let db = OpenOptions::new().write(true).open(mount.path("db")).unwrap();
            for n in 1u64.. {
                db.write_all_at(&n.to_le_bytes(), 8).unwrap();
                db.write_all_at(&n.to_le_bytes(), size as u64 - 8).unwrap();
                writes.fetch_add(1, Ordering::Relaxed);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
            close(db).unwrap();
        });
        for n in 1..4u64 {
            let before = writes.load(Ordering::Relaxed);
            wait_until("the other writes", || writes.load(Ordering::Relaxed) > before);
            let db = OpenOptions::new().write(true).open(mount.path("db")).unwrap();
            db.write_all_at(&n.to_le_bytes(), 0).unwrap();
            close(db).unwrap();
            let stored = stage.stored("db").unwrap();
            assert_eq!(number(&stored), n, "the close answered for other bytes");
            let (first, last) = (number(&stored[8..]), number(&stored[size - 8..]));
            assert!(first == last || first == last + 1, "{first} and {last} were never there together");
        }
    });
    assert_eq!(stage.stored("db").unwrap(), fs::read(mount.path("db")).unwrap());
    mount.umount();
}

#[test]
fn what_a_child_writes_after_its_parent_is_published_though_somebody_reads_the_file() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mount = stage.mount(&["--close", mode]);
        let mut file = File::create(mount.path("log")).unwrap();
        file.write_all(b"parent\n").unwrap();
        let line = "read go; echo child";
        let mut child = Command::new("sh")
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .spawn()
            .unwrap();
        close(file).unwrap();
        let reader = File::open(mount.path("log")).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert!(child.wait().unwrap().success());
        wait_until("all of it is published", || {
            stage.stored("log").as_deref() == Some(&b"parent\nchild\n"[..])
        });
        drop(reader);
        mount.umount();
    }
}
