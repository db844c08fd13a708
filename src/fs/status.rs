//! Where the mount stands: what is owed, what failed, what was proven.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Filesystem;
use super::core::{Core, Errand};
use super::scope::Within;
use crate::model::backlog::Standing;
use crate::model::cause;
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::meter::Rate;
use crate::model::node::File;
use crate::model::path::RemotePath;

/// A file that is not on Files.com, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedFile {
    /// Its path on Files.com.
    pub path: String,
    /// The last failure, or what it waits for.
    pub message: String,
}

/// What a drain could not get rid of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remainder {
    /// Files owed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that Files.com refused: kept until they are written, closed or deleted again.
    pub held: Vec<OwedFile>,
    /// Files that failed and are tried again.
    pub errors: Vec<OwedFile>,
    /// Changes of names and attributes that Files.com was not told of.
    pub attributes: u64,
    /// Some of those that only wait for their turn: some twenty at most.
    pub waiting: Vec<OwedFile>,
    /// Of the files owed, those that are open for writing and of which nothing that was closed is owed: their close sends
    /// them, and no waiting does.
    pub open: Open,
    /// Bytes of files that are being sent, which have left already.
    pub sent: u64,
    /// What keeps everything from being sent.
    pub causes: Vec<Hindrance>,
}

/// Files that are open for writing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The paths of some twenty of them at most.
    pub paths: Vec<String>,
}

/// One thing that keeps everything from being sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hindrance {
    /// One word for it: `outage`, `key` or `quota`.
    pub kind: String,
    /// What is so, since when.
    pub since: String,
    /// The same for people, with the last that Files.com said, and the remedy.
    pub message: String,
    /// How many files wait for its end.
    pub files: u64,
}

/// How many files that only wait for their turn are named.
const SHOWN: usize = 20;

impl Remainder {
    /// Has Files.com everything?
    pub fn is_nothing(&self) -> bool {
        self.files == 0 && self.attributes == 0
    }

    /// Has Files.com everything that was closed?
    pub fn is_nothing_but_open(&self) -> bool {
        self.files <= self.open.files && self.attributes == 0
    }

    fn is_open(&mut self, path: &RemotePath, bytes: u64) {
        self.open.files += 1;
        self.open.bytes += bytes;
        if self.open.paths.len() < SHOWN {
            self.open.paths.push(path.to_string());
        }
    }

    fn waits(&mut self, path: &RemotePath, message: String) {
        if self.waiting.len() < SHOWN {
            self.waiting.push(OwedFile { path: path.to_string(), message });
        }
    }
}

/// Why a file that did not fail is not on Files.com yet.
fn waits_for(core: &Core, ino: Ino) -> String {
    if let Some(progress) = core.uploading.get(&ino) {
        return format!("is being sent: {} of {} bytes", progress.gauge.sent(), progress.size);
    }
    if core.tree.file(ino).is_ok_and(|file| matches!(file.content.state(), State::Dirty(_))) {
        return "it is being written".to_owned();
    }
    match core.waiting.step(Errand::Publish(ino)).and_then(|number| core.backlog.get(number)) {
        Some(pending) => format!("waits until Files.com was told to {}", pending.step),
        None => "waits for its turn".to_owned(),
    }
}

impl Filesystem {
    /// What is owed at this moment.
    pub fn remainder(&self) -> Remainder {
        self.remainder_within(&Within::all())
    }

    /// The same for a part of the mount.
    pub(super) fn remainder_within(&self, within: &Within) -> Remainder {
        let causes = self.remote.causes().borrow().clone();
        let core = self.core();
        let steps = within.steps(&core);
        let others = core.owed_otherwise().filter(|ino| within.covers(&core, *ino)).count() + steps.len();
        let mut remainder = Remainder { attributes: others as u64, ..Remainder::default() };
        for (_, pending) in core.backlog.iter().filter(|(number, _)| steps.contains(number)) {
            let line = |failure: &Failure| OwedFile {
                path: pending.step.path().to_string(),
                message: format!("cannot {}: {failure}", pending.step),
            };
            match &pending.standing {
                Standing::Held(failure) => remainder.held.push(line(failure)),
                Standing::Failed(failure) => remainder.errors.push(line(failure)),
                Standing::Waiting | Standing::Running => {
                    remainder.waits(pending.step.path(), format!("waits: {}", pending.step));
                }
            }
        }
        for (_, fact, why) in core.leftovers.iter().filter(|(_, fact, _)| within.concerns(fact.path())) {
            match fact.bytes() {
                Some(bytes) => {
                    (remainder.files, remainder.bytes) = (remainder.files + 1, remainder.bytes + bytes)
                }
                None => remainder.attributes += 1,
            }
            let line = OwedFile { path: fact.path().to_string(), message: why.to_string() };
            if why.has_hope() { remainder.errors.push(line) } else { remainder.held.push(line) }
        }
        for (ino, why) in core.contradicted().filter(|(ino, _)| within.covers(&core, *ino)) {
            let Some(path) = core.tree.path(ino) else { continue };
            remainder.held.push(OwedFile { path: path.to_string(), message: why.to_string() });
        }
        for (ino, file) in core.owed().filter(|(ino, _)| within.covers(&core, *ino)) {
            remainder.files += 1;
            remainder.bytes += file.size;
            let Some(path) = core.tree.path(ino) else { continue };
            if core.is_only_open(ino) {
                remainder.is_open(&path, file.size);
                continue;
            }
            let Some(failure) = &file.failure else {
                remainder.waits(&path, waits_for(&core, ino));
                continue;
            };
            let line = OwedFile { path: path.to_string(), message: failure.to_string() };
            match file.content.state() {
                State::Held(_) => remainder.held.push(line),
                _ => remainder.errors.push(line),
            }
        }
        let under_way = core.uploading.iter().filter(|(ino, _)| within.covers(&core, **ino));
        remainder.sent = under_way.map(|(_, progress)| progress.gauge.sent()).sum();
        // What was refused does not wait for that.
        let is_held = |file: &File| matches!(file.content.state(), State::Held(_));
        let held = core.owed().filter(|(ino, file)| is_held(file) && within.covers(&core, *ino)).count();
        let files = remainder.files.saturating_sub(held as u64);
        let hindrance = |open: &cause::Open| Hindrance {
            kind: open.cause.name().to_owned(),
            since: open.at.to_string(),
            message: format!("{}: {}", open.cause.is(), open.why),
            files,
        };
        remainder.causes = causes.iter().map(hindrance).collect();
        remainder
    }

    /// How many files were only weakly verified since the mount began.
    pub fn weak(&self) -> u64 {
        self.core().counts.weak
    }

    /// The status as `filescomfs status --json` prints it, less what only the mount knows.
    pub fn status(&self) -> Value {
        let remainder = self.remainder();
        let core = self.core();
        let uploading: Vec<Value> = core
            .uploading
            .iter()
            .filter_map(|(ino, progress)| {
                let path = core.tree.path(*ino)?.to_string();
                Some(json!({"path": path, "sent": progress.gauge.sent(), "size": progress.size}))
            })
            .collect();
        let now = std::time::Instant::now();
        let next = core.queue.next_after(now).map(|at| at.duration_since(now).as_secs());
        let since = core.owed().filter_map(|(_, file)| file.owed_since).min();
        let oldest = since.map(|since| now.duration_since(since).as_secs());
        let calls = self.remote.calls();
        let rate = Rate { bytes: self.remote.speed_up(), ..core.meter.rate(now) };
        // What was refused will not arrive by waiting.
        let coming = core.owed().filter(|(_, file)| !matches!(file.content.state(), State::Held(_)));
        let (bytes, files) = coming.fold((0, 0), |(bytes, files), (_, file)| (bytes + file.size, files + 1));
        let sent: u64 = core.uploading.values().map(|progress| progress.gauge.sent()).sum();
        json!({
            "owed": {
                "files": remainder.files,
                "bytes": remainder.bytes,
                "attributes": remainder.attributes,
                "open": remainder.open.files,
                "oldest_seconds": oldest,
                "next_retry_seconds": next,
            },
            "rate": {
                "bytes_per_second": rate.bytes.round() as u64,
                "files_per_second": (rate.files * 10.0).round() / 10.0,
            },
            "eta_seconds": rate.eta(bytes.saturating_sub(sent), files),
            "reachable": *self.reach.borrow(),
            "read_only": self.journal.failure().map(ToString::to_string),
            "uploading": uploading,
            "open": remainder.open.paths,
            "held": remainder.held,
            "errors": remainder.errors,
            "causes": remainder.causes,
            "verified": core.counts.verified,
            "weak": core.counts.weak,
            "contradicted": core.counts.contradicted,
            "api_calls": calls.by_kind,
            "retries": calls.retries,
            "cache": {
                "used": core.cached.used(),
                "limit": self.rules.cache_size,
                "owed": remainder.bytes,
                "spool": self.store.spooled(),
                "writers_waiting": self.writers_waiting(),
            },
        })
    }
}
