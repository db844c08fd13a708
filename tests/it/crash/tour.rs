//! The tour of all fail points: at each one a daemon dies, in the middle of work that leads past it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filescomfs::local::failpoint::POINTS;

use super::history::run;
use super::step::{Bytes, History, Kill, Life, Step};
use super::{AT_ONCE, tell};

fn bytes(len: usize) -> Bytes {
    Bytes { seed: len as u64, len }
}

fn write(path: &str, len: usize) -> Step {
    Step::Write { path: path.into(), bytes: bytes(len) }
}

fn mkdir(path: &str) -> Step {
    Step::Mkdir { path: path.into() }
}

fn rename(from: &str, to: &str) -> Step {
    Step::Rename { from: from.into(), to: to.into() }
}

fn open(slot: usize, path: &str, create: bool) -> Step {
    Step::Open { slot, path: path.into(), create, empty: false, append: false }
}

/// What the daemon before leaves behind: something of every kind that a recovery may find.
fn before() -> Life {
    let steps = vec![
        mkdir("d"),
        mkdir("e"),
        write("d/inside", 800),
        write("a", 700),
        write("b", 600),
        Step::Sync,
        write("owed.tmp", 500),
        open(0, "never synced", true),
        Step::Put { slot: 0, offset: 0, bytes: bytes(400) },
    ];
    Life { steps, kill: Kill::InTheEnd }
}

/// Work that leads past every point, in one close mode or the other.
fn work() -> Vec<Step> {
    vec![
        open(0, "a", false),
        Step::Put { slot: 0, offset: 100, bytes: bytes(50) },
        Step::Fsync { slot: 0 },
        Step::Put { slot: 0, offset: 300, bytes: bytes(60) },
        rename("a", "a moved"),
        Step::Close { slot: 0 },
        Step::Save {
            path: "b".into(),
            temporary: "b.tmp".into(),
            bytes: bytes(900),
            fsync: true,
            mode: 0o640,
            time: 1_234_567_890,
        },
        Step::Mode { path: "a moved".into(), mode: 0o600 },
        mkdir("f"),
        rename("d", "f"),
        mkdir("g.tmp"),
        write("g.tmp/x", 300),
        rename("g.tmp", "g"),
        rename("a moved", "b"),
        Step::Link { path: "link".into(), target: "f/inside".into() },
        Step::Mode { path: "b".into(), mode: 0o755 },
        Step::Unlink { path: "f/inside".into() },
        Step::Rmdir { path: "f".into() },
        open(1, "b", false),
        Step::Resize { slot: 1, size: 20 },
        Step::Unlink { path: "b".into() },
        // Of a file that stays: these attributes are sent on their own.
        Step::Mode { path: "g/x".into(), mode: 0o600 },
        Step::Sync,
    ]
}

#[test]
fn a_daemon_dies_at_every_fail_point_and_nothing_is_lost() {
    let modes: [&[&str]; 2] = [&[], &["--close", "journaled"]];
    let once = POINTS.into_iter().map(|point| (point, 1));
    // These are passed for many reasons.
    let often = ["store.removed", "journal.before", "journal.after"].into_iter();
    let often = often.flat_map(|point| (2..=5).map(move |nth| (point, nth)));
    let passages = once.chain(often);
    let tasks: Vec<_> = passages.flat_map(|passage| modes.map(|options| (passage, options))).collect();
    let next = AtomicUsize::new(0);
    let died_at = Mutex::new(BTreeSet::new());
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(((point, nth), options)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let kill = Kill::At { point, nth: *nth };
                    let history = History { lives: vec![before(), Life { steps: work(), kill }] };
                    match run(&history, options, None) {
                        Ok(report) => died_at.lock().unwrap().extend(report.died_at),
                        Err(violation) => {
                            broken.lock().unwrap().push(tell(point, options, None, history, &violation, 0));
                        }
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    let died_at = died_at.into_inner().unwrap();
    let missed: Vec<_> = POINTS.iter().filter(|point| !died_at.contains(**point)).collect();
    assert!(missed.is_empty(), "nothing leads past {missed:?}: such a point proves nothing");
}

#[test]
fn a_daemon_dies_between_the_parts_of_a_large_file() {
    for nth in 1..=3 {
        let steps = vec![Step::Write { path: "large".into(), bytes: bytes(33 << 20) }, Step::Sync];
        let history = History { lives: vec![Life { steps, kill: Kill::At { point: "publish.part", nth } }] };
        if let Err(violation) = run(&history, &["--close", "journaled"], None) {
            panic!("{}", tell("publish.part", &[], None, history, &violation, 0));
        }
    }
}
