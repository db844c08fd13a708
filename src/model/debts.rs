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
    use super::*;

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
