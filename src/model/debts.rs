//! Which entries may owe something: found without a look at all the others.
//!
//! Whoever gets an entry to change it may make it owe something, so it is under suspicion from then on. Those
//! that owe nothing are struck off once they are as many as those that did at the last look: so there are
//! never many more than really owe, and a change costs no more for it, however many entries there are.

use std::collections::HashSet;

use super::ino::Ino;

/// How many may be under suspicion that owe nothing.
const SOME: usize = 1024;

/// The entries under suspicion.
#[derive(Debug, Default)]
pub struct Debts {
    suspects: HashSet<Ino>,
    /// How many there were after those that owe nothing were last struck off.
    confirmed: usize,
}

impl Debts {
    /// `ino` may owe something from now on.
    pub fn suspect(&mut self, ino: Ino) {
        self.suspects.insert(ino);
    }

    /// Is it time for [`Self::review`]?
    pub fn is_review_due(&self) -> bool {
        self.suspects.len() > 2 * self.confirmed + SOME
    }

    /// Strikes off all that owe nothing.
    pub fn review(&mut self, owes: impl FnMut(&Ino) -> bool) {
        self.suspects.retain(owes);
        self.confirmed = self.suspects.len();
        self.suspects.shrink_to(2 * self.confirmed + SOME);
    }

    /// Every entry that owes something is among these.
    pub fn suspects(&self) -> impl Iterator<Item = Ino> {
        self.suspects.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::model::attributes::{Defaults, Shape};
    use crate::model::entry::{Entry, Kind};
    use crate::model::ino::ContentId;
    use crate::model::moment::Moment;
    use crate::model::node::{Body, File, Folder};
    use crate::model::path::RemotePath;
    use crate::model::tree::Tree;

    /// One random thing that happens to one of a few names.
    fn happens(tree: &mut Tree, what: u8, name: u8, now: Instant) {
        let text = format!("f{}", name % 40);
        let there = tree.child(Ino::ROOT, text.as_ref());
        let attributes = tree.defaults.new_entry(Shape::File, Moment::default());
        match (what % 8, there) {
            (0, None) => {
                let body = Body::File(File::created(ContentId(1), false));
                tree.insert(Ino::ROOT, text.clone().into(), text, attributes, body).unwrap();
            }
            (1, None) => {
                tree.insert(Ino::ROOT, text.clone().into(), text, attributes, Folder::default().into())
                    .unwrap();
            }
            (2, Some(ino)) => tree.node_mut(ino).unwrap().attributes_owed ^= true,
            (3, Some(ino)) => {
                if let Ok(file) = tree.file_mut(ino) {
                    match file.content.close().or(file.content.owed()) {
                        Some(revision) => drop(file.content.verified(revision)),
                        None => {
                            let writing = file.content.begin_write();
                            file.content.end_write(writing);
                        }
                    }
                }
            }
            (4, Some(ino)) => tree.remove(ino, now),
            (5, Some(ino)) => {
                let to = format!("f{}", name / 6);
                tree.relink(ino, Ino::ROOT, to.as_ref(), &to, now).unwrap();
            }
            (6, Some(ino)) => {
                if let Ok(folder) = tree.folder_mut(ino) {
                    folder.published ^= true;
                }
            }
            (7, _) => {
                let listed =
                    (0..20).map(|n| Entry { kind: Kind::File, ..Entry::folder(format!("f{}", n * 2)) });
                tree.merge(Ino::ROOT, listed.collect(), now).unwrap();
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_all_that_is_owed_is_found_and_nothing_else(
            events in prop::collection::vec(any::<(u8, u8)>(), 1..200),
        ) {
            let mut tree =
                Tree::new(RemotePath::ROOT, Defaults::with_umask(0o022, 0, 0), Moment::default());
            let mut now = Instant::now();
            for (what, name) in events {
                now += Duration::from_secs(1);
                happens(&mut tree, what, name, now);
                let is_there = |ino: &Ino| tree.node(*ino).unwrap().parent.is_some() || *ino == Ino::ROOT;
                let all = tree.iter().filter(|(_, node)| node.is_owed()).map(|(ino, _)| ino);
                let mut all: Vec<Ino> = all.filter(is_there).collect();
                let mut found: Vec<Ino> = tree.owed().map(|(ino, _)| ino).collect();
                all.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(found, all);
            }
        }
    }

    #[test]
    fn what_owes_stays_and_the_rest_goes_before_there_is_much_of_it() {
        let owes = |ino: &Ino| ino.0.is_multiple_of(10);
        let (mut debts, mut looks, mut most) = (Debts::default(), 0, 0);
        for n in 0..1_000_000 {
            if debts.is_review_due() {
                looks += debts.suspects().count();
                debts.review(owes);
            }
            // Some that owe, and many that are only touched.
            debts.suspect(Ino(if n < 50_000 { n } else { n * 10 + 1 }));
            most = most.max(debts.suspects().count() * usize::from(n % 1000 == 0));
        }
        debts.review(owes);
        assert_eq!(debts.suspects().count(), 5_000);
        assert!(most <= 2 * 5_000 + SOME + 1, "{most} for 5000");
        assert!(looks <= 4_000_000, "{looks} looks for a million changes");
    }
}
