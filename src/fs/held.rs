//! What Files.com refused for good: shown, tried again, or given up, when a person says so.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::Filesystem;
use super::Stale;
use super::core::{Core, Errand};
use super::scope::{Scope, Within};
use crate::local::journal::Fact;
use crate::model::backlog::Standing;
use crate::model::content::{Revision, State};
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::OnSite;
use crate::model::path::RemotePath;

/// Of what somebody tried again while it was about to be given up.
const MEANWHILE: &str = "it is tried again meanwhile, and stays";

/// What kind of thing is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The bytes of a file.
    File,
    /// A change of a name.
    Change,
    /// Something of an earlier mount that has no place in this one.
    Leftover,
    /// What Files.com holds of a file was damaged after it was proven.
    Damaged,
}

/// One thing that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldThing {
    /// Its path on Files.com.
    pub path: String,
    /// Tells it from whatever else is held under this path, before or after: newer bytes have another one.
    #[serde(default)]
    pub key: String,
    /// For a file, its path below the mountpoint, by names as Files.com stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Has Files.com another version under this path?
    pub replaces: bool,
    /// Why it was refused.
    pub message: String,
}

/// How a thing stands after a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Files.com has it.
    Done,
    /// It is tried again by itself.
    Owed,
    /// It was refused again, or nothing was done.
    Held,
    /// It was given up.
    Discarded,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The path on Files.com.
    pub path: String,
    /// How it stands.
    pub outcome: Verdict,
    /// Why, where that needs a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A thing as the journeys know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    File(Ino, Revision),
    Step(u64),
    Leftover(u64),
    Damaged(Ino),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(Ino(ino), Revision(revision)) => write!(f, "file {ino} {revision}"),
            Self::Step(number) => write!(f, "change {number}"),
            Self::Leftover(number) => write!(f, "leftover {number}"),
            Self::Damaged(Ino(ino)) => write!(f, "damaged {ino}"),
        }
    }
}

impl Filesystem {
    /// What is held under any of `scopes`; everything where there is none.
    ///
    /// # Errors
    /// ENOENT for a path that is not there.
    pub fn held_things(&self, scopes: &[Scope]) -> Result<Vec<HeldThing>, Failure> {
        let core = self.core();
        let within = looks(&core, scopes)?;
        Ok(self.held_keys(&core, &within).into_iter().map(|(_, thing)| thing).collect())
    }

    fn held_keys(&self, core: &Core, within: &[Within]) -> Vec<(Key, HeldThing)> {
        let root = &self.rules.folder;
        let files = core.owed().filter_map(|(ino, file)| {
            let State::Held(revision) = file.content.state() else { return None };
            if !within.iter().any(|within| within.covers(core, ino)) {
                return None;
            }
            let path = core.tree.path(ino)?;
            let key = Key::File(ino, *revision);
            let thing = HeldThing {
                path: path.to_string(),
                key: key.to_string(),
                below: path.below(root).map(str::to_owned),
                kind: Kind::File,
                size: Some(file.size),
                replaces: core.tree.node(ino).is_ok_and(|node| node.on_site() != OnSite::No),
                message: file.failure.as_ref().map_or_else(String::new, ToString::to_string),
            };
            Some((key, thing))
        });
        let other = |key: Key, path: &RemotePath, kind, size, message| {
            let (path, text) = (path.to_string(), key.to_string());
            (key, HeldThing { path, key: text, below: None, kind, size, replaces: false, message })
        };
        let concerns = |path: &RemotePath| within.iter().any(|within| within.concerns(path));
        let steps = core.backlog.iter().filter_map(|(number, pending)| {
            let Standing::Held(failure) = &pending.standing else { return None };
            let path = Some(pending.step.path()).filter(|path| concerns(path))?;
            let message = format!("cannot {}: {failure}", pending.step);
            Some(other(Key::Step(number), path, Kind::Change, None, message))
        });
        let leftovers =
            core.leftovers.iter().filter(|(_, fact, why)| !why.has_hope() && concerns(fact.path()));
        let leftovers = leftovers.map(|(number, fact, why)| {
            other(Key::Leftover(number), fact.path(), Kind::Leftover, fact.bytes(), why.to_string())
        });
        let damaged = core.contradicted().filter_map(|(ino, why)| {
            let path =
                core.tree.path(ino).filter(|_| within.iter().any(|within| within.covers(core, ino)))?;
            let size = core.tree.file(ino).ok()?.size;
            Some(other(Key::Damaged(ino), &path, Kind::Damaged, Some(size), why.to_string()))
        });
        let mut found: Vec<(Key, HeldThing)> = files.chain(steps).chain(leftovers).chain(damaged).collect();
        found.sort_by(|a, b| a.1.path.cmp(&b.1.path));
        found
    }

    /// Tries what is held under `scopes` once more, and tells what came of each.
    ///
    /// # Errors
    /// ENOENT for a path that is not there.
    pub async fn retry(&self, scopes: &[Scope]) -> Result<Vec<Decided>, Failure> {
        let things = self.chosen(scopes)?;
        let retried = futures_util::stream::iter(things)
            .map(|(key, thing)| async move {
                let (outcome, message) = match key {
                    Key::File(ino, _) => self.retry_file(ino).await,
                    Key::Damaged(ino) => self.retry_damaged(ino).await,
                    Key::Step(number) => self.retry_step(number).await,
                    Key::Leftover(number) => match self.take_up(number).await {
                        Ok(()) => (Verdict::Owed, None),
                        Err(failure) => (Verdict::Held, Some(failure)),
                    },
                };
                Decided { path: thing.path, outcome, message: message.map(|failure| failure.to_string()) }
            })
            .buffered(self.rules.max_uploads.max(1));
        Ok(retried.collect().await)
    }

    fn chosen(&self, scopes: &[Scope]) -> Result<Vec<(Key, HeldThing)>, Failure> {
        let core = self.core();
        Ok(self.held_keys(&core, &looks(&core, scopes)?))
    }

    async fn retry_file(&self, ino: Ino) -> (Verdict, Option<Failure>) {
        if let Ok(file) = self.core().tree.file_mut(ino) {
            file.content.reconsider();
        }
        let outcome = self.publish_now(ino).await;
        let core = self.core();
        let Ok(file) = core.tree.file(ino) else { return (Verdict::Done, None) };
        match file.content.state() {
            State::Clean => (Verdict::Done, None),
            State::Held(_) => (Verdict::Held, file.failure.clone()),
            State::Dirty(_) | State::Sealed(_) => (Verdict::Owed, outcome.err()),
        }
    }

    /// What is here of a damaged file is sent again.
    async fn retry_damaged(&self, ino: Ino) -> (Verdict, Option<Failure>) {
        let outcome = self.publish_now(ino).await;
        let core = self.core();
        let Ok(file) = core.tree.file(ino) else { return (Verdict::Done, None) };
        match (file.content.is_owed(), &file.contradicted) {
            (true, _) => (Verdict::Owed, outcome.err()),
            (false, None) => (Verdict::Done, None),
            (false, Some(_)) => {
                let why = "nothing of it is here: write it again from its source";
                (Verdict::Held, Some(Failure::new(libc::EIO, why)))
            }
        }
    }

    /// A person takes what Files.com holds for the file, whatever was proven once.
    fn believe_what_is_there(&self, ino: Ino) -> (Verdict, Option<String>) {
        let mut core = self.core();
        if let Some(path) = core.tree.path(ino) {
            tracing::warn!("what Files.com holds of {path} is taken for the file, as somebody asked");
            self.receipts.forget(path);
        }
        if let Ok(file) = core.tree.file_mut(ino) {
            file.prove(None);
        }
        core.contradicted.remove(&ino);
        (Verdict::Discarded, None)
    }

    async fn retry_step(&self, number: u64) -> (Verdict, Option<Failure>) {
        self.core().backlog.release(number);
        let outcome = self.take_step(number).await;
        let mut core = self.core();
        if outcome.is_err() {
            core.queue.failed(Errand::Step(number), Instant::now());
        }
        let told = match core.backlog.get(number).map(|pending| &pending.standing) {
            None => (Verdict::Done, None),
            Some(Standing::Held(failure)) => (Verdict::Held, Some(failure.clone())),
            Some(_) => (Verdict::Owed, outcome.err()),
        };
        drop(core);
        self.errands.notify_one();
        self.outcomes.notify_waiters();
        told
    }

    /// Gives up the bytes that are held under `scopes`. What Files.com has under their paths, if
    /// anything, shows again. Where `seen` names things by their keys, only those: what somebody has not seen is not
    /// given up.
    ///
    /// # Errors
    /// ENOENT for a path that is not there, EIO where the journal cannot be written.
    pub async fn discard(&self, scopes: &[Scope], seen: &[String]) -> Result<Vec<Decided>, Failure> {
        let mut decided = Vec::new();
        for (key, thing) in self.chosen(scopes)? {
            if !seen.is_empty() && !seen.contains(&thing.key) {
                continue;
            }
            let (outcome, message) = match key {
                Key::File(ino, revision) => self.discard_file(ino, revision).await?,
                Key::Damaged(ino) => self.believe_what_is_there(ino),
                Key::Step(number) => self.discard_step(number).await?,
                Key::Leftover(number) => {
                    let fact = self.core().leftovers.remove(number);
                    match fact {
                        Some(fact) => {
                            tracing::warn!(
                                "{} of an earlier mount is given up, as somebody asked",
                                thing.path
                            );
                            self.let_leftover_go(fact);
                            self.journal.flush().await?;
                            (Verdict::Discarded, None)
                        }
                        None => (Verdict::Owed, Some(MEANWHILE.to_owned())),
                    }
                }
            };
            decided.push(Decided { path: thing.path, outcome, message });
        }
        self.kernel_is_told().await;
        self.outcomes.notify_waiters();
        Ok(decided)
    }

    /// A change of a name is given up, with all that was planned upon it: Files.com stays as it is, and the
    /// mount shows that again. What is owed to the paths concerned is sent there.
    async fn discard_step(&self, number: u64) -> Result<(Verdict, Option<String>), Failure> {
        let (folders, others) = {
            let mut core = self.core();
            match core.backlog.get(number).map(|pending| &pending.standing) {
                Some(Standing::Held(_)) => {}
                Some(_) => return Ok((Verdict::Owed, Some(MEANWHILE.to_owned()))),
                None => return Ok((Verdict::Done, None)),
            }
            let steps = core.backlog.built_upon(number);
            let (mut folders, mut facts) = (BTreeSet::new(), Vec::new());
            for number in &steps {
                let Some(pending) = core.backlog.get(*number) else { continue };
                tracing::warn!("it is given up to {}, as somebody asked", pending.step);
                folders.extend(pending.step.paths().filter_map(RemotePath::parent));
                facts.push(Fact::Taken(*number));
                core.queue.forget(Errand::Step(*number));
                self.step_ended(&mut core, *number);
            }
            self.journal.note_all(facts);
            (folders, steps.len().saturating_sub(1))
        };
        self.journal.flush().await?;
        for folder in folders {
            let known = self.core().tree.at(&folder);
            let Some(known) = known else { continue };
            if let Ok(folder) = self.core().tree.folder_mut(known) {
                folder.removed.clear();
            }
            if let Err(failure) = self.list_anew(known).await {
                tracing::warn!("what Files.com has in {folder} shows when it can be listed again: {failure}");
            }
        }
        let told = (others > 0).then(|| format!("{others} changes that were planned upon it went with it"));
        Ok((Verdict::Discarded, told))
    }

    async fn discard_file(&self, ino: Ino, revision: Revision) -> Result<(Verdict, Option<String>), Failure> {
        let _turn = self.publishing.take(ino).await?;
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_stay(&[ino]).await?;
        let parent = {
            let mut core = self.core();
            let node = core.tree.node(ino)?;
            let is_held = node.file().is_some_and(|file| *file.content.state() == State::Held(revision));
            let Some(parent) = node.parent.filter(|_| is_held) else {
                return Ok((Verdict::Owed, Some("it was changed meanwhile, and stays".to_owned())));
            };
            let name = node.name().to_os_string();
            if let Some(path) = core.tree.path(ino) {
                tracing::warn!("the bytes of {path} that Files.com refused are given up, as somebody asked");
            }
            self.journal.note_all(self.end_of(&core, ino));
            core.tree.remove(ino, Instant::now());
            self.orphan(core, ino);
            let _ = self.stale.send(Stale::Name(parent, name));
            parent
        };
        self.journal.flush().await?;
        if self.core().tree.node(parent).is_ok_and(|folder| folder.on_site() == OnSite::No) {
            return Ok((Verdict::Discarded, None));
        }
        let mut folder = parent;
        let shown = loop {
            let shown = self.list_anew(folder).await;
            let above = self.core().tree.node(folder).ok().and_then(|node| node.parent);
            match (&shown, above) {
                // The bytes were all that kept the folder here: the one above tells.
                (Err(failure), Some(above)) if failure.errno == libc::ENOENT => folder = above,
                _ => break shown,
            }
        };
        let later =
            |failure| format!("what Files.com has shows when its folder can be listed again: {failure}");
        Ok((Verdict::Discarded, shown.err().map(later)))
    }
}

fn looks(core: &Core, scopes: &[Scope]) -> Result<Vec<Within>, Failure> {
    if scopes.is_empty() {
        return Ok(vec![Within::all()]);
    }
    scopes.iter().map(|scope| scope.look(core)).collect()
}
