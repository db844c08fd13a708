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

mod ended;
mod place;
mod replay;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::ended::Ended;
use self::place::Place;
pub use self::replay::{Origin, Seen};
pub use self::step::{Pending, Standing, Step};
use super::failure::Failure;
use super::path::RemotePath;
use super::proof::Fingerprint;

/// All steps that were not taken yet, by number.
#[derive(Debug, Default)]
pub struct Backlog {
    pending: BTreeMap<u64, Pending>,
    /// Numbers of the steps that wait for a person.
    held: BTreeSet<u64>,
    next: u64,
    ended: Ended,
    /// Moves that are made at once, without waiting in line, by number.
    passing: BTreeMap<u64, Vec<Place>>,
    /// Numbers of the steps that touch exactly this path.
    at: HashMap<Place, BTreeSet<u64>>,
    /// Numbers of the steps that touch something below this path.
    below: HashMap<Place, BTreeSet<u64>>,
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

    /// Is Files.com where the tree is, as far as names go?
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many steps have ended.
    pub fn ended(&self) -> u64 {
        self.ended.count()
    }

    /// Is an answer about `path`, or a listing of it, not good any more that was asked for when `ended` steps had ended?
    pub fn has_changed(&self, path: &RemotePath, ended: u64) -> bool {
        self.ended() != ended && Place::of(path).iter().any(|place| self.ended.shows_in(place, ended))
    }

    /// A move that is about to be made at once, without waiting in line: until it has [`Self::passed`], Files.com shows
    /// one end of it or the other.
    pub fn pass(&mut self, from: &RemotePath, to: &RemotePath) -> u64 {
        let number = self.number();
        self.passing.insert(number, [from, to].into_iter().flat_map(Place::of).collect());
        number
    }

    /// It is made, here too, or is not made.
    pub fn passed(&mut self, number: u64) {
        if let Some(places) = self.passing.remove(&number) {
            self.ended.push(places);
        }
    }

    /// Is a move being made that changes what a listing of `path` shows?
    pub fn is_passing(&self, path: &RemotePath) -> bool {
        let places = Place::of(path);
        self.passing.values().flatten().any(|moving| places.iter().any(|place| moving.shows_in(place)))
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
        let places = Place::of(path);
        let mut numbers = places
            .iter()
            .flat_map(|place| self.at.get(place).into_iter().chain(self.below.get(place)))
            .flatten();
        numbers.any(|number| !self.held.contains(number))
    }

    /// May this step be begun? Not while an earlier one touches its paths, nor twice.
    pub fn is_ready(&self, number: u64) -> bool {
        let Some(pending) = self.pending.get(&number) else { return false };
        let standing = matches!(pending.standing, Standing::Waiting | Standing::Failed(_));
        standing && pending.blockers == 0
    }

    /// This step and all that were planned upon it, the last first: without it they mean nothing.
    pub fn built_upon(&self, number: u64) -> Vec<u64> {
        self.all_upon(vec![number]).into_iter().rev().collect()
    }

    /// These steps and all that were planned upon them.
    fn all_upon(&self, mut next: Vec<u64>) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        while let Some(number) = next.pop() {
            if let Some(pending) = self.pending.get(&number)
                && found.insert(number)
            {
                next.extend(&pending.followers);
            }
        }
        found
    }

    /// May Files.com have been asked for this step? Not before all that are in its way are noted as taken.
    pub fn may_be_made(&self, number: u64) -> bool {
        self.pending.get(&number).is_some_and(|pending| pending.may_be_begun() && !pending.is_untouched())
    }

    /// How many steps are being taken at this moment.
    pub fn under_way(&self) -> usize {
        self.pending.values().filter(|pending| pending.standing == Standing::Running).count()
    }

    /// The steps that are being taken at this moment.
    pub fn running(&self) -> impl Iterator<Item = u64> {
        self.iter().filter(|(_, pending)| pending.standing == Standing::Running).map(|(number, _)| number)
    }

    /// The steps that wait for a person, or for a step that does.
    pub fn stuck(&self) -> BTreeSet<u64> {
        self.all_upon(self.held.iter().copied().collect())
    }

    /// What waits for a person and has to be taken before anything can be done to `path`.
    pub fn refusal_before(&self, path: &RemotePath) -> Option<(&Step, &Failure)> {
        if self.held.is_empty() {
            return None;
        }
        let places = Place::of(path);
        let wanted: BTreeSet<u64> = places.iter().flat_map(|place| self.touching(place)).collect();
        let leads = |number: &&u64| !self.all_upon(vec![**number]).is_disjoint(&wanted);
        let pending = self.pending.get(self.held.iter().find(leads)?)?;
        match &pending.standing {
            Standing::Held(failure) => Some((&pending.step, failure)),
            _ => None,
        }
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

    /// All steps that must be taken before anything can be done to `path`.
    pub fn ahead_of(&self, path: &RemotePath) -> BTreeSet<u64> {
        self.leading_to(Place::of(path).iter().flat_map(|place| self.touching(place)).collect())
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

    /// A step that was begun failed, and is to be tried again.
    pub fn failed(&mut self, number: u64, failure: Failure) {
        self.ended_in(number, Standing::Failed(failure));
    }

    /// A step that was begun was refused: a person decides.
    pub fn hold(&mut self, number: u64, failure: Failure) {
        if self.pending.contains_key(&number) {
            self.held.insert(number);
        }
        self.ended_in(number, Standing::Held(failure));
    }

    fn ended_in(&mut self, number: u64, standing: Standing) {
        if let Some(pending) = self.pending.get_mut(&number) {
            (pending.doubtful, pending.standing) = (true, standing);
        }
    }

    /// A held step is to be tried again.
    pub fn release(&mut self, number: u64) {
        if let Some(pending) = self.pending.get_mut(&number)
            && self.held.remove(&number)
        {
            pending.standing = Standing::Waiting;
        }
    }

    /// The copy that step `number` makes at `to` is there, as version `made`: copies of it that are planned, and copies of
    /// those, were decided on what it was a copy of. They are of `made` from here on. Answers with them as they are now.
    pub fn copy_is_made(&mut self, number: u64, to: &RemotePath, made: Fingerprint) -> Vec<(u64, Step)> {
        let (mut copies, mut changed) = (vec![to.clone()], Vec::new());
        for (number, pending) in self.pending.range_mut(number + 1..) {
            match &mut pending.step {
                Step::Move { from, to, .. } => {
                    copies.retain(|copy| copy != to);
                    for copy in &mut copies {
                        if let Some(rest) = copy.below(from) {
                            *copy = to.descend(rest);
                        }
                    }
                }
                Step::Delete { path, .. } => copies.retain(|copy| copy != path),
                Step::Copy { from, to, version } if copies.contains(from) => {
                    copies.push(to.clone());
                    *version = Fingerprint { md5: made.md5.or(version.md5), ..made };
                    changed.push((*number, pending.step.clone()));
                }
                Step::Copy { .. } | Step::Make(_) | Step::RemoveFolder(_) => {}
            }
        }
        changed
    }

    /// The step was taken, or is given up. Returns those that may be begun now.
    pub fn remove(&mut self, number: u64) -> Vec<u64> {
        let Some(Pending { step, followers, .. }) = self.pending.remove(&number) else { return Vec::new() };
        self.held.remove(&number);
        let places: Vec<Place> = step.paths().flat_map(Place::of).collect();
        for place in &places {
            take(&mut self.at, place, number);
            place.above().for_each(|above| take(&mut self.below, &above, number));
        }
        self.ended.push(places);
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
        let untouched = pending.is_untouched();
        let makes = matches!(&pending.step, Step::Make(path) if path == folder);
        let empty = places.iter().all(|place| !self.below.contains_key(place));
        (makes && untouched && empty).then_some(number)
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
