//! Renames. What Files.com has never seen changes its name here and is published under the new one:
//! that is how backup tools finish a file, and why it costs no move there.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::core::{Core, Errand};
use super::folders::SETTLE_FOLDER;
use super::make::entries_changed;
use super::shape::Held;
use super::turns::Turn;
use super::{Close, Filesystem, told, told_aloud};
use crate::local::failpoint;
use crate::local::journal::Fact;
use crate::model::backlog::Step;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::{Body, File, OnSite};
use crate::model::path::RemotePath;
use crate::model::rename::{Move, Over, RenamePlan, There};

/// What is known of the bytes of a file that is renamed over another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// They may be less durable than those that they replace.
    AsItIs,
    /// They were made durable since the rename began. What its writer adds meanwhile counts for nothing: a rename would
    /// never end beside one who goes on writing.
    MadeDurable,
}

/// A move that is made on Files.com and not here yet.
struct Passing<'a> {
    filesystem: &'a Filesystem,
    number: u64,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.filesystem.core().backlog.passed(self.number);
        self.filesystem.outcomes.notify_waiters();
    }
}

impl Filesystem {
    /// rename(2): atomic here; answers when Files.com has it under the new name too, and, for what was
    /// owed, when that is proven.
    pub async fn rename(
        &self,
        (folder, name): (Ino, &OsStr),
        (new_folder, new_name): (Ino, &OsStr),
        no_replace: bool,
    ) -> Result<(), Failure> {
        self.may_change()?;
        self.list(folder).await?;
        self.list(new_folder).await?;
        let target = self.core().tree.child(new_folder, new_name);
        if let Some(target) = target {
            let is_folder = self.core().tree.node(target)?.is_folder();
            match is_folder {
                // Whether it is empty is decided by Files.com's newest word.
                true => self.list(target).await?,
                false => self.keep_for_readers(target).await?,
            }
        }
        let (plan, alone) = self.plan((folder, name), (new_folder, new_name), no_replace).await?;
        if plan.there == There::Same {
            return Ok(());
        }
        let is_folder = self.core().tree.node(plan.source)?.is_folder();
        self.nothing_is_left_of(&plan, new_folder)?;
        self.change_name(&plan, new_folder, new_name).await?;
        drop(alone);
        match is_folder {
            true => self.publish_renamed_folder(plan.source, new_name, plan.there == There::Nothing).await,
            false => self.publish_renamed(plan.source).await,
        }
    }

    /// What an earlier mount owes of a file, or below a folder, finds it under the path that the journal knows.
    fn nothing_is_left_of(&self, plan: &RenamePlan, folder: Ino) -> Result<(), Failure> {
        let core = self.core();
        let from = core.tree.path(plan.source);
        let to = core.tree.path(folder).map(|folder| folder.join(&plan.remote));
        let (from, to) = match core.tree.node(plan.source)?.is_folder() {
            true => (
                from.filter(|path| core.leftovers.are_of_folder(path)),
                to.filter(|path| core.leftovers.are_within(path)),
            ),
            // What is owed under the new name is replaced.
            false => (from.filter(|path| core.leftovers.is_file(path)), None),
        };
        match from.or(to) {
            None => Ok(()),
            Some(path) => Err(Failure::new(
                libc::EBUSY,
                format!("what an earlier mount owes at {path} is not taken up yet; see `filescomfs status`"),
            )),
        }
    }

    /// What was promised under the new name is given up for bytes that are promised, too, though their writer may not
    /// have closed them yet. The target may be promised while the rename waits, so it is looked at again when it goes.
    fn is_less_durable(core: &Core, plan: &RenamePlan) -> bool {
        let is_unpromised = |file: &File| file.content.is_owed() && !file.is_noted();
        let is_promised = |target| core.tree.file(target).is_ok_and(|file| file.noted.is_some());
        plan.target.is_some_and(is_promised) && core.tree.file(plan.source).is_ok_and(is_unpromised)
    }

    /// A plan, and the turns of all that it names. Decided again once we are alone with them, and with
    /// their paths: a folder above may have been renamed in the meantime.
    async fn plan(
        &self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        no_replace: bool,
    ) -> Result<(RenamePlan, (Vec<Turn>, Held<'_>)), Failure> {
        loop {
            let planned = self.core().tree.plan_rename(from, to, no_replace)?;
            if let (Close::Verified, There::Move(planned)) = (self.rules.close, &planned.there) {
                self.until_clear(&[&planned.from, &planned.to]).await?;
            }
            let named: Vec<Ino> = [planned.source].into_iter().chain(planned.target).collect();
            let turns = self.naming.take_all(named.iter().copied()).await?;
            let is_folder = self.core().tree.node(planned.source)?.is_folder();
            // Paths of everything below a folder change: nobody may be using one.
            let changes = if is_folder { named.as_slice() } else { &[] };
            let shape = self.paths_change(&[&named[..], &[to.0]].concat(), changes).await?;
            let again = self.core().tree.plan_rename(from, to, no_replace)?;
            if (again.source, again.target) == (planned.source, planned.target) {
                return Ok((again, (turns, shape)));
            }
        }
    }

    async fn change_name(&self, plan: &RenamePlan, folder: Ino, name: &OsStr) -> Result<(), Failure> {
        let (mut steps, mut taken, mut passing) = (Vec::new(), Vec::new(), None);
        if let There::Move(there) = &plan.there {
            if !self.core().may_hold_published(folder) {
                return Err(Failure::new(
                    libc::EXDEV,
                    "the folder goes by a temporary name and is not on Files.com yet; copy instead",
                ));
            }
            match self.rules.close {
                Close::Verified => {
                    passing = Some(self.pass(there));
                    taken = self.move_whole(plan, there).await?;
                }
                Close::Journaled => {
                    steps.extend(there.step_before());
                    steps.push(there.step());
                }
            }
        }
        {
            // An upload that may have arrived under the old name must not stay there.
            let core = self.core();
            let doubt = core.tree.file(plan.source).ok().and_then(|file| file.perhaps.as_deref().copied());
            if let Some((path, version)) = core.tree.path(plan.source).zip(doubt)
                && plan.there == There::Nothing
            {
                steps.push(Step::Delete { path, version });
            }
        }
        // What is owed belongs under the new path, whatever happens next.
        if !self.change_name_here(plan, folder, name, (&mut steps, &mut taken), Source::AsItIs)? {
            self.make_durable(plan.source).await?;
            self.change_name_here(plan, folder, name, (&mut steps, &mut taken), Source::MadeDurable)?;
        }
        drop(passing);
        failpoint::reach("rename.here");
        self.journal.flush().await
    }

    /// A move is about to be made on Files.com: until it is true here, too, nobody believes a listing that shows it.
    fn pass(&self, there: &Move) -> Passing<'_> {
        Passing { filesystem: self, number: self.core().backlog.pass(&there.from, &there.to) }
    }

    /// Moves something on Files.com of which a crash must not leave one half there and the other here: what is
    /// owed below the old path, what was owed at the new one, or a target that has to go first. The journal hears of
    /// it before Files.com does; then the next mount finishes what this one has begun. Answers with what the journal
    /// may forget once the move is true here.
    async fn move_whole(&self, plan: &RenamePlan, there: &Move) -> Result<Vec<Fact>, Failure> {
        let (Move { from, to, over }, overwrite) = (there, there.over == Over::File);
        self.nothing_begins_below(from).await?;
        let Some([first, second]) = self.promise_move(plan, there) else {
            self.remote.rename(from, to, overwrite).await.map_err(|error| told_aloud(&error))?;
            failpoint::reach("rename.there");
            return Ok(Vec::new());
        };
        let mut cleared = false;
        let moved = async {
            self.journal.flush().await?;
            if *over == Over::Folder {
                self.delete_folder(to).await?;
                cleared = true;
                failpoint::reach("rename.cleared");
                self.journal.commit(Fact::Taken(first)).await?;
            }
            self.remote.rename(from, to, overwrite).await.map_err(|error| told_aloud(&error))
        };
        if let Err(failure) = moved.await {
            if let Some(target) = plan.target.filter(|_| cleared) {
                self.make_again(target, to).await;
            }
            let mut core = self.core();
            let mut back: Vec<Fact> =
                self.facts_below(&core, plan.source).iter().flat_map(|fact| fact.moved(to, from)).collect();
            back.extend([Fact::Taken(first), Fact::Taken(second)]);
            core.moving.retain(|(moving, _)| moving != from);
            // What is at the new name stays there, with the facts that the promise took the place of.
            back.extend(plan.target.into_iter().flat_map(|target| self.facts_of(&core, target)));
            self.journal.note_all(back);
            return Err(failure);
        }
        failpoint::reach("rename.there");
        Ok(vec![Fact::Taken(second)])
    }

    /// An empty folder had to go for a rename that was not made: it is made again, now or later.
    async fn make_again(&self, ino: Ino, path: &RemotePath) {
        let made = self.remote.create_folder(path, None).await;
        let mut core = self.core();
        let Ok(node) = core.tree.node_mut(ino) else { return };
        node.attributes_owed = true;
        let errand = match (&mut node.body, made) {
            (Body::Folder(folder), Err(error)) => {
                tracing::warn!(
                    "{path} went for a rename that was refused, and is made again later: {}",
                    told(&error)
                );
                folder.published = false;
                Errand::Publish(ino)
            }
            _ => Errand::Attributes(ino),
        };
        core.queue.schedule(errand, Instant::now());
        self.errands.notify_one();
    }

    /// Notes a move that is about to be made, where a crash could leave one half of it. Answers with the numbers of
    /// its two steps.
    fn promise_move(&self, plan: &RenamePlan, there: &Move) -> Option<[u64; 2]> {
        let Move { from, to, over } = there;
        let mut core = self.core();
        let before = self.facts_below(&core, plan.source);
        let replaced: Vec<Fact> =
            plan.target.into_iter().flat_map(|target| self.end_of(&core, target)).collect();
        // In a folder, others may make something durable while it moves.
        let may_owe =
            core.tree.node(plan.source).is_ok_and(|node| node.file().is_none_or(|f| f.content.is_owed()));
        if before.is_empty() && replaced.is_empty() && *over != Over::Folder && !may_owe {
            return None;
        }
        let [first, second] = [(); 2].map(|()| core.backlog.number());
        let mut promise = replaced;
        promise.extend(before.iter().flat_map(|fact| fact.moved(from, to)));
        promise.extend(there.step_before().map(|step| Fact::Planned(first, step)));
        promise.push(Fact::Planned(second, there.step()));
        // Under the lock, so that nobody states an old path after it.
        self.journal.note_all(promise);
        core.moving.push((from.clone(), to.clone()));
        Some([first, second])
    }

    fn facts_below(&self, core: &Core, source: Ino) -> Vec<Fact> {
        core.tree.subtree(source).into_iter().flat_map(|ino| self.facts_of(core, ino)).collect()
    }

    /// The part of a rename that this mount sees, and that the journal must know of: all of it, or nothing. False where
    /// it is nothing, because the source has to be made durable first.
    fn change_name_here(
        &self,
        plan: &RenamePlan,
        folder: Ino,
        name: &OsStr,
        (steps, taken): (&mut Vec<Step>, &mut Vec<Fact>),
        source: Source,
    ) -> Result<bool, Failure> {
        let mut core = self.core();
        if source == Source::AsItIs && Self::is_less_durable(&core, plan) {
            return Ok(false);
        }
        let (steps, taken) = (std::mem::take(steps), std::mem::take(taken));
        if let There::Move(Move { from, .. }) = &plan.there {
            core.moving.retain(|(moving, _)| moving != from);
        }
        let subtree = core.tree.subtree(plan.source);
        let mut facts = taken;
        facts.extend(subtree.iter().filter_map(|ino| self.end_of_entry(&core, *ino)));
        facts.extend(steps.into_iter().map(|step| self.put_off(&mut core, step)));
        if let Some(target) = core.tree.child(folder, name).filter(|target| *target != plan.source) {
            facts.extend(self.end_of(&core, target));
        }
        // Shown or not: it is replaced.
        if let Some(path) = core.tree.path(folder).map(|folder| folder.join(&plan.remote)) {
            self.forget_leftovers(&mut core, &path);
        }
        let (before, left) = (core.tree.path(plan.source), core.tree.node(plan.source)?.parent);
        let replaced = core.tree.relink(plan.source, folder, name, &plan.remote, Instant::now())?;
        entries_changed(&mut core, folder);
        left.into_iter().filter(|left| *left != folder).for_each(|left| entries_changed(&mut core, left));
        if let (There::Move(_), Some((from, to))) = (&plan.there, before.zip(core.tree.path(plan.source))) {
            self.receipts.moved(from, to);
        }
        let inherited = replaced.and_then(|ino| core.tree.node(ino).ok()).map(|node| node.body.clone());
        let time = super::now();
        let temporary = plan.there == There::Nothing && self.rules.temporary.matches(name, false);
        let node = core.tree.node_mut(plan.source)?;
        node.attributes.ctime = time;
        if let Body::File(file) = &mut node.body {
            (file.temporary, file.private) = (temporary, false);
        }
        if plan.there == There::Nothing {
            self.inherit(&mut core, plan.source, inherited)?;
        }
        if self.rules.close == Close::Journaled && !self.rules.temporary.matches(name, false) {
            facts.extend(self.plan_folder(&mut core, plan.source));
        }
        facts.extend(self.facts_below(&core, plan.source));
        // Noted under the lock, so that facts are written in the order in which they became true.
        self.journal.note_all(facts);
        match replaced {
            Some(replaced) => self.orphan(core, replaced),
            None => drop(core),
        }
        Ok(true)
    }

    /// What was only here has a name now under which Files.com has, or may have, what was `replaced`.
    fn inherit(&self, core: &mut Core, ino: Ino, replaced: Option<Body>) -> Result<(), Failure> {
        let node = core.tree.node_mut(ino)?;
        match (&mut node.body, replaced) {
            // Its upload will replace that.
            (Body::File(file), Some(Body::File(replaced))) => {
                (file.published, file.perhaps) = (replaced.published, replaced.perhaps.clone());
            }
            (Body::File(file), _) => (file.published, file.perhaps) = (None, None),
            // An empty folder is as good as another, but for its attributes.
            (Body::Folder(folder), Some(Body::Folder(replaced))) => {
                (folder.published, folder.perhaps) = (replaced.published, replaced.perhaps);
                if folder.published {
                    node.attributes_owed = true;
                    core.queue.forget(Errand::Publish(ino));
                    core.queue.schedule(Errand::Attributes(ino), Instant::now() + SETTLE_FOLDER);
                    self.errands.notify_one();
                }
            }
            (Body::Folder(_), _) => {}
        }
        Ok(())
    }

    /// The same of a folder with what is in it, if it was `only_here`.
    async fn publish_renamed_folder(&self, ino: Ino, name: &OsStr, only_here: bool) -> Result<(), Failure> {
        let is_there = self.core().tree.node(ino).is_ok_and(|node| node.on_site() == OnSite::Yes);
        if !is_there && self.rules.temporary.matches(name, false) {
            self.schedule(Errand::Publish(ino), self.rules.temporary_hold);
            return Ok(());
        }
        match self.rules.close {
            Close::Verified if only_here => self.publish_folder(ino).await,
            _ => Ok(()),
        }
    }

    /// The new name is the final one: what is owed under it is published now. Another temporary name
    /// begins a new hold.
    async fn publish_renamed(&self, ino: Ino) -> Result<(), Failure> {
        let (whole, may_publish) = {
            let core = self.core();
            let Ok(file) = core.tree.file(ino) else { return Ok(()) };
            // Still being written: its close publishes.
            let whole = file.content.owed().is_some() || !core.has_writer(ino);
            (file.content.is_owed() && whole, core.may_publish(ino))
        };
        if !whole {
            return Ok(());
        }
        if !may_publish {
            return self.hold_back(ino).await;
        }
        if self.rules.close == Close::Journaled && self.core().tree.file(ino)?.is_noted() {
            // Under its new name, a moment ago, perhaps by another thread: there is nothing to add. That it could not be
            // sent yet is told by close and fsync: the rename was made.
            self.journal.flush().await?;
            self.schedule(Errand::Publish(ino), Duration::ZERO);
            return Ok(());
        }
        self.answer(ino).await
    }
}
