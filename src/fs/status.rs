//! Where the mount stands: what is owed, what failed, what was proven.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Filesystem;
use super::background::is_hopeless;
use crate::model::backlog::Standing;
use crate::model::content::State;
use crate::model::failure::Failure;

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
}

impl Remainder {
    /// Has Files.com everything?
    pub fn is_nothing(&self) -> bool {
        self.files == 0 && self.attributes == 0
    }
}

impl Filesystem {
    /// What is owed at this moment.
    pub fn remainder(&self) -> Remainder {
        let core = self.core();
        let others = core.owed_otherwise().count() + core.backlog.len();
        let mut remainder = Remainder { attributes: others as u64, ..Remainder::default() };
        for (_, pending) in core.backlog.iter() {
            let line = |failure: &Failure| OwedFile {
                path: pending.step.path().to_string(),
                message: format!("cannot {}: {failure}", pending.step),
            };
            match &pending.standing {
                Standing::Held(failure) => remainder.held.push(line(failure)),
                Standing::Failed(failure) => remainder.errors.push(line(failure)),
                Standing::Waiting | Standing::Running => {}
            }
        }
        for (fact, failure) in &core.untaken {
            match fact.bytes() {
                Some(bytes) => {
                    (remainder.files, remainder.bytes) = (remainder.files + 1, remainder.bytes + bytes)
                }
                None => remainder.attributes += 1,
            }
            let line = OwedFile { path: fact.path().to_string(), message: failure.to_string() };
            if is_hopeless(failure) { remainder.held.push(line) } else { remainder.errors.push(line) }
        }
        for (ino, file) in core.owed() {
            remainder.files += 1;
            remainder.bytes += file.size;
            let Some(path) = core.tree.path(ino) else { continue };
            let message = match (&file.failure, file.content.state()) {
                (Some(failure), _) => failure.to_string(),
                (None, State::Dirty(_)) => "it is being written".to_owned(),
                (None, _) => continue,
            };
            let line = OwedFile { path: path.to_string(), message };
            match file.content.state() {
                State::Held(_) => remainder.held.push(line),
                _ => remainder.errors.push(line),
            }
        }
        remainder
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
                Some(json!({"path": path, "sent": progress.sent, "size": progress.size}))
            })
            .collect();
        let now = std::time::Instant::now();
        let next = core.queue.next().map(|at| at.duration_since(now).as_secs());
        let since = core.owed().filter_map(|(_, file)| file.owed_since).min();
        let oldest = since.map(|since| now.duration_since(since).as_secs());
        let calls = self.remote.calls();
        json!({
            "owed": {
                "files": remainder.files,
                "bytes": remainder.bytes,
                "attributes": remainder.attributes,
                "oldest_seconds": oldest,
                "next_retry_seconds": next,
            },
            "uploading": uploading,
            "held": remainder.held,
            "errors": remainder.errors,
            "verified": core.counts.verified,
            "weak": core.counts.weak,
            "api_calls": calls.by_kind,
            "retries": calls.retries,
            "cache": {
                "used": core.cached.used(),
                "limit": self.rules.cache_size,
                "owed": remainder.bytes,
            },
        })
    }
}
