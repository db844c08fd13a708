//! Listings: the one source of names, and of names that are not there.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use super::complaints::About;
use super::core::{Core, Digests, Errand};
use super::{Attr, Filesystem, told, told_aloud};
use crate::local::journal::Fact;
use crate::model::attributes::Shape;
use crate::model::backlog::{Origin, Seen};
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::name::LONGEST_NAME;
use crate::model::path::RemotePath;
use crate::remote::{Deadline, Error, ErrorKind, is_out_of_reach};

/// What Files.com is asked for the listing of a folder.
struct Question {
    /// Where the tree has it.
    path: RemotePath,
    /// Where Files.com may have it.
    places: Vec<(u64, Origin)>,
    /// Nobody knows whether Files.com has it: where it has not, nothing is in it. One that is to be made may be there
    /// already, made by us or somebody else, and then it may hold something.
    perhaps: bool,
}

/// One line of a directory.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// Its number.
    pub ino: Ino,
    /// Its name.
    pub name: OsString,
    /// File, folder or link.
    pub shape: Shape,
}

impl Filesystem {
    /// Makes sure that the listing of `folder` is no older than the mount allows. One request serves
    /// all who ask at the same time.
    pub(super) async fn list(&self, folder: Ino) -> Result<(), Failure> {
        if self.core().is_fresh(folder, self.rules.dir_ttl, Instant::now())? {
            return Ok(());
        }
        let _turn = self.listings.take(folder).await?;
        if self.core().is_fresh(folder, self.rules.dir_ttl, Instant::now())? || self.only_known(folder)? {
            return Ok(());
        }
        self.list_anew(folder).await
    }

    /// Files.com cannot be reached, and the folder was listed before: nobody waits to find that out
    /// again.
    fn only_known(&self, folder: Ino) -> Result<bool, Failure> {
        Ok(!*self.reach.borrow() && self.is_listed(folder)?)
    }

    /// Asks for the listing of `folder` now, however new the last one is.
    pub(super) async fn list_anew(&self, folder: Ino) -> Result<(), Failure> {
        let kept = self.list_once(folder).await?;
        if self.wait_for_release(&kept).await {
            // What was listed counts for some of them now. Those who asked have a listing already.
            let _ = self.list_once(folder).await;
        }
        Ok(())
    }

    /// Tells the files that did not take the version that was listed, because they are open.
    async fn list_once(&self, folder: Ino) -> Result<Vec<Ino>, Failure> {
        let deadline = self.waits_until();
        loop {
            if self.shows_what_moves(folder).await? {
                return Ok(Vec::new());
            }
            let (question, ended, asked) = {
                let core = self.core();
                let path = core.tree.path(folder).ok_or(Failure::plain(libc::ENOENT))?;
                let places = core.backlog.places(&path);
                let perhaps = match places[0].1 {
                    Origin::MadeBy(step, _) => core.backlog.may_be_made(step),
                    Origin::There(_) => core.tree.folder(folder)?.perhaps,
                };
                (Question { path, places, perhaps }, core.backlog.ended(), Instant::now())
            };
            let path = &question.path;
            let mut looked = vec![path.clone()];
            let answer = match self.list_there(&question, ended, &mut looked).await {
                Ok(Some(entries)) => Ok(entries),
                Ok(None) => match self.doubt_ends(path, ended, deadline).await {
                    Ok(_) => continue,
                    Err(failure) => return self.shown_as_before(folder, path, failure),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match self.doubt_ends(path, ended, deadline).await {
                        Ok(true) => continue,
                        Ok(false) => Err(error),
                        Err(failure) => return self.shown_as_before(folder, path, failure),
                    }
                }
                // That it cannot be refreshed is not "gone".
                Err(error) if is_out_of_reach(error.kind()) => {
                    return self.shown_as_before(folder, path, told(&error));
                }
                Err(error) => Err(error),
            };
            let is_good = {
                let core = self.core();
                let now = core.tree.path(folder).ok_or(Failure::plain(libc::ENOENT))?;
                let has_changed =
                    |place| core.backlog.is_passing(place) || core.backlog.has_changed(place, ended);
                // Renamed meanwhile: the answer may be about another folder that has its old name now.
                now == *path && !looked.iter().any(has_changed)
            };
            if is_good {
                let entries = answer.map_err(|error| told_aloud(&error))?;
                return self.take_listing(folder, path, entries, asked);
            }
        }
    }

    /// Does Files.com show something of this folder under one of two names, which is being moved at this moment? True
    /// where the folder is shown as it was before meanwhile. Where nothing is known of it, waits for the move.
    async fn shows_what_moves(&self, folder: Ino) -> Result<bool, Failure> {
        Deadline::wait(self.what_moves_is_shown(folder), || self.shape.changed_last()).await?
    }

    async fn what_moves_is_shown(&self, folder: Ino) -> Result<bool, Failure> {
        loop {
            // Asked for before the look, so that no end is missed.
            let outcome = self.outcomes.notified();
            {
                let core = self.core();
                let path = core.tree.path(folder).ok_or(Failure::plain(libc::ENOENT))?;
                let origin = core.backlog.origin(&path);
                if ![&path, origin.path()].iter().any(|place| core.backlog.is_passing(place)) {
                    return Ok(false);
                }
                if core.tree.folder(folder)?.listed.is_some() {
                    return Ok(true);
                }
            }
            outcome.await;
        }
    }

    fn is_listed(&self, folder: Ino) -> Result<bool, Failure> {
        Ok(self.core().tree.folder(folder)?.listed.is_some())
    }

    /// The listing of the folder that is mounted, which was asked for before the mount came about.
    pub fn take_root_listing(&self, entries: Vec<Entry>, asked: Instant) -> Result<(), Failure> {
        self.take_listing(Ino::ROOT, &self.rules.folder, entries, asked).map(drop)
    }

    /// Lists the folder that is mounted, unless it is known. What fails fails again for who looks.
    pub async fn list_root(&self) {
        let _ = self.list(Ino::ROOT).await;
    }

    fn take_listing(
        &self,
        folder: Ino,
        path: &RemotePath,
        entries: Vec<Entry>,
        asked: Instant,
    ) -> Result<Vec<Ino>, Failure> {
        let mut changes = {
            let mut core = self.core();
            if entries.iter().any(|entry| entry.md5.is_some()) {
                core.habits.digests = Digests::Stated;
            }
            let mut changes = core.tree.merge(folder, entries, asked)?;
            for ino in changes.contradicted.drain(..) {
                core.is_contradicted(ino);
                self.errands.notify_one();
            }
            for ino in changes.unsent.drain(..) {
                core.queue.forget(Errand::Publish(ino));
                core.queue.schedule(Errand::Attributes(ino), Instant::now());
                self.errands.notify_one();
                self.journal.note_all(self.entry_fact(&core, ino).map(Fact::Entry).into_iter().collect());
            }
            for path in changes.unowed.drain(..) {
                self.journal.note(Fact::EntrySettled(core.told(path)));
            }
            for (ino, before) in &changes.renamed {
                let told = core.path_told(folder).unwrap_or_else(|| path.clone());
                let mut facts = vec![Fact::EntrySettled(told.join(before))];
                facts.extend(self.facts_of(&core, *ino));
                self.journal.note_all(facts);
            }
            changes
        };
        for name in &changes.hidden {
            tracing::warn!("{path} has an entry that no folder of Linux can hold, it is not shown: {name:?}");
        }
        for name in &changes.unknown {
            tracing::warn!(
                "{path} has an entry that this version does not understand, it is left alone: {name:?}"
            );
        }
        let kept = std::mem::take(&mut changes.kept);
        self.spread(changes);
        Ok(kept)
    }

    /// What a folder holds once all steps are taken, whatever Files.com lists now. `None` when something is at none of its
    /// `places` at this moment, and may be on its way. `looked` takes the places that were looked at.
    async fn list_there(
        &self,
        question: &Question,
        ended: u64,
        looked: &mut Vec<RemotePath>,
    ) -> Result<Option<Vec<Entry>>, Error> {
        let mut listed = Err(None);
        for (from, place) in &question.places {
            let answer = match place {
                // Files.com has not been asked to make it yet.
                Origin::MadeBy(..) if !question.perhaps => Ok(Vec::new()),
                Origin::There(there) | Origin::MadeBy(_, there) => self.remote.list(there).await,
            };
            looked.push(place.path().clone());
            match answer {
                Ok(entries) => {
                    listed = Ok((from, place, entries));
                    break;
                }
                // A move that nobody has noted yet may have been made.
                Err(error) if error.kind() == ErrorKind::NotFound => listed = Err(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let (from, place, listed) = match listed {
            Ok(listed) => listed,
            // At none of its places. Where it may never have been, that is an answer, unless it is on its way.
            Err(Some(_)) if question.perhaps => match &question.places[0] {
                (_, Origin::There(_)) if self.may_be_on_its_way(&question.path, ended) => return Ok(None),
                (from, place) => (from, place, Vec::new()),
            },
            Err(Some(error)) => return Err(error),
            Err(None) => return Ok(None),
        };
        let seen = {
            let core = self.core();
            if core.backlog.is_empty() {
                return Ok(Some(listed));
            }
            core.backlog.replay(*from, place, listed)
        };
        let mut entries = Vec::with_capacity(seen.len());
        for seen in seen {
            match seen {
                Seen::Listed(entry) => entries.push(entry),
                Seen::Made(name) => entries.push(Entry::folder(name)),
                Seen::Elsewhere { places, name, listed } => {
                    let found = self.find_among(&places).await?;
                    looked.extend(places);
                    match found.map(|entry| Entry { name: name.clone(), ..entry }).or(listed) {
                        Some(entry) => entries.push(entry),
                        None if self.may_be_on_its_way(&question.path.join(&name), ended) => return Ok(None),
                        // Somebody else took it away.
                        None => {}
                    }
                }
            }
        }
        Ok(Some(entries))
    }

    /// The first of these places at which Files.com has something. They are in the order in which it moves: what moves
    /// meanwhile is found further on.
    async fn find_among(&self, places: &[RemotePath]) -> Result<Option<Entry>, Error> {
        for place in places {
            if let Some(entry) = self.remote.stat(place).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Does it not mean that something is gone when it is at none of the places from which steps bring it to `path`?
    fn may_be_on_its_way(&self, path: &RemotePath, ended: u64) -> bool {
        let core = self.core();
        core.backlog.under_way() > 0 || core.backlog.ended() != ended || core.backlog.is_in_doubt(path)
    }

    /// What is known of a folder stays readable; where nothing is, there is no answer.
    fn shown_as_before(&self, folder: Ino, path: &RemotePath, why: Failure) -> Result<Vec<Ino>, Failure> {
        if !self.is_listed(folder)? {
            if self.complaints.is_told(About::Folders, &why) {
                tracing::warn!("{path} cannot be shown: {why}");
            }
            return Err(why);
        }
        if self.complaints.is_told(About::Folders, &why) {
            tracing::warn!("{path} is shown as it was before: {why}");
        }
        Ok(Vec::new())
    }

    /// What `name` in `parent` is, if that can be told without asking Files.com; counts as a look-up
    /// of the kernel when it is there.
    pub fn lookup_now(&self, parent: Ino, name: &OsStr) -> Option<Result<Attr, Failure>> {
        let mut core = self.core();
        if core.is_expected(parent) {
            return None;
        }
        match core.is_fresh(parent, self.rules.dir_ttl, Instant::now()) {
            Ok(true) => Some(self.find(&mut core, parent, name)),
            Ok(false) => None,
            Err(failure) => Some(Err(failure)),
        }
    }

    /// The same, after asking.
    pub async fn lookup(self: &Arc<Self>, parent: Ino, name: &OsStr) -> Result<Attr, Failure> {
        self.may_walk_by_names(parent);
        self.look_ahead(parent);
        self.list(parent).await?;
        self.find(&mut self.core(), parent, name)
    }

    fn find(&self, core: &mut Core, parent: Ino, name: &OsStr) -> Result<Attr, Failure> {
        if name.len() > LONGEST_NAME {
            // The kernel itself draws the line far later.
            return Err(Failure::plain(libc::ENAMETOOLONG));
        }
        let Some(ino) = core.tree.child(parent, name) else {
            let failure = core.tree.not_found(parent, name);
            if failure.errno != libc::ENOENT
                && let Ok(folder) = core.tree.folder_mut(parent)
            {
                // It may be described better to the next who asks.
                folder.grow_stale(Instant::now(), self.rules.dir_ttl);
            }
            return Err(failure);
        };
        core.tree.look_up(ino)?;
        self.attr_of(core, ino)
    }

    /// The entries of a folder, as one snapshot for one reader.
    pub async fn read_dir(self: &Arc<Self>, folder: Ino) -> Result<Arc<Vec<DirEntry>>, Failure> {
        self.may_walk_by_names(folder);
        self.look_ahead(folder);
        self.list(folder).await?;
        let entries = self.entries(folder)?;
        let below = entries.iter().skip(2).filter(|entry| entry.shape == Shape::Folder);
        self.may_be_walked(folder, below.map(|entry| entry.ino).collect());
        Ok(Arc::new(entries))
    }

    fn entries(&self, folder: Ino) -> Result<Vec<DirEntry>, Failure> {
        let core = self.core();
        let parent = core.tree.node(folder)?.parent.unwrap_or(Ino::ROOT);
        let known = core.tree.folder(folder)?;
        let entries = known.entries.iter().map(|(name, ino)| {
            let shape = core.tree.node(*ino).map_or(Shape::File, |node| node.shape());
            DirEntry { ino: *ino, name: name.to_os_string(), shape }
        });
        let dots = [(folder, "."), (parent, "..")];
        let dots = dots.map(|(ino, name)| DirEntry { ino, name: name.into(), shape: Shape::Folder });
        Ok(dots.into_iter().chain(entries).collect())
    }

    /// The attributes that go with a line of a directory; counts as a look-up of the kernel.
    pub fn look_at(&self, ino: Ino) -> Result<Attr, Failure> {
        let mut core = self.core();
        core.tree.look_up(ino)?;
        self.attr_of(&core, ino)
    }

    /// What the kernel has forgotten and is asked for by its number, by an NFS server: `.` of a file or folder is that
    /// itself, and `..` the folder that it is in. `None` for names; counts as a look-up.
    pub fn lookup_dots(&self, ino: Ino, name: &OsStr) -> Option<Result<Attr, Failure>> {
        match name.to_str() {
            Some(".") => Some(self.look_at(ino)),
            Some("..") => {
                let parent = self.core().tree.node(ino).map(|node| node.parent.unwrap_or(Ino::ROOT));
                Some(parent.and_then(|parent| self.look_at(parent)))
            }
            _ => None,
        }
    }

    /// The kernel dropped `count` of its look-ups.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut core = self.core();
        core.tree.forget(ino, count);
        let gone = core.tree.reap(ino).and_then(|node| node.file().and_then(|file| file.local.id()));
        drop(core);
        if let Some(id) = gone {
            self.drop_content(id);
        }
    }
}
