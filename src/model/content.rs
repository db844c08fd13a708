//! What is owed of one file.
//!
//! The unit is the revision: the bytes between two seals. It is the reason why a close with nothing
//! new has nothing to do, why two descriptors of one file need no detective work, and why an upload
//! that was overtaken by a write is never called the file.
//!
//! ```text
//!            begin_write                 seal                verified
//!   Clean ───────────────▶ Dirty(r) ───────────▶ Sealed(r) ───────────▶ Clean
//!     ▲                      ▲                    │      │ refused
//!     └── fetched            └───── begin_write ──┴──────┴──▶ Held(r)
//!
//!   Held(r) ── reconsider ──▶ Sealed(r)
//! ```

/// Numbers the states of a file's bytes; later is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Where the newest bytes of a file stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Files.com holds them, or they came from there.
    Clean,
    /// Written since the last seal.
    Dirty(Revision),
    /// Whole on the local disk, and owed.
    Sealed(Revision),
    /// Owed, but Files.com refused them for good: kept until a person or a newer write decides.
    Held(Revision),
}

/// A write that has begun: given back to [`Content::end_write`].
#[must_use = "a write that never ends keeps the file from being published"]
#[derive(Debug)]
pub struct Writing(Revision);

/// The bytes of one file, as far as rules are concerned.
#[derive(Debug, Clone)]
pub struct Content {
    state: State,
    /// Writes between begin and end.
    writing: u32,
    last: u64,
    /// Whoever wrote the newest bytes has closed the file. An fsync, or the close of a child that inherited
    /// the descriptor, seals bytes that are not the whole yet.
    closed: bool,
    /// The newest revision that its writer closed; 0 before the first.
    whole: u64,
    /// The newest revision that was synced to the local disk; 0 before the first.
    synced: u64,
    /// The newest revision that Files.com was proven to hold; 0 before the first.
    proven: u64,
}

impl Content {
    const AT_REST: Self =
        Self { state: State::Clean, writing: 0, last: 0, closed: true, whole: 0, synced: 0, proven: 0 };

    /// A file that Files.com holds.
    pub fn clean() -> Self {
        Self::AT_REST
    }

    /// A file that was just created here: even when empty, it is owed.
    pub fn created() -> Self {
        Self { state: State::Dirty(Revision(1)), last: 1, closed: false, ..Self::AT_REST }
    }

    /// A file that an earlier mount sealed and never saw verified.
    pub fn recovered() -> Self {
        Self { state: State::Sealed(Revision(1)), last: 1, whole: 1, ..Self::AT_REST }
    }

    /// Where the newest bytes stand.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Was it never written here? Else its revisions must go on to be counted: an upload that was overtaken
    /// would meet its own number again.
    pub fn is_at_rest(&self) -> bool {
        self.state == State::Clean && self.writing == 0 && self.last == 0
    }

    /// Is there anything that Files.com does not hold yet?
    pub fn is_owed(&self) -> bool {
        self.state != State::Clean
    }

    /// Before the first byte changes.
    pub fn begin_write(&mut self) -> Writing {
        self.writing += 1;
        Writing(self.open_revision())
    }

    /// After the last byte changed. A seal that came in between is broken: it cannot say whether it
    /// saw this write.
    pub fn end_write(&mut self, writing: Writing) {
        self.writing -= 1;
        if self.state != State::Dirty(writing.0) {
            self.open_revision();
        }
    }

    /// Is there a write between its begin and its end?
    pub fn is_being_changed(&self) -> bool {
        self.writing > 0
    }

    fn open_revision(&mut self) -> Revision {
        self.closed = false;
        if let State::Dirty(revision) = self.state {
            return revision;
        }
        self.last += 1;
        let revision = Revision(self.last);
        self.state = State::Dirty(revision);
        revision
    }

    /// Close or fsync: the bytes as they are become a revision that is owed. `None` when nothing
    /// changed since the last one.
    pub fn seal(&mut self) -> Option<Revision> {
        let State::Dirty(revision) = self.state else { return None };
        self.state = State::Sealed(revision);
        Some(revision)
    }

    /// The same where the writer itself closes: these bytes are the whole.
    pub fn close(&mut self) -> Option<Revision> {
        self.closed = true;
        if self.is_owed() {
            self.whole = self.last;
        }
        self.seal()
    }

    /// Is something owed that its writer closed, and that may have been written to since? Else what is owed is what
    /// somebody is still writing.
    pub fn owes_a_close(&self) -> bool {
        self.is_owed() && self.whole > self.proven
    }

    /// Is it owed, and not whole yet as far as its writer is concerned?
    pub fn is_unfinished(&self) -> bool {
        self.is_owed() && !self.closed
    }

    /// The revision that could be published now: sealed, or held and about to be tried again.
    pub fn owed(&self) -> Option<Revision> {
        match self.state {
            State::Sealed(revision) | State::Held(revision) => Some(revision),
            State::Clean | State::Dirty(_) => None,
        }
    }

    /// Are these the very bytes that an earlier mount sealed? For contents that were [`Self::recovered`].
    pub fn is_as_recovered(&self) -> bool {
        self.last == 1 && self.is_owed()
    }

    /// The local disk has these bytes.
    pub fn synced(&mut self, revision: Revision) {
        self.synced = revision.0;
    }

    /// Does the local disk have these bytes, as far as a sync can tell?
    pub fn is_synced(&self, revision: Revision) -> bool {
        self.synced == revision.0
    }

    /// Is this still the newest, and is nobody writing? Asked before an upload is completed, and
    /// before what was uploaded is called the file.
    pub fn is_current(&self, revision: Revision) -> bool {
        self.writing == 0 && self.owed() == Some(revision)
    }

    /// The revision of the newest bytes, whole or not.
    pub fn newest(&self) -> Revision {
        Revision(self.last)
    }

    /// Was Files.com proven to hold this revision, or a newer one?
    pub fn is_proven(&self, revision: Revision) -> bool {
        self.proven >= revision.0
    }

    /// Are the newest bytes sealed, and whole as far as who wrote them is concerned?
    pub fn is_whole(&self) -> bool {
        self.writing == 0 && self.owed().is_some() && !self.is_unfinished()
    }

    /// Files.com holds this revision, proven. False when it was overtaken: the debt of the newer one stays.
    pub fn verified(&mut self, revision: Revision) -> bool {
        self.proven = self.proven.max(revision.0);
        let current = self.is_current(revision);
        if current {
            self.state = State::Clean;
        }
        current
    }

    /// A person wants what was refused to be tried again.
    pub fn reconsider(&mut self) {
        if let State::Held(revision) = self.state {
            self.state = State::Sealed(revision);
        }
    }

    /// Files.com refused this revision for good.
    pub fn refused(&mut self, revision: Revision) {
        if self.owed() == Some(revision) {
            self.state = State::Held(revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two writers, a closer and an uploader, in every order that each of them allows: whenever the
    /// file is called clean, the bytes uploaded last are the bytes written last.
    #[test]
    fn no_order_of_events_calls_a_changed_file_clean() {
        #[derive(Default, Clone)]
        struct World {
            content: Option<Content>,
            /// What the file says: how many writes have landed in it.
            bytes: u32,
            pending: [Option<u64>; 2],
            step: [u8; 4],
            uploading: Option<(Revision, u32)>,
        }
        fn explore(world: &World, checked: &mut u64) {
            for actor in 0..4 {
                let mut next = world.clone();
                let content = next.content.as_mut().unwrap();
                let step = next.step[actor];
                next.step[actor] += 1;
                match (actor, step) {
                    (0 | 1, 0) => next.pending[actor] = Some(content.begin_write().0.0),
                    (0 | 1, 1) => next.bytes += 1,
                    (0 | 1, 2) => content.end_write(Writing(Revision(next.pending[actor].take().unwrap()))),
                    (2, 0..=1) => {
                        content.seal();
                    }
                    (3, 0) => next.uploading = content.owed().map(|r| (r, next.bytes)),
                    (3, 1) => {
                        if let Some((revision, _)) = next.uploading
                            && !content.is_current(revision)
                        {
                            next.uploading = None;
                        }
                    }
                    (3, 2) => {
                        if let Some((revision, seen)) = next.uploading
                            && content.verified(revision)
                        {
                            assert_eq!(seen, next.bytes, "called clean with other bytes");
                            *checked += 1;
                        }
                    }
                    _ => continue,
                }
                explore(&next, checked);
            }
        }
        let mut checked = 0;
        explore(&World { content: Some(Content::created()), ..World::default() }, &mut checked);
        assert!(checked > 100, "only {checked} orders ended in a proof: the test says little");
    }

    #[test]
    fn only_the_close_of_its_writer_makes_a_file_whole() {
        let mut content = Content::created();
        content.seal();
        assert!(content.is_unfinished(), "an fsync is not the end");
        let late = content.begin_write();
        content.close();
        content.end_write(late);
        assert!(content.is_unfinished(), "a write ended after the close");
        let revision = content.close().unwrap();
        assert!(!content.is_unfinished());
        assert!(content.verified(revision) && !content.is_unfinished());
        assert!(!Content::recovered().is_unfinished());
    }

    #[test]
    fn what_was_closed_is_owed_until_it_or_something_newer_is_proven() {
        let mut content = Content::created();
        content.seal();
        assert!(!content.owes_a_close(), "an fsync is no close");
        content.close();
        let again = content.begin_write();
        content.end_write(again);
        assert!(content.owes_a_close() && content.is_unfinished(), "it is open again, and still owed");
        let revision = content.seal().unwrap();
        assert!(content.verified(revision) && !content.owes_a_close());
        assert!(Content::recovered().owes_a_close());
    }

    #[test]
    fn a_close_with_nothing_new_has_nothing_to_do() {
        let mut content = Content::clean();
        assert_eq!(content.seal(), None);
        let writing = content.begin_write();
        content.end_write(writing);
        let revision = content.seal().unwrap();
        assert_eq!(content.seal(), None);
        assert!(content.verified(revision));
        assert!(!content.is_owed());
    }

    #[test]
    fn what_is_held_is_owed_again_when_a_person_says_so() {
        let mut content = Content::created();
        content.reconsider();
        assert!(matches!(content.state(), State::Dirty(_)), "nothing was refused");
        let revision = content.seal().unwrap();
        content.refused(revision);
        content.reconsider();
        assert_eq!(content.state(), &State::Sealed(revision));
        assert!(content.verified(revision));
    }

    #[test]
    fn a_proof_of_a_revision_that_was_overtaken_answers_for_it_and_not_for_the_newer_one() {
        let mut content = Content::created();
        let first = content.close().unwrap();
        assert!(content.is_whole() && !content.is_proven(first));
        let writing = content.begin_write();
        assert!(!content.verified(first));
        content.end_write(writing);
        assert!(content.is_proven(first) && !content.is_proven(content.newest()) && !content.is_whole());
        let second = content.close().unwrap();
        assert!(content.verified(second) && content.is_proven(second));
        assert!(!content.verified(first) && content.is_proven(second), "an older proof takes nothing back");
    }

    #[test]
    fn a_write_to_a_held_file_is_a_new_debt() {
        let mut content = Content::created();
        let first = content.seal().unwrap();
        content.refused(first);
        assert_eq!(content.state(), &State::Held(first));
        let writing = content.begin_write();
        content.end_write(writing);
        assert!(content.seal().unwrap() > first);
        assert!(!content.verified(first));
    }
}
