//! What an earlier mount left and is not back in the tree yet. It is owed all the time.

use std::collections::{BTreeMap, HashMap};

use crate::local::journal::{Owed, OwedEntry};
use crate::model::failure::Failure;
use crate::model::ino::ContentId;
use crate::model::path::RemotePath;

/// A fact of the journal that belongs into the tree.
#[derive(Debug, Clone)]
pub(crate) enum Leftover {
    /// Bytes.
    Bytes(Owed),
    /// A folder, or attributes.
    Entry(OwedEntry),
}

impl Leftover {
    /// Where it belongs.
    pub fn path(&self) -> &RemotePath {
        match self {
            Self::Bytes(owed) => &owed.path,
            Self::Entry(entry) => &entry.path,
        }
    }

    /// How many bytes are owed.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Bytes(owed) => Some(owed.size),
            Self::Entry(_) => None,
        }
    }
}

/// Why one is not in the tree yet.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// Its turn has not come.
    NotTried,
    /// It is tried again.
    Failed(Failure),
    /// Something is in its way that no further attempt removes: a person decides.
    Stuck(Failure),
}

impl Why {
    fn of(failure: Failure) -> Self {
        match failure.errno {
            libc::EINVAL | libc::ENOTDIR | libc::EISDIR => Self::Stuck(failure),
            _ => Self::Failed(failure),
        }
    }

    /// Does it go on without a person?
    pub fn has_hope(&self) -> bool {
        !matches!(self, Self::Stuck(_))
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotTried => f.write_str("it is about to be taken up"),
            Self::Stuck(failure) if failure.errno == libc::ENOTDIR => {
                write!(
                    f,
                    "a file is where its folder was ({failure}): move that file away, then `held retry`"
                )
            }
            Self::Stuck(failure) if failure.errno == libc::EISDIR => {
                write!(f, "{failure}: move that folder away, then `held retry`")
            }
            Self::Failed(failure) | Self::Stuck(failure) => failure.fmt(f),
        }
    }
}

/// All of them, in the order in which they are taken up: what a folder needs comes before what is in it.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    facts: BTreeMap<u64, (Leftover, Why)>,
    at: HashMap<RemotePath, Vec<u64>>,
    /// Bytes that are back in the tree, by the fact that told of them.
    taken: HashMap<ContentId, u64>,
}

impl Leftovers {
    /// Adds what a journal told, in the order in which it was told.
    pub fn put(&mut self, facts: impl Iterator<Item = Leftover>) {
        let next = self.facts.keys().next_back().map_or(0, |last| last + 1);
        for (number, fact) in (next..).zip(facts) {
            self.at.entry(fact.path().clone()).or_default().push(number);
            self.facts.insert(number, (fact, Why::NotTried));
        }
    }

    /// Those that are left, in order.
    pub fn numbers(&self) -> Vec<u64> {
        self.facts.keys().copied().collect()
    }

    /// One, if it is not in the tree yet and still wanted.
    pub fn get(&self, number: u64) -> Option<&Leftover> {
        self.facts.get(&number).map(|(fact, _)| fact)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Leftover, &Why)> {
        self.facts.iter().map(|(number, (fact, why))| (*number, fact, why))
    }

    /// Is there one that goes on without a person?
    pub fn have_hope(&self) -> bool {
        self.facts.values().any(|(_, why)| why.has_hope())
    }

    /// Is a file owed under this very path?
    pub fn is_file(&self, path: &RemotePath) -> bool {
        let numbers = self.at.get(path).into_iter().flatten();
        numbers.filter_map(|number| self.get(*number)).any(|fact| fact.bytes().is_some())
    }

    /// Is anything owed at `path` or below it?
    pub fn are_within(&self, path: &RemotePath) -> bool {
        self.at.keys().any(|other| other.below(path).is_some())
    }

    /// Is anything owed of the folder `path`: itself, or what is in it? A file that is owed under its name is not.
    pub fn are_of_folder(&self, path: &RemotePath) -> bool {
        self.at.keys().any(|other| match other.below(path) {
            Some("") => !self.is_file(path),
            below => below.is_some(),
        })
    }

    /// It is in the tree, or wanted no more.
    pub fn remove(&mut self, number: u64) -> Option<Leftover> {
        let (fact, _) = self.facts.remove(&number)?;
        if let Some(numbers) = self.at.get_mut(fact.path()) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.at.remove(fact.path());
            }
        }
        Some(fact)
    }

    /// Those bytes are back in the tree.
    pub fn took_up(&mut self, id: ContentId, number: u64) {
        self.taken.insert(id, number);
    }

    /// The number of the fact that told of bytes which are back in the tree: the journal was told of the one with the
    /// larger number later.
    pub fn taken(&self, id: ContentId) -> Option<u64> {
        self.taken.get(&id).copied()
    }

    /// Those at `path` are wanted no more.
    pub fn forget(&mut self, path: &RemotePath) -> Vec<Leftover> {
        let numbers = self.at.remove(path).unwrap_or_default();
        numbers.into_iter().filter_map(|number| Some(self.facts.remove(&number)?.0)).collect()
    }

    /// What is owed of the attributes of what is at `path`, which is in the tree now: it is no leftover any more.
    pub fn take_entry(&mut self, path: &RemotePath) -> Option<OwedEntry> {
        let numbers = self.at.get(path)?;
        let is_entry = |number: &&u64| self.get(**number).is_some_and(|fact| fact.bytes().is_none());
        match self.remove(*numbers.iter().find(is_entry)?)? {
            Leftover::Entry(entry) => Some(entry),
            Leftover::Bytes(_) => None,
        }
    }

    /// It could not be put into the tree. True: for another reason than before.
    pub fn failed(&mut self, number: u64, failure: Failure) -> bool {
        let Some((_, why)) = self.facts.get_mut(&number) else { return false };
        let before = std::mem::replace(why, Why::of(failure));
        before.to_string() != why.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::journal::EntryDebt;
    use crate::model::attributes::{Defaults, Shape};
    use crate::model::moment::Moment;

    fn folder(path: &str) -> Leftover {
        let attributes = Defaults::with_umask(0o022, 0, 0).new_entry(Shape::Folder, Moment::default());
        let path = RemotePath::parse(path).unwrap();
        Leftover::Entry(OwedEntry { path, what: EntryDebt::Folder, attributes, xattrs: Default::default() })
    }

    #[test]
    fn what_is_forgotten_at_a_path_or_taken_is_on_no_list() {
        let mut leftovers = Leftovers::default();
        leftovers.put([folder("a"), folder("b"), folder("a")].into_iter());
        assert_eq!(leftovers.remove(0).map(|fact| fact.path().to_string()).as_deref(), Some("/a"));
        assert_eq!(leftovers.forget(&RemotePath::parse("a").unwrap()).len(), 1);
        assert_eq!((leftovers.numbers(), leftovers.get(2).is_some()), (vec![1], false));
        let within = |path| leftovers.are_within(&RemotePath::parse(path).unwrap());
        assert!(within("b") && !within("a") && !within("b/c"));
        assert!(leftovers.are_of_folder(&RemotePath::parse("b").unwrap()));
        assert!(!leftovers.failed(2, Failure::plain(libc::EIO)), "it is wanted no more");
        let path = RemotePath::parse("b").unwrap();
        assert_eq!(leftovers.take_entry(&path).map(|entry| entry.path), Some(path.clone()));
        assert!(leftovers.take_entry(&path).is_none() && !leftovers.are_within(&path));
    }

    #[test]
    fn what_is_in_the_way_of_one_is_told_once_and_leaves_no_hope() {
        let mut leftovers = Leftovers::default();
        leftovers.put([folder("a/b")].into_iter());
        assert!(leftovers.have_hope());
        assert!(leftovers.failed(0, Failure::plain(libc::EIO)) && leftovers.have_hope());
        assert!(leftovers.failed(0, Failure::plain(libc::ENOTDIR)) && !leftovers.have_hope());
        assert!(!leftovers.failed(0, Failure::plain(libc::ENOTDIR)));
    }
}
