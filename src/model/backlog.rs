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

use super::comparison::Keys;
use super::entry::Entry;
use super::failure::Failure;
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
    /// Copy a file.
    Copy {
        /// From here,
        from: RemotePath,
        /// to here, where nothing is,
        to: RemotePath,
        /// and what the source was then.
        version: Fingerprint,
    },
}

impl Step {
    /// The path by which people know it.
    pub fn path(&self) -> &RemotePath {
        match self {
            Self::Make(path) | Self::Delete { path, .. } | Self::RemoveFolder(path) => path,
            Self::Move { to, .. } | Self::Copy { to, .. } => to,
        }
    }

    /// The paths that it touches.
    pub fn paths(&self) -> impl Iterator<Item = &RemotePath> {
        let (one, two) = match self {
            Self::Make(path) | Self::Delete { path, .. } | Self::RemoveFolder(path) => (path, None),
            Self::Move { from, to, .. } | Self::Copy { from, to, .. } => (from, Some(to)),
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
            Self::Copy { from, to, .. } => write!(f, "copy {from} to {to}"),
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
    /// How many earlier steps must be taken first.
    blockers: usize,
    /// Later steps that wait for this one.
    followers: Vec<u64>,
}

/// Where something of the tree comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Files.com has it here now.
    There(RemotePath),
    /// This step makes it, or a folder above it; then it is here.
    MadeBy(u64, RemotePath),
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
    fn name(&self) -> &str {
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
    /// A number that no step has, for one that is taken at once.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Adds a step behind all others and returns its number.
    pub fn push(&mut self, step: Step) -> u64 {
        let number = self.number();
        self.put(number, step, false);
        number
    }

    /// Adds a step that an earlier mount left, perhaps taken already.
    pub fn restore(&mut self, number: u64, step: Step) {
        self.next = self.next.max(number);
        self.put(number, step, true);
    }

    fn put(&mut self, number: u64, step: Step, doubtful: bool) {
        let places: Vec<Place> = step.paths().flat_map(Place::of).collect();
        let earlier: BTreeSet<u64> = places.iter().flat_map(|place| self.touching(place)).collect();
        for before in &earlier {
            if let Some(pending) = self.pending.get_mut(before) {
                pending.followers.push(number);
            }
        }
        for place in places {
            for above in place.above() {
                self.below.entry(above).or_default().insert(number);
            }
            self.at.entry(place).or_default().insert(number);
        }
        let (standing, blockers, followers) = (Standing::Waiting, earlier.len(), Vec::new());
        self.pending.insert(number, Pending { step, standing, doubtful, blockers, followers });
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

    /// The steps that touch a place, or one above or below it; some of them twice.
    fn touching(&self, place: &Place) -> impl Iterator<Item = u64> {
        let own = self.at.get(place).into_iter().chain(self.below.get(place));
        let above = place.above().filter_map(|place| self.at.get(&place));
        own.chain(above).flatten().copied()
    }

    /// The last step that touches `path`, or a path above or below it: whatever is done to the path
    /// waits for it.
    pub fn last_at(&self, path: &RemotePath) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        Place::of(path).iter().flat_map(|place| self.touching(place)).max()
    }

    /// Will a step soon change something at `path` or below it? One that waits for a person will not.
    pub fn changes_within(&self, path: &RemotePath) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_held = |number: &u64| {
            self.pending.get(number).is_some_and(|step| matches!(step.standing, Standing::Held(_)))
        };
        let places = Place::of(path);
        let mut numbers = places
            .iter()
            .flat_map(|place| self.at.get(place).into_iter().chain(self.below.get(place)))
            .flatten();
        numbers.any(|number| !is_held(number))
    }

    /// May this step be begun? Not while an earlier one touches its paths, nor twice.
    pub fn is_ready(&self, number: u64) -> bool {
        let Some(pending) = self.pending.get(&number) else { return false };
        let standing = matches!(pending.standing, Standing::Waiting | Standing::Failed(_));
        standing && pending.blockers == 0
    }

    /// This step and all that were planned upon it, the last first: without it they mean nothing.
    pub fn built_upon(&self, number: u64) -> Vec<u64> {
        let mut found = BTreeSet::new();
        let mut next = vec![number];
        while let Some(number) = next.pop() {
            if let Some(pending) = self.pending.get(&number)
                && found.insert(number)
            {
                next.extend(&pending.followers);
            }
        }
        found.into_iter().rev().collect()
    }

    /// How many steps are being taken at this moment.
    pub fn under_way(&self) -> usize {
        self.pending.values().filter(|pending| pending.standing == Standing::Running).count()
    }

    /// How many of these steps are.
    pub fn under_way_among(&self, steps: &BTreeSet<u64>) -> usize {
        let running =
            |number: &&u64| self.get(**number).is_some_and(|step| step.standing == Standing::Running);
        steps.iter().filter(running).count()
    }

    /// The steps that wait for a person, or for a step that does.
    pub fn stuck(&self) -> BTreeSet<u64> {
        let mut held: BTreeSet<u64> = BTreeSet::new();
        for (number, pending) in &self.pending {
            if held.contains(number) || matches!(pending.standing, Standing::Held(_)) {
                held.insert(*number);
                held.extend(&pending.followers);
            }
        }
        held
    }

    /// These steps, and all that must be taken before them.
    pub fn leading_to(&self, mut steps: BTreeSet<u64>) -> BTreeSet<u64> {
        for (number, pending) in self.pending.iter().rev() {
            if pending.followers.iter().any(|follower| steps.contains(follower)) {
                steps.insert(*number);
            }
        }
        steps
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

    /// The step was taken, or is given up. Returns those that may be begun now.
    pub fn remove(&mut self, number: u64) -> Vec<u64> {
        let Some(Pending { step, followers, .. }) = self.pending.remove(&number) else { return Vec::new() };
        self.ended += 1;
        for place in step.paths().flat_map(Place::of) {
            take(&mut self.at, &place, number);
            place.above().for_each(|above| take(&mut self.below, &above, number));
        }
        for follower in &followers {
            if let Some(pending) = self.pending.get_mut(follower) {
                pending.blockers -= 1;
            }
        }
        followers.into_iter().filter(|follower| self.is_ready(*follower)).collect()
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
    use crate::model::entry::{Kind, Permissions};

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
        assert_eq!(backlog.last_at(&at("docs/readme")), Some(first));
        assert_eq!(backlog.last_at(&at("DÓCS")), Some(first));
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
    fn a_folder_is_looked_for_wherever_a_move_may_have_brought_it() {
        let mut backlog = Backlog::default();
        let first = backlog.push(rename("a", "b"));
        let second = backlog.push(rename("b", "c"));
        assert_eq!(backlog.origin(&at("c/x")), Origin::There(at("a/x")));
        let places = [(first + 1, at("b/x")), (second + 1, at("c/x"))];
        assert_eq!(backlog.later_places(&at("c/x")), places);
        assert_eq!(backlog.later_places(&at("d")), []);
        let listed = vec![Entry::folder("kept".into()), Entry::folder("moved".into())];
        backlog.push(rename("c/x/moved", "elsewhere"));
        let seen = backlog.replay_from(second + 1, at("c/x"), listed);
        assert_eq!(seen.iter().map(Seen::name).collect::<Vec<_>>(), ["kept"]);
    }

    #[test]
    fn a_path_leads_back_through_the_renames_that_wait() {
        let mut backlog = Backlog::default();
        backlog.push(rename("a", "b"));
        backlog.push(Step::Make(at("new")));
        let last = backlog.push(rename("b/x", "c"));
        let there = |path| Origin::There(at(path));
        assert_eq!(backlog.origin(&at("c/f")), there("a/x/f"));
        assert_eq!(backlog.origin(&at("b/y")), there("a/y"));
        assert_eq!(backlog.origin(&at("bb")), there("bb"));
        assert_eq!(backlog.origin(&at("new/f")), Origin::MadeBy(2, at("new/f")));
        backlog.remove(last);
        assert_eq!(backlog.origin(&at("c")), there("c"));
    }

    #[test]
    fn a_listing_is_led_through_the_steps() {
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            kind: Kind::File,
            size: 1,
            created: None,
            changed: None,
            provided: None,
            md5: None,
            crc32: None,
            permissions: Permissions::ALL,
            metadata: Default::default(),
        };
        let mut backlog = Backlog::default();
        for step in [
            delete("old/gone"),
            rename("old/a", "old/b"),
            Step::Make(at("old/new")),
            rename("old", "d"),
            rename("other/x", "d/x"),
            rename("d/b", "d/c"),
            Step::Make(at("made")),
            rename("d/away", "made/away"),
        ] {
            backlog.push(step);
        }
        let origin = backlog.origin(&at("d"));
        assert_eq!(origin, Origin::There(at("old")));
        let listed = ["gone", "a", "stays", "away"].map(entry).to_vec();
        let seen = backlog.replay(origin.clone(), listed);
        let listing = ["c", "stays"].map(|name| Seen::Listed(entry(name)));
        let elsewhere =
            |from, name: &str| Seen::Elsewhere { from: at(from), name: name.into(), listed: None };
        let others = [Seen::Made("new".into()), elsewhere("other/x", "x")];
        assert!(
            seen.len() == 4 && listing.iter().chain(&others).all(|entry| seen.contains(entry)),
            "{seen:?}"
        );
        // The first two were taken while the question was under way.
        let seen = backlog.replay(origin, ["b", "x"].map(entry).to_vec());
        let moved = Seen::Elsewhere { from: at("other/x"), name: "x".into(), listed: Some(entry("x")) };
        assert!(
            seen.len() == 3 && seen.contains(&Seen::Listed(entry("c"))) && seen.contains(&moved),
            "{seen:?}"
        );
        let made = backlog.replay(backlog.origin(&at("made")), Vec::new());
        assert_eq!(made, [elsewhere("old/away", "away")]);
    }

    #[test]
    fn what_is_held_is_not_begun_until_a_person_says_so() {
        let mut backlog = Backlog::default();
        let step = backlog.push(delete("f"));
        backlog.begin(step);
        backlog.failed(step, Failure::plain(libc::EACCES), true);
        assert_eq!((backlog.ready(), backlog.last_at(&at("f"))), (vec![], Some(step)));
        assert!(!backlog.changes_within(&RemotePath::ROOT));
        let after = backlog.push(rename("g", "f"));
        let last = backlog.push(delete("g/x"));
        assert_eq!(backlog.built_upon(step), [last, after, step]);
        backlog.remove(last);
        backlog.remove(after);
        backlog.release(step);
        assert!(backlog.changes_within(&RemotePath::ROOT) && !backlog.changes_within(&at("g")));
        assert_eq!(backlog.begin(step).map(|(_, doubtful)| doubtful), Some(true));
    }

    fn copy(from: &str, to: &str) -> Step {
        let version = Fingerprint { size: 1, created: None, changed: None, md5: None, crc32: None };
        Step::Copy { from: at(from), to: at(to), version }
    }

    #[test]
    fn until_a_copy_is_made_its_bytes_are_at_the_source() {
        let mut backlog = Backlog::default();
        backlog.push(rename("old", "new"));
        let number = backlog.push(copy("new/f", "d/g"));
        backlog.push(rename("d", "e"));
        assert_eq!(backlog.origin(&at("e/g")), Origin::There(at("old/f")));
        assert_eq!(backlog.origin(&at("new/f")), Origin::There(at("old/f")), "which stays");
        assert_eq!(backlog.destiny(number, &at("d/g")), at("e/g"));
        assert!(!backlog.is_ready(number), "the rename of the source goes first");
    }

    #[test]
    fn a_copy_is_seen_in_its_folder_before_and_after_it_is_made() {
        let mut backlog = Backlog::default();
        backlog.push(copy("d/f", "d/g"));
        backlog.push(copy("x/f", "d/h"));
        let file = |name: &str| Entry { kind: Kind::File, ..Entry::folder(name.to_owned()) };
        let seen = backlog.replay(Origin::There(at("d")), vec![file("f")]);
        let elsewhere = Seen::Elsewhere { from: at("x/f"), name: "h".into(), listed: None };
        assert_eq!(seen, [Seen::Listed(file("f")), Seen::Listed(file("g")), elsewhere]);
        let listed = vec![file("f"), file("g"), file("h")];
        let after = backlog.replay(Origin::There(at("d")), listed.clone());
        assert_eq!(after, listed.into_iter().map(Seen::Listed).collect::<Vec<_>>());
    }

    proptest! {
        /// The index answers what a look at all steps would, and a step is ready when no earlier one is
        /// in its way.
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
            let walked = backlog.iter().filter(|(_, pending)| pending.step.paths().any(relates)).last();
            for (number, pending) in backlog.iter() {
                let touches = |path: &RemotePath| {
                    let relates = |other: &RemotePath| path.below(other).or(other.below(path)).is_some();
                    backlog.iter().any(|(other, step)| other < number && step.step.paths().any(relates))
                };
                prop_assert_eq!(backlog.is_ready(number), !pending.step.paths().any(touches));
            }
            prop_assert_eq!(backlog.last_at(&question), walked.map(|(number, _)| number));
        }
    }
}
