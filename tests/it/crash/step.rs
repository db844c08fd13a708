//! What a history is made of: single calls, and lives that end in a kill. Drawn from dice before anything
//! runs, so that a history can be printed, repeated and shortened.

use std::fmt;

use filescomfs::local::failpoint;

use super::world::{Change, World};
use crate::reference::Dice;

/// Names that collide on Files.com, temporary names, and folders to move them between.
const FILES: [&str; 12] = [
    "a",
    "A",
    "b",
    "data.bin",
    "w.tmp",
    "pack-tmp-1",
    "d/x",
    "d/X",
    "d/z.partial",
    "e/x",
    "e/s/q",
    "g.tmp/x",
];
const FOLDERS: [&str; 6] = ["d", "e", "e/s", "f", "g", "g.tmp"];
const LINKS: [&str; 3] = ["link", "d/link", "b"];
/// Descriptors that one program holds open at the same time.
pub const SLOTS: usize = 3;

/// Bytes that can be made again from two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    pub seed: u64,
    pub len: usize,
}

impl Bytes {
    pub fn make(self) -> Vec<u8> {
        crate::stage::noise(self.seed, self.len)
    }
}

/// One call, or the usual few of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// open(O_CREAT|O_TRUNC), write, close.
    Write { path: String, bytes: Bytes },
    /// A temporary file, closed, dated, and renamed to its final name.
    Save { path: String, temporary: String, bytes: Bytes, fsync: bool, mode: u32, time: u64 },
    /// truncate(2).
    Cut { path: String, size: u64 },
    /// rename(2).
    Rename { from: String, to: String },
    /// unlink(2).
    Unlink { path: String },
    /// mkdir(2).
    Mkdir { path: String },
    /// rmdir(2).
    Rmdir { path: String },
    /// symlink(2).
    Link { path: String, target: String },
    /// chmod(2).
    Mode { path: String, mode: u32 },
    /// open(2) with the flags that it takes, into a slot that was closed.
    Open { slot: usize, path: String, create: bool, empty: bool, append: bool },
    /// pwrite(2), or write(2) at the end where it was opened for that.
    Put { slot: usize, offset: u64, bytes: Bytes },
    /// ftruncate(2).
    Resize { slot: usize, size: u64 },
    /// fsync(2).
    Fsync { slot: usize },
    /// futimens(2).
    Date { slot: usize, time: u64 },
    /// fchmod(2).
    ModeOf { slot: usize, mode: u32 },
    /// close(2).
    Close { slot: usize },
    /// Everything is closed, and `filescomfs sync` must succeed; then Files.com is looked at.
    Sync,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, bytes } => write!(f, "write {path} ({} bytes)", bytes.len),
            Self::Save { path, temporary, bytes, fsync, mode, time } => {
                let synced = if *fsync { ", fsync" } else { "" };
                let len = bytes.len;
                write!(
                    f,
                    "save {path} by way of {temporary} ({len} bytes{synced}, mode {mode:o}, time {time})"
                )
            }
            Self::Cut { path, size } => write!(f, "truncate {path} to {size}"),
            Self::Rename { from, to } => write!(f, "rename {from} {to}"),
            Self::Unlink { path } => write!(f, "unlink {path}"),
            Self::Mkdir { path } => write!(f, "mkdir {path}"),
            Self::Rmdir { path } => write!(f, "rmdir {path}"),
            Self::Link { path, target } => write!(f, "symlink {path} -> {target}"),
            Self::Mode { path, mode } => write!(f, "chmod {path} {mode:o}"),
            Self::Open { slot, path, create, empty, append } => {
                write!(f, "[{slot}] open {path}")?;
                for (is_set, flag) in [(create, " O_CREAT"), (empty, " O_TRUNC"), (append, " O_APPEND")] {
                    f.write_str(if *is_set { flag } else { "" })?;
                }
                Ok(())
            }
            Self::Put { slot, offset, bytes } => write!(f, "[{slot}] write {} bytes at {offset}", bytes.len),
            Self::Resize { slot, size } => write!(f, "[{slot}] ftruncate to {size}"),
            Self::Fsync { slot } => write!(f, "[{slot}] fsync"),
            Self::Date { slot, time } => write!(f, "[{slot}] set the time {time}"),
            Self::ModeOf { slot, mode } => write!(f, "[{slot}] fchmod {mode:o}"),
            Self::Close { slot } => write!(f, "[{slot}] close"),
            Self::Sync => write!(f, "filescomfs sync"),
        }
    }
}

/// When the daemon of a life dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// At the `nth` passage of a fail point; after the last step when it never comes to that.
    At { point: &'static str, nth: u64 },
    /// That many microseconds after the beginning of a step.
    During { step: usize, micros: u64 },
    /// After the last step.
    InTheEnd,
    /// That many microseconds after the start of the daemon, mounted or not.
    Starting { micros: u64 },
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { point, nth } => write!(f, "killed at {point}, passage {nth}"),
            Self::During { step, micros } => {
                write!(f, "killed {micros} us after the beginning of step {step}")
            }
            Self::InTheEnd => write!(f, "killed after its last step"),
            Self::Starting { micros } => write!(f, "killed {micros} us after its start"),
        }
    }
}

/// From a start of the daemon to its end.
#[derive(Debug, Clone)]
pub struct Life {
    pub steps: Vec<Step>,
    pub kill: Kill,
}

/// Several lives over one state folder and one site.
#[derive(Debug, Clone)]
pub struct History {
    pub lives: Vec<Life>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, life) in self.lives.iter().enumerate() {
            writeln!(f, "life {}: {}", n + 1, life.kill)?;
            for (n, step) in life.steps.iter().enumerate() {
                writeln!(f, "  {n}: {step}")?;
            }
        }
        Ok(())
    }
}

impl History {
    /// The history of a seed. Its kills walk over the fail points from `first` on, with kills at random
    /// moments between them.
    pub fn of(seed: u64, lives: usize, first: usize) -> Self {
        let mut dice = Dice::of(seed);
        let mut points = failpoint::POINTS.iter().copied().cycle().skip(first % failpoint::POINTS.len());
        let mut likely = Likely::default();
        let lives = (0..lives).map(|_| {
            let count = 6 + dice.below(14) as usize;
            let kill = match dice.below(10) {
                0..=5 => Kill::At {
                    point: points.next().unwrap_or(failpoint::POINTS[0]),
                    nth: 1 + dice.below(4) * dice.below(3),
                },
                6..=8 => Kill::During { step: dice.below(count as u64) as usize, micros: dice.below(6_000) },
                _ => Kill::Starting { micros: 5_000 + dice.below(60_000) },
            };
            // Descriptors die with their mount.
            likely.open = [false; SLOTS];
            let mut steps: Vec<Step> = (0..count).map(|_| likely.step(&mut dice)).collect();
            if let Kill::At { .. } = kill {
                // Most points are reached by what every program does.
                steps.push(Step::Sync);
            }
            Life { steps, kill }
        });
        Self { lives: lives.collect() }
    }
}

/// What is there if nothing is lost: most steps should have something to do.
#[derive(Default)]
struct Likely {
    world: World,
    open: [bool; SLOTS],
}

impl Likely {
    /// A step that will do something, most of the time.
    fn step(&mut self, dice: &mut Dice) -> Step {
        let mut drawn = step(dice);
        for _ in 0..12 {
            if self.take(&drawn) || dice.one_in(30) {
                break;
            }
            drawn = step(dice);
        }
        drawn
    }

    /// Takes note of a step; false when it would do nothing.
    fn take(&mut self, step: &Step) -> bool {
        let changes = match step {
            Step::Write { path, .. } | Step::Cut { path, .. } | Step::Mode { path, .. }
                if self.world.file_at(path).is_some() =>
            {
                return true;
            }
            Step::Write { path, .. } => vec![Change::Create { path, mode: 0 }],
            Step::Save { path, temporary, .. } => {
                vec![
                    Change::Create { path: temporary, mode: 0 },
                    Change::Rename { from: temporary, to: path },
                ]
            }
            Step::Rename { from, to } => vec![Change::Rename { from, to }],
            Step::Unlink { path } => vec![Change::Unlink(path)],
            Step::Mkdir { path } => vec![Change::Mkdir(path)],
            Step::Rmdir { path } => vec![Change::Rmdir(path)],
            Step::Link { path, target } => vec![Change::Link { path, target }],
            Step::Open { slot, path, create, .. } => {
                let is_there = self.world.file_at(path).is_some();
                self.open[*slot] = is_there || *create;
                if is_there || !*create {
                    return is_there;
                }
                vec![Change::Create { path, mode: 0 }]
            }
            Step::Close { slot } => return std::mem::take(&mut self.open[*slot]),
            Step::Put { slot, .. }
            | Step::Resize { slot, .. }
            | Step::Fsync { slot }
            | Step::Date { slot, .. }
            | Step::ModeOf { slot, .. } => return self.open[*slot],
            Step::Sync => return true,
            Step::Cut { .. } | Step::Mode { .. } => return false,
        };
        changes.iter().all(|change| {
            let planned = self.world.plan(change);
            planned.map(|planned| self.world.happened(planned)).is_some()
        })
    }
}

fn bytes(dice: &mut Dice) -> Bytes {
    let most = if dice.one_in(12) { 200_000 } else { 3_000 };
    Bytes { seed: dice.below(1 << 40), len: dice.below(most) as usize }
}

fn step(dice: &mut Dice) -> Step {
    let file = |dice: &mut Dice| dice.pick(&FILES).to_owned();
    let folder = |dice: &mut Dice| dice.pick(&FOLDERS).to_owned();
    let slot = dice.below(SLOTS as u64) as usize;
    let time = 1_000_000_000 + dice.below(700_000_000);
    let mode = dice.pick(&[0o600, 0o644, 0o755, 0o640]);
    match dice.below(32) {
        0..=3 => Step::Write { path: file(dice), bytes: bytes(dice) },
        4..=6 => {
            let path = file(dice);
            let (parent, name) =
                path.rsplit_once('/').map_or(("", &path[..]), |(parent, name)| (parent, name));
            let slash = if parent.is_empty() { "" } else { "/" };
            let temporary = match dice.below(3) {
                0 => format!("{parent}{slash}.{name}.{:06}", dice.below(1_000_000)),
                1 => format!("{parent}{slash}{name}.tmp"),
                _ => format!("{name}-tmp-{}", dice.below(1_000)),
            };
            Step::Save {
                temporary,
                bytes: bytes(dice),
                fsync: dice.one_in(2),
                mode,
                time,
                path: path.clone(),
            }
        }
        7 => Step::Cut { path: file(dice), size: dice.below(4_000) * dice.below(2) },
        8..=10 => Step::Rename { from: file(dice), to: file(dice) },
        11 => Step::Rename { from: folder(dice), to: folder(dice) },
        12 => Step::Rename { from: dice.pick(&LINKS).to_owned(), to: dice.pick(&LINKS).to_owned() },
        13 | 14 => {
            Step::Unlink { path: if dice.one_in(5) { dice.pick(&LINKS).to_owned() } else { file(dice) } }
        }
        15..=17 => Step::Mkdir { path: folder(dice) },
        18 => Step::Rmdir { path: folder(dice) },
        19 => Step::Link { path: dice.pick(&LINKS).to_owned(), target: format!("../{}", dice.below(1_000)) },
        20 => Step::Mode { path: file(dice), mode },
        21..=23 => {
            let (create, empty) = (dice.one_in(2), dice.one_in(3));
            Step::Open { slot, path: file(dice), create, empty, append: dice.one_in(4) }
        }
        24 | 25 => {
            let offset = if dice.one_in(3) { 0 } else { dice.below(5_000) };
            Step::Put { slot, offset, bytes: bytes(dice) }
        }
        26 => Step::Resize { slot, size: dice.below(6_000) },
        27 => Step::Fsync { slot },
        28 if dice.one_in(2) => Step::Date { slot, time },
        28 => Step::ModeOf { slot, mode },
        29 | 30 => Step::Close { slot },
        _ if dice.one_in(3) => Step::Sync,
        _ => Step::Write { path: file(dice), bytes: bytes(dice) },
    }
}
