//! Nothing that was acknowledged is lost, wherever the daemon dies.
//!
//! Random histories are made on a real mount. The daemon dies by SIGKILL, at random moments and at every
//! fail point (`local/failpoint.rs`), while it works, while it starts and while it recovers; the next one
//! goes on with the same state folder and the same site. In the end `filescomfs sync` must succeed, and
//! what Files.com then holds, looked at directly and by a mount that knows nothing, must be what the
//! history allows. A call is *acknowledged* when it has returned 0. What that means, in both close modes:
//!
//! * **fsync, close, truncate(2) of a file that nobody has open for writing**: the file has exactly the
//!   bytes that the mount showed when the call returned, or those of a later moment, never earlier ones, and
//!   never none. "A later moment" is the state after one of the following calls, each of them whole; of a
//!   single write that was in flight, any first part may have happened.
//! * **write, ftruncate, open with O_TRUNC**, before the next fsync or close: the file has the bytes of a
//!   moment between its last acknowledgement and now. A new file that was never acknowledged may be missing;
//!   one that was renamed over another may leave the other in place. The newest bytes are not lost even so:
//!   they are in the quarantine folder.
//! * **create, mkdir, rmdir, unlink, symlink, rename**: happened, wholly, as soon as the call returned. In flight, it has happened or
//!   it has not. Nothing comes back that was deleted, and nothing is under two names.
//! * **chmod, utimes**: holds as soon as the call returned; while new bytes are still to be made durable (by fsync,
//!   close, the rename of a temporary name), with that. Until then the earlier value may show, never a third one.
//! * **sync**: everything above, on Files.com.
//! * A call that was refused has changed nothing.
//!
//! A run that breaks a promise prints its seed, the history, a shorter one that fails too, and how to repeat
//! it. `FILESCOMFS_CRASH_SEED=N` repeats a history, `FILESCOMFS_CRASH_HISTORIES=N` makes the run longer.

pub mod daemon;
mod file;
pub mod history;
mod program;
pub mod step;
mod tour;
mod world;
mod world_tests;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use history::{Violation, run, shortened};
use step::History;

use crate::power::Losses;

/// Histories of each close mode in an ordinary run.
const HISTORIES: usize = 4;
/// Lives of each.
const LIVES: usize = 10;
/// Histories at the same time: most of the time of each is spent waiting for the disk.
pub const AT_ONCE: usize = 3;
/// How often a history that failed is tried in a shorter form.
const SHORTENINGS: usize = 60;

pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Tells a broken promise so that it can be repeated, understood and mended.
pub fn tell(
    repeat: &str,
    options: &[&str],
    losses: Option<Losses>,
    history: History,
    violation: &Violation,
    shortenings: usize,
) -> String {
    let mut told = format!(
        "mount options: {options:?}\n{}\n\nBROKEN: {}\n\nrepeat: {repeat}",
        violation.transcript.join("\n"),
        violation.what
    );
    match shortened(history, options, losses, shortenings) {
        Some((shorter, violation)) => {
            let transcript = violation.transcript.join("\n");
            told += &format!("\n\nshorter:\n{shorter}\n{transcript}\n\nBROKEN: {}", violation.what);
        }
        None => told += "\n\nnothing shorter was found",
    }
    told
}

/// The first seed and the number of histories of a campaign: `seed` names the variable that repeats one of
/// them, `count` the one that asks for more.
pub fn seeds(seed: &str, count: &str, usual: usize) -> (u64, usize) {
    let repeated = number(seed);
    let count = number(count).map_or(usual, |count| count as usize);
    let base = repeated.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 >> 8);
    eprintln!("{seed} from {base}");
    (base, if repeated.is_some() { 1 } else { count })
}

/// Tries out `count` things, some at once, until one is broken: that one is handed back.
pub fn first_broken<B: Send>(count: usize, one: impl Fn(usize) -> Result<(), B> + Sync) -> Option<B> {
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || broken.lock().unwrap().is_some() {
                        return;
                    }
                    if let Err(what) = one(n) {
                        broken.lock().unwrap().get_or_insert(what);
                        return;
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

/// Histories over all fail points.
fn campaign(options: &[&str]) {
    let (base, count) = seeds("FILESCOMFS_CRASH_SEED", "FILESCOMFS_CRASH_HISTORIES", HISTORIES);
    let first = number("FILESCOMFS_CRASH_FIRST").unwrap_or(0) as usize;
    let (died_at, kills) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    let broken = first_broken(count, |n| {
        let (seed, first) = (base.wrapping_add(n as u64), first + n * 6);
        let history = History::of(seed, LIVES, first);
        let start = std::time::Instant::now();
        match run(&history, options, None) {
            Ok(report) => {
                eprintln!("history {n} of {count}: {} kills in {:?}", report.kills, start.elapsed());
                died_at.lock().unwrap().extend(report.died_at);
                kills.fetch_add(report.kills, Ordering::Relaxed);
                Ok(())
            }
            Err(violation) => {
                eprintln!("history {n} is broken: {}", violation.what);
                Err((seed, first, history, violation))
            }
        }
    });
    if let Some((seed, first, history, violation)) = broken {
        let repeat = format!("FILESCOMFS_CRASH_SEED={seed} FILESCOMFS_CRASH_FIRST={first}");
        panic!("{}", tell(&repeat, options, None, history, &violation, SHORTENINGS));
    }
    let died_at = died_at.into_inner().unwrap();
    eprintln!("{} kills, {} of them at fail points of their own", kills.into_inner(), died_at.len());
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_daemon_dies() {
    campaign(&[]);
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_daemon_dies_in_journaled_mode() {
    campaign(&["--close", "journaled"]);
}
