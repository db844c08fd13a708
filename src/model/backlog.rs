//! Changes of names that this mount has made and Files.com has not: folders made, deletes, renames.
//!
//! The tree shows the end of the backlog, Files.com its beginning. Steps that touch no common path may be
//! taken side by side; of two where one touches the other's path, or a path above or below it, the
//! earlier one goes first. What is sent to a path waits for the steps that touch it in the same way. Paths
//! are common when Files.com would take them for one: `readme` is not uploaded before the delete of
//! `README` was made.
//!
//! A path of the tree is not the path under which Files.com has the entry as long as a rename waits:
//! [`Backlog::origin`] leads back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::failure::Failure;
use super::name::Keys;
use super::path::RemotePath;
use super::proof::Fingerprint;

/// One change of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a folder.
    Make(RemotePath),
    /// Delete a file.
    Delete {
        /// Where it is,
        path: RemotePath,
        /// and what was there when it was deleted here: what others put there since stays.
        version: Fingerprint,
    },
    /// Delete an empty folder.
    RemoveFolder(RemotePath),
    /// Rename a file or a folder.
    Move {
        /// From here,
        from: RemotePath,
        /// to here,
        to: RemotePath,
        /// over the file that is there.
        overwrite: bool,
    },
}

impl Step {
    /// The paths that it touches.
    pub fn paths(&self) -> impl Iterator<Item = &RemotePath> {
        let (one, two) = match self {
            Self::Make(path) | Self::Delete { path, .. } | Self::RemoveFolder(path) => (path, None),
            Self::Move { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(two)
    }
}

impl std::fmt::Display for Step {
    /// As a line of the log and of the status says it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Make(path) => write!(f, "make folder {path}"),
            Self::Delete { path, .. } => write!(f, "delete {path}"),
            Self::RemoveFolder(path) => write!(f, "delete folder {path}"),
            Self::Move { from, to, .. } => write!(f, "rename {from} to {to}"),
        }
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Not begun.
    Waiting,
    /// A request for it is under way.
    Running,
    /// The last attempt failed; it is tried again.
    Failed(Failure),
    /// Refused for good: a person decides.
    Held(Failure),
}

/// A step that was not taken yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What to do.
    pub step: Step,
    /// How far it came.
    pub standing: Standing,
    /// It may have been taken already: an answer was lost, or the mount that began it ended.
    pub doubtful: bool,
}

/// All steps that were not taken yet, by number.
#[derive(Debug, Default)]
pub struct Backlog {
    pending: BTreeMap<u64, Pending>,
    next: u64,
    /// Counts the steps that ended: an answer about names is good if this is what it was before.
    ended: u64,
    /// Numbers of the steps that touch exactly this path.
    at: HashMap<Place, BTreeSet<u64>>,
    /// Numbers of the steps that touch something below this path.
    below: HashMap<Place, BTreeSet<u64>>,
}

/// A path as one of the two comparisons of names sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Latin(Vec<String>),
    Collated(Vec<Vec<u8>>),
}

impl Place {
    /// A path under both comparisons.
    fn of(path: &RemotePath) -> [Self; 2] {
        let (latin, collated) =
            path.components().map(Keys::of).map(|keys| (keys.latin, keys.collated)).unzip();
        [Self::Latin(latin), Self::Collated(collated)]
    }

    fn parent(&self) -> Option<Self> {
        Some(match self {
            Self::Latin(names) => Self::Latin(names.split_last()?.1.to_vec()),
            Self::Collated(names) => Self::Collated(names.split_last()?.1.to_vec()),
        })
    }

    /// The places above, the nearest first.
    fn above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }
}

impl Backlog {
    /// Adds a step behind all others and returns its number.
    pub fn push(&mut self, step: Step) -> u64 {
        self.next += 1;
        self.put(self.next, step, false);
        self.next
    }

    /// Adds a step that an earlier mount left, perhaps taken already.
    pub fn restore(&mut self, number: u64, step: Step) {
        self.next = self.next.max(number);
        self.put(number, step, true);
    }

    fn put(&mut self, number: u64, step: Step, doubtful: bool) {
        for place in step.paths().flat_map(Place::of) {
            for above in place.above() {
                self.below.entry(above).or_default().insert(number);
            }
            self.at.entry(place).or_default().insert(number);
        }
        self.pending.insert(number, Pending { step, standing: Standing::Waiting, doubtful });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Is Files.com where the tree is, as far as names go?
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// A number that changes whenever a step ends.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// The steps in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Pending)> {
        self.pending.iter().map(|(number, pending)| (*number, pending))
    }

    /// The step of this number, if it was not taken yet.
    pub fn get(&self, number: u64) -> Option<&Pending> {
        self.pending.get(&number)
    }

    /// The first step that touches `path`, or a path above or below it.
    pub fn first_at(&self, path: &RemotePath) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let first = |numbers: &BTreeSet<u64>| numbers.first().copied();
        let places = Place::of(path);
        let own = places.iter().flat_map(|place| self.at.get(place).into_iter().chain(self.below.get(place)));
        let above = places.iter().flat_map(Place::above).filter_map(|place| first(self.at.get(&place)?));
        own.filter_map(first).chain(above).min()
    }

    /// Does a step touch `path` or something below it?
    pub fn touches_within(&self, path: &RemotePath) -> bool {
        let touches = |place| self.at.contains_key(place) || self.below.contains_key(place);
        !self.is_empty() && Place::of(path).iter().any(touches)
    }

    /// May this step be begun? Not while an earlier one touches its paths, nor twice.
    pub fn is_ready(&self, number: u64) -> bool {
        let Some(pending) = self.pending.get(&number) else { return false };
        let standing = matches!(pending.standing, Standing::Waiting | Standing::Failed(_));
        standing && pending.step.paths().all(|path| self.first_at(path).is_none_or(|first| first >= number))
    }

    /// The steps that may be begun now.
    pub fn ready(&self) -> Vec<u64> {
        self.pending.keys().copied().filter(|number| self.is_ready(*number)).collect()
    }

    /// Takes up a step that may be begun: what to do, and whether it may have been done already.
    pub fn begin(&mut self, number: u64) -> Option<(Step, bool)> {
        if !self.is_ready(number) {
            return None;
        }
        let pending = self.pending.get_mut(&number)?;
        pending.standing = Standing::Running;
        Some((pending.step.clone(), pending.doubtful))
    }

    /// A step that was begun failed; `held` when it is not to be tried again.
    pub fn failed(&mut self, number: u64, failure: Failure, held: bool) {
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.doubtful = true;
            pending.standing = if held { Standing::Held(failure) } else { Standing::Failed(failure) };
        }
    }

    /// A held step is to be tried again.
    pub fn release(&mut self, number: u64) {
        if let Some(pending) = self.pending.get_mut(&number)
            && matches!(pending.standing, Standing::Held(_))
        {
            pending.standing = Standing::Waiting;
        }
    }

    /// The step was taken, or is given up.
    pub fn remove(&mut self, number: u64) -> Option<Step> {
        let Pending { step, .. } = self.pending.remove(&number)?;
        self.ended += 1;
        for place in step.paths().flat_map(Place::of) {
            take(&mut self.at, &place, number);
            place.above().for_each(|above| take(&mut self.below, &above, number));
        }
        Some(step)
    }

    /// The number of the step that makes this folder, if Files.com was not asked yet and nothing else
    /// waits there: making and deleting it are one and the same as nothing.
    pub fn unmade(&self, folder: &RemotePath) -> Option<u64> {
        let places = Place::of(folder);
        let numbers: BTreeSet<u64> =
            places.iter().filter_map(|place| self.at.get(place)).flatten().copied().collect();
        let number = *numbers.first().filter(|_| numbers.len() == 1)?;
        let pending = self.pending.get(&number)?;
        let untouched = pending.standing == Standing::Waiting && !pending.doubtful;
        let makes = matches!(&pending.step, Step::Make(path) if path == folder);
        let empty = places.iter().all(|place| !self.below.contains_key(place));
        (makes && untouched && empty).then_some(number)
    }

    /// Where Files.com has now what the tree has at `path`; `None` for what it has not at all, since the
    /// folder is still to be made.
    pub fn origin(&self, path: &RemotePath) -> Option<RemotePath> {
        let mut path = path.clone();
        for pending in self.pending.values().rev() {
            match &pending.step {
                Step::Move { from, to, .. } => {
                    if let Some(rest) = path.below(to) {
                        path = from.descend(rest);
                    }
                }
                Step::Make(made) if path.below(made).is_some() => return None,
                Step::Make(_) | Step::Delete { .. } | Step::RemoveFolder(_) => {}
            }
        }
        Some(path)
    }
}

fn take(from: &mut HashMap<Place, BTreeSet<u64>>, place: &Place, number: u64) {
    if let Some(numbers) = from.get_mut(place) {
        numbers.remove(&number);
        if numbers.is_empty() {
            from.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> RemotePath {
        RemotePath::parse(text).unwrap()
    }

    fn delete(path: &str) -> Step {
        let version = Fingerprint { size: 1, created: None, changed: None, md5: None, crc32: None };
        Step::Delete { path: at(path), version }
    }

    fn rename(from: &str, to: &str) -> Step {
        Step::Move { from: at(from), to: at(to), overwrite: false }
    }

    #[test]
    fn a_folder_is_deleted_after_what_was_in_it_and_strangers_do_not_wait() {
        let mut backlog = Backlog::default();
        let inside = [backlog.push(delete("d/a")), backlog.push(delete("d/b"))];
        let folder = backlog.push(Step::RemoveFolder(at("d")));
        let other = backlog.push(delete("dd"));
        assert_eq!(backlog.ready(), [inside[0], inside[1], other]);
        assert!(backlog.begin(inside[0]).is_some() && backlog.begin(inside[0]).is_none());
        backlog.remove(inside[0]);
        assert!(!backlog.is_ready(folder));
        backlog.failed(inside[1], Failure::plain(libc::EIO), false);
        assert_eq!(backlog.ready(), [inside[1], other]);
        backlog.remove(inside[1]);
        assert_eq!(backlog.ready(), [folder, other]);
    }

    #[test]
    fn names_that_files_com_takes_for_one_are_one_place() {
        let mut backlog = Backlog::default();
        let first = backlog.push(delete("Docs/README"));
        assert_eq!(backlog.first_at(&at("docs/readme")), Some(first));
        assert_eq!(backlog.first_at(&at("DÓCS")), Some(first));
        let second = backlog.push(rename("docs", "other"));
        assert!(!backlog.is_ready(second));
    }

    #[test]
    fn what_was_made_and_deleted_again_is_nothing() {
        let mut backlog = Backlog::default();
        let made = backlog.push(Step::Make(at("lock")));
        assert_eq!((backlog.unmade(&at("lock")), backlog.unmade(&at("other"))), (Some(made), None));
        let inside = backlog.push(Step::Make(at("lock/in")));
        assert_eq!(backlog.unmade(&at("lock")), None, "something in it goes first");
        assert_eq!(backlog.unmade(&at("lock/in")), Some(inside));
        backlog.remove(inside);
        backlog.begin(made);
        assert_eq!(backlog.unmade(&at("lock")), None, "Files.com was asked");
    }

    #[test]
    fn a_path_leads_back_through_the_renames_that_wait() {
        let mut backlog = Backlog::default();
        backlog.push(rename("a", "b"));
        backlog.push(Step::Make(at("new")));
        let last = backlog.push(rename("b/x", "c"));
        assert_eq!(backlog.origin(&at("c/f")), Some(at("a/x/f")));
        assert_eq!(backlog.origin(&at("b/y")), Some(at("a/y")));
        assert_eq!(backlog.origin(&at("bb")), Some(at("bb")));
        assert_eq!(backlog.origin(&at("new/f")), None);
        backlog.remove(last);
        assert_eq!(backlog.origin(&at("c")), Some(at("c")));
    }

    #[test]
    fn what_is_held_is_not_begun_until_a_person_says_so() {
        let mut backlog = Backlog::default();
        let step = backlog.push(delete("f"));
        backlog.begin(step);
        backlog.failed(step, Failure::plain(libc::EACCES), true);
        assert_eq!((backlog.ready(), backlog.first_at(&at("f"))), (vec![], Some(step)));
        backlog.release(step);
        assert_eq!(backlog.begin(step).map(|(_, doubtful)| doubtful), Some(true));
    }

    proptest! {
        /// The index answers what a look at all steps would.
        #[test]
        fn the_index_agrees_with_a_walk(
            paths in prop::collection::vec(("[ab](/[ab]){0,2}", "[ab](/[ab]){0,2}", any::<bool>()), 1..12),
            taken in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            question in "[ab](/[ab]){0,3}",
        ) {
            let mut backlog = Backlog::default();
            for (from, to, is_move) in &paths {
                backlog.push(if *is_move { rename(from, to) } else { delete(from) });
            }
            for index in taken {
                backlog.remove(index.index(paths.len()) as u64 + 1);
            }
            let question = at(&question);
            let relates = |path: &RemotePath| path.below(&question).is_some() || question.below(path).is_some();
            let walked = backlog.iter().find(|(_, pending)| pending.step.paths().any(relates));
            prop_assert_eq!(backlog.first_at(&question), walked.map(|(number, _)| number));
        }
    }
}
