//! From what Files.com has at the beginning of the backlog to what the tree has at its end, and back.

use super::{Backlog, Pending, Step};
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
        /// Files.com has it at one of these places: where it is before any of the moves on its way, and wherever a move
        /// brings it that may have been made already, the first before the last.
        places: Vec<RemotePath>,
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
    /// Where Files.com has now what the tree has at `path`, as far as the steps tell that are noted as taken.
    pub fn origin(&self, path: &RemotePath) -> Origin {
        let mut origin = Origin::There(path.clone());
        self.lead_back(u64::MAX, path, |_, at| origin = at);
        origin
    }

    /// Leads a path as it was when step `number` was about to be taken back through all steps before it, the last one
    /// first. `visit` hears of each place on the way to which a step may have brought it, and of the first step that is
    /// still to be taken from there. A step behind another that is not noted as taken was never asked for.
    fn lead_back(&self, number: u64, path: &RemotePath, mut visit: impl FnMut(u64, Origin)) {
        let mut path = path.clone();
        for (number, pending) in self.pending.range(..number).rev() {
            let before = match &pending.step {
                Step::Move { from, to, .. } => path.below(to).map(|rest| from.descend(rest)),
                Step::Make(made) if path.below(made).is_some() => {
                    visit(number + 1, Origin::MadeBy(*number, path));
                    return;
                }
                // Until the copy is made, its source has the bytes.
                Step::Copy { from, to, .. } => (path == *to).then(|| from.clone()),
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) => None,
            };
            if let Some(before) = before {
                let after = std::mem::replace(&mut path, before);
                if pending.may_be_begun() {
                    visit(number + 1, Origin::There(after));
                }
            }
        }
        visit(0, Origin::There(path));
    }

    /// Every place at which Files.com may have what the tree has at `path`: its [`Self::origin`], and wherever a move
    /// has brought it that nobody has noted yet; the first before the last, so that whoever looks in this order does
    /// not miss what moves meanwhile. With each, the first step that is still to be taken from there.
    pub fn places(&self, path: &RemotePath) -> Vec<(u64, Origin)> {
        self.places_before(u64::MAX, path)
    }

    fn places_before(&self, number: u64, path: &RemotePath) -> Vec<(u64, Origin)> {
        let mut places = Vec::new();
        self.lead_back(number, path, |from, at| places.push((from, at)));
        places.reverse();
        places
    }

    /// May a step on the way of what the tree has at `path` have been made, and nobody knows? It is under way, or it was,
    /// and its answer was not heard. Then a look that finds nothing does not tell that it is gone. What Files.com refused
    /// was not made.
    pub fn is_in_doubt(&self, path: &RemotePath) -> bool {
        let ahead = || self.ahead_of(path).into_iter().filter_map(|number| self.pending.get(&number));
        !self.is_empty() && ahead().any(Pending::may_be_made)
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

    /// What a folder of the tree holds, given what Files.com lists at one of its [`Self::places`]: the listing led through
    /// all steps that are still to be taken from there, `from` the first of them.
    pub fn replay(&self, from: u64, origin: &Origin, listed: Vec<Entry>) -> Vec<Seen> {
        let mut at = origin.path().clone();
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
                    if !is_here(to, &at) {
                        continue;
                    }
                    let replaced = leave(&mut seen, to);
                    seen.push(match (moved, replaced) {
                        (Some(entry), _) => entry.renamed(to.name()),
                        // From here and not listed: it was moved already, to where the listing shows it.
                        (None, Some(there)) if was_here => there,
                        (None, replaced) => self.comes_from(*number, from, to, replaced),
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
                        None => self.comes_from(*number, from, to, None),
                    });
                }
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) | Step::Copy { .. } => {}
            }
        }
        seen
    }

    /// What step `number` brings to `to` from where the listing does not show it.
    fn comes_from(&self, number: u64, from: &RemotePath, to: &RemotePath, replaced: Option<Seen>) -> Seen {
        let name = to.name().to_owned();
        let mut places = Vec::new();
        for (_, place) in self.places_before(number, from) {
            match place {
                Origin::MadeBy(_, made) if made == *from => return Seen::Made(name),
                Origin::MadeBy(_, place) | Origin::There(place) => places.push(place),
            }
        }
        if self.pending.get(&number).is_some_and(Pending::may_be_begun) {
            // It may arrive between one question and the next.
            places.push(to.clone());
        }
        let listed = match replaced {
            Some(Seen::Listed(entry)) => Some(entry),
            _ => None,
        };
        Seen::Elsewhere { places, name, listed }
    }
}
