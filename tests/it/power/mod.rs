//! What was acknowledged survives a power cut.
//!
//! The histories of `crash/` are made with the state folder and the cache on a disk in memory (`disk.rs`,
//! mounted by `door.rs`), which knows what every fsync has answered for. When a daemon dies, the power fails
//! with it: what was synced is there, and of everything else (bytes, page by page; sizes; names) some is and
//! some is not. The next daemon goes on with what is left and with the same site. In the end the judge of
//! `crash/` decides, by the rules in its `mod.rs`, with two differences:
//!
//! * What was written and not acknowledged may be gone, or be there in part.
//! * Of a file that was acknowledged and then written on, each byte is the acknowledged one or a later one.
//!
//! `FILESCOMFS_POWER_SEED=N` repeats a history, with `FILESCOMFS_CRASH_FIRST` where it was printed. The moments
//! at which threads of a daemon write are its own, so not every run of a seed fails.
//! `FILESCOMFS_POWER_HISTORIES=N` makes the run longer.

mod content;
mod disk;
mod door;
mod full;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use disk::Defect;
use disk::Disk;
use door::{Plugged, Shared};

use crate::crash::history::run;
use crate::crash::step::{Bytes, History, Kill, Life, Step};
use crate::crash::{first_broken, number, seeds, tell};
use crate::reference::Dice;
use crate::stage::Stage;

/// Histories of each close mode in an ordinary run.
const HISTORIES: usize = 4;
/// Lives of each, and so power cuts.
const LIVES: usize = 6;
/// How often a history that failed is tried in a shorter form.
const SHORTENINGS: usize = 40;
/// How often a lucky disk may keep what it was not asked to keep.
const LUCK: u64 = 16;

/// The losses of a history.
#[derive(Debug, Clone, Copy)]
pub struct Losses {
    /// Of the dice that choose what is lost.
    pub seed: u64,
    /// What is wrong with the disk besides.
    pub defect: Option<Defect>,
}

/// A disk and its power.
pub struct Supply {
    disk: Shared,
    point: std::path::PathBuf,
    plugged: Option<Plugged>,
    dice: Dice,
}

impl Supply {
    /// The daemon's folder on the disk; it makes it itself.
    pub const STATE: &str = "disk/made/by/itself";

    /// A new disk, mounted in the folder of the stage.
    pub fn of(losses: Losses, stage: &Stage) -> Self {
        let mut disk = Disk::new();
        disk.defect = losses.defect;
        let (disk, point) = (Arc::new(Mutex::new(disk)), stage.path("disk"));
        let plugged = Some(Plugged::at(&point, &disk));
        Self { disk, point, plugged, dice: Dice::of(losses.seed) }
    }

    /// The power fails and comes back. Whoever used the disk is dead.
    pub fn fail(&mut self) {
        self.plugged = None;
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).lose_power(&mut self.dice);
        self.plugged = Some(Plugged::at(&self.point, &self.disk));
    }

    /// What is wrong with the disk from now on.
    pub fn set_defect(&self, defect: Option<Defect>) {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).defect = defect;
    }
}

/// Histories that end each life with a loss of power.
fn campaign(options: &[&str]) {
    let (base, count) = seeds("FILESCOMFS_POWER_SEED", "FILESCOMFS_POWER_HISTORIES", HISTORIES);
    let first = number("FILESCOMFS_CRASH_FIRST").unwrap_or(0) as usize;
    let cuts = AtomicUsize::new(0);
    let broken = first_broken(count, |n| {
        let (seed, first) = (base.wrapping_add(n as u64), first + n * LIVES);
        let history = History::of(seed, LIVES, first);
        let losses = Losses { seed, defect: None };
        match run(&history, options, Some(losses)) {
            Ok(report) => {
                cuts.fetch_add(report.kills, Ordering::Relaxed);
                Ok(())
            }
            Err(violation) => {
                eprintln!("history {n} is broken: {}", violation.what);
                Err((losses, first, history, violation))
            }
        }
    });
    if let Some((losses, first, history, violation)) = broken {
        let repeat = format!("FILESCOMFS_POWER_SEED={} FILESCOMFS_CRASH_FIRST={first}", losses.seed);
        panic!("{}", tell(&repeat, options, Some(losses), history, &violation, SHORTENINGS));
    }
    eprintln!("{} power cuts", cuts.into_inner());
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    campaign(&[]);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails_in_journaled_mode() {
    campaign(&["--close", "journaled"]);
}

/// A file that is durable here and nowhere else when the power fails.
fn closed_under_a_temporary_name() -> History {
    let write = |path: &str, len| Step::Write { path: path.into(), bytes: Bytes { seed: 1, len } };
    History { lives: vec![Life { steps: vec![write("a.tmp", 9000)], kill: Kill::InTheEnd }] }
}

/// Over several seeds, is something lost?
fn is_lost(defect: Option<Defect>) -> bool {
    let history = closed_under_a_temporary_name();
    (0..LUCK).any(|seed| run(&history, &[], Some(Losses { seed, defect })).is_err())
}

#[test]
fn the_folders_that_a_mount_made_survive_with_what_is_in_them() {
    assert!(!is_lost(None), "nothing is wrong with this disk");
}

#[test]
fn a_sync_of_bytes_that_keeps_nothing_is_found_out() {
    assert!(is_lost(Some(Defect::DropsBytes)), "these tests prove nothing");
}

#[test]
fn a_sync_of_names_that_keeps_nothing_is_found_out() {
    assert!(is_lost(Some(Defect::DropsNames)), "these tests prove nothing");
}
