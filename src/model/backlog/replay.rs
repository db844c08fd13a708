//! From what Files.com has at the beginning of the backlog to what the tree has at its end, and back.

use super::{Backlog, Step};
use crate::model::entry::Entry;
use crate::model::path::RemotePath;

/// Where something of the tree comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Files.com has it here now.
    There(RemotePath),
    /// This step makes it, or a folder above it; then it is here.
    MadeBy(u64, RemotePath),
}

impl Origin {
    /// Where Files.com has it now, or will have it first.
    pub fn path(&self) -> &RemotePath {
        match self {
            Self::There(path) | Self::MadeBy(_, path) => path,
        }
    }
}

/// An entry of a folder as the tree should have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// As Files.com lists it, perhaps under another name.
    Listed(Entry),
    /// A folder that is still to be made.
    Made(String),
    /// Comes here from another folder.
    Elsewhere {
        /// Files.com has it here now, unless it was moved already.
        from: RemotePath,
        /// What it will be called.
        name: String,
        /// What is listed under that name: the thing itself, if it was moved already.
        listed: Option<Entry>,
    },
}

impl Seen {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Listed(entry) => &entry.name,
            Self::Made(name) | Self::Elsewhere { name, .. } => name,
        }
    }

    fn renamed(mut self, to: &str) -> Self {
        let name = match &mut self {
            Self::Listed(entry) => &mut entry.name,
            Self::Made(name) | Self::Elsewhere { name, .. } => name,
        };
        to.clone_into(name);
        self
    }
}

impl Backlog {
    /// Where Files.com has now what the tree has at `path`.
    pub fn origin(&self, path: &RemotePath) -> Origin {
        self.origin_before(u64::MAX, path)
    }

    /// The same for a path as it was when step `number` was about to be taken.
    fn origin_before(&self, number: u64, path: &RemotePath) -> Origin {
        let mut path = path.clone();
        for (number, pending) in self.pending.range(..number).rev() {
            match &pending.step {
                Step::Move { from, to, .. } => {
                    if let Some(rest) = path.below(to) {
                        path = from.descend(rest);
                    }
                }
                Step::Make(made) if path.below(made).is_some() => return Origin::MadeBy(*number, path),
                // Until the copy is made, its source has the bytes.
                Step::Copy { from, to, .. } if path == *to => path = from.clone(),
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) | Step::Copy { .. } => {}
            }
        }
        Origin::There(path)
    }

    /// Is what the tree has at `path` a copy that is still to be made? What is known of its version is that of its
    /// source, and its dates will be others.
    pub fn is_uncopied(&self, path: &RemotePath) -> bool {
        let mut path = path.clone();
        for pending in self.pending.values().rev() {
            match &pending.step {
                Step::Move { from, to, .. } => {
                    if let Some(rest) = path.below(to) {
                        path = from.descend(rest);
                    }
                }
                Step::Copy { to, .. } if path == *to => return true,
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) | Step::Copy { .. } => {}
            }
        }
        false
    }

    /// Where the tree has now what was at `path` when step `number` was planned.
    pub fn destiny(&self, number: u64, path: &RemotePath) -> RemotePath {
        let mut path = path.clone();
        for (_, pending) in self.pending.range(number + 1..) {
            if let Step::Move { from, to, .. } = &pending.step
                && let Some(rest) = path.below(from)
            {
                path = to.descend(rest);
            }
        }
        path
    }

    /// Where else Files.com may have what the tree has at `path`, when its [`Self::origin`] is not there: a
    /// move that nobody has noted yet may have been made. With each place, the first step that is still to
    /// be taken from there.
    pub fn later_places(&self, path: &RemotePath) -> Vec<(u64, RemotePath)> {
        let mut path = path.clone();
        let mut places = Vec::new();
        for (number, pending) in self.pending.iter().rev() {
            match &pending.step {
                Step::Move { from, to, .. } => {
                    if let Some(rest) = path.below(to) {
                        let before = from.descend(rest);
                        places.push((*number + 1, std::mem::replace(&mut path, before)));
                    }
                }
                Step::Make(made) if path.below(made).is_some() => break,
                Step::Copy { from, to, .. } if path == *to => path = from.clone(),
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) | Step::Copy { .. } => {}
            }
        }
        places.reverse();
        places
    }

    /// What a folder of the tree holds, given what Files.com lists at its [`Self::origin`]: the listing
    /// of the beginning, led through all steps to the end.
    pub fn replay(&self, origin: Origin, listed: Vec<Entry>) -> Vec<Seen> {
        let (at, from) = match origin {
            Origin::There(path) => (path, 0),
            Origin::MadeBy(number, path) => (path, number + 1),
        };
        self.replay_from(from, at, listed)
    }

    /// The same for what Files.com lists at `at`, where the steps before `from` were taken already.
    pub fn replay_from(&self, from: u64, mut at: RemotePath, listed: Vec<Entry>) -> Vec<Seen> {
        let mut seen: Vec<Seen> = listed.into_iter().map(Seen::Listed).collect();
        let is_here = |path: &RemotePath, at: &RemotePath| path.parent().as_ref() == Some(at);
        let leave = |seen: &mut Vec<Seen>, path: &RemotePath| {
            let place = seen.iter().position(|entry| entry.name() == path.name());
            place.map(|place| seen.swap_remove(place))
        };
        for (number, pending) in self.pending.range(from..) {
            match &pending.step {
                Step::Make(path) if is_here(path, &at) => {
                    // Taken meanwhile, perhaps: then it was listed.
                    if !seen.iter().any(|entry| entry.name() == path.name()) {
                        seen.push(Seen::Made(path.name().to_owned()));
                    }
                }
                Step::Delete { path, .. } | Step::RemoveFolder(path) if is_here(path, &at) => {
                    leave(&mut seen, path);
                }
                Step::Move { from, to, .. } => {
                    let was_here = is_here(from, &at);
                    let moved = if was_here { leave(&mut seen, from) } else { None };
                    if let Some(rest) = at.below(from) {
                        at = to.descend(rest);
                    }
                    // From here and not listed: it was moved already, to where the listing shows it.
                    if !is_here(to, &at) || (was_here && moved.is_none()) {
                        continue;
                    }
                    let replaced = leave(&mut seen, to);
                    seen.push(match moved {
                        Some(entry) => entry.renamed(to.name()),
                        None => self.comes_from(*number, from, to.name(), replaced),
                    });
                }
                Step::Copy { from, to, .. } if is_here(to, &at) => {
                    // Taken meanwhile, perhaps: then it was listed.
                    if seen.iter().any(|entry| entry.name() == to.name()) {
                        continue;
                    }
                    let source = seen.iter().find(|entry| is_here(from, &at) && entry.name() == from.name());
                    seen.push(match source.cloned() {
                        Some(entry) => entry.renamed(to.name()),
                        None => self.comes_from(*number, from, to.name(), None),
                    });
                }
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) | Step::Copy { .. } => {}
            }
        }
        seen
    }

    /// What step `number` brings from another folder.
    fn comes_from(&self, number: u64, from: &RemotePath, name: &str, replaced: Option<Seen>) -> Seen {
        let name = name.to_owned();
        match self.origin_before(number, from) {
            Origin::MadeBy(..) => Seen::Made(name),
            Origin::There(from) => {
                let listed = match replaced {
                    Some(Seen::Listed(entry)) => Some(entry),
                    _ => None,
                };
                Seen::Elsewhere { from, name, listed }
            }
        }
    }
}
