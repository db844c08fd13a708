//! Files of which Files.com states another digest than was proven when they were sent: what it acknowledged was damaged
//! since. It is told, counted, and sent again while the bytes are here; else a person is told which file it is.

use std::time::Duration;

use super::core::{Core, Digests, Errand};
use super::{Filesystem, on_disk};
use crate::model::content::State;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::moment::Moment;
use crate::model::node::Local;
use crate::model::proof::{Contradiction, Fingerprint};

/// How long a site that states digests may take for one, and how long it is found out whether it does.
const PATIENCE: Duration = Duration::from_secs(10);
const CURIOSITY: Duration = Duration::from_secs(2);
/// A digest that did not come within this time after the upload is not coming.
const LATE: i64 = 600;

impl Core {
    /// Files that stand contradicted, and why. What was written since is another matter.
    pub fn contradicted(&self) -> impl Iterator<Item = (Ino, &Contradiction)> {
        self.contradicted.iter().filter_map(|ino| {
            let file = self.tree.file(*ino).ok()?;
            let is_clean = *file.content.state() == State::Clean;
            Some((*ino, file.contradicted.as_deref().filter(|_| is_clean)?))
        })
    }

    /// The version that Files.com has of `ino` is stated as `version`. Tells and plans what follows, where that
    /// contradicts what was proven of it. True where that is so.
    pub fn compare_with_proof(&mut self, ino: Ino, version: &Fingerprint) -> bool {
        let Ok(file) = self.tree.file_mut(ino) else { return false };
        if file.is_contradicted_by(version) {
            self.is_contradicted(ino);
        }
        self.tree.file(ino).is_ok_and(|file| file.contradicted.is_some())
    }

    /// The tree found that `ino` is contradicted, and nobody was told yet.
    pub fn is_contradicted(&mut self, ino: Ino) {
        let Ok(file) = self.tree.file(ino) else { return };
        let (Some(why), Some(path)) = (&file.contradicted, self.tree.path(ino)) else { return };
        let next = match is_whole_here(&file.local) {
            true => "it is sent again",
            false => "nothing of it is here: write it again from its source",
        };
        tracing::error!("{path}: {why}; {next}");
        self.contradicted.retain(|ino| self.tree.file(*ino).is_ok_and(|file| file.contradicted.is_some()));
        if self.contradicted.insert(ino) {
            self.counts.contradicted += 1;
        }
        self.queue.schedule(Errand::Publish(ino), std::time::Instant::now());
    }
}

fn is_whole_here(local: &Local) -> bool {
    matches!(local, Local::Cached(_, here) if here.is_whole())
}

impl Filesystem {
    /// A file that is contradicted becomes owed again, if its bytes are here and are those that were proven. For whoever
    /// has the turn to publish it.
    ///
    /// When it is dropped, the file is owed already or as it was.
    pub(super) async fn owe_again(&self, ino: Ino) -> Result<(), Failure> {
        let Some((id, size)) = self.contradicted_bytes(ino) else { return Ok(()) };
        let digest = self.checks.finish(id, self.store.file(id)?, size).await?;
        if self.core().tree.file(ino)?.proven != Some(digest.md5) {
            tracing::error!("the bytes of {} are damaged in the cache folder, too", self.path(ino)?);
            return Ok(());
        }
        let store = self.store.clone();
        on_disk(move || store.to_spool(id)).await?;
        {
            let mut core = self.core();
            let file = core.tree.file_mut(ino)?;
            if file.local.id() != Some(id) {
                // Emptied or dropped meanwhile, by somebody who lets go of these bytes.
                return Ok(());
            }
            file.local = Local::Spooled(id);
            file.blocks = Default::default();
            let writing = file.content.begin_write();
            file.content.end_write(writing);
            file.content.close();
            core.cached.remove(ino);
        }
        self.make_durable(ino).await
    }

    fn contradicted_bytes(&self, ino: Ino) -> Option<(ContentId, u64)> {
        let core = self.core();
        let file = core.tree.file(ino).ok()?;
        let is_wanted = file.contradicted.is_some()
            && *file.content.state() == State::Clean
            && is_whole_here(&file.local)
            && core.tree.node(ino).is_ok_and(|node| node.parent.is_some());
        file.local.id().filter(|_| is_wanted).map(|id| (id, file.size))
    }

    /// Those files of a folder that are contradicted and can be sent again are owed from here on.
    pub(super) async fn owe_contradicted(&self, folder: Ino) -> Result<(), Failure> {
        let found: Vec<Ino> = {
            let core = self.core();
            let inside = |ino: &Ino| core.tree.node(*ino).is_ok_and(|node| node.parent == Some(folder));
            core.contradicted().map(|(ino, _)| ino).filter(inside).collect()
        };
        for ino in found {
            let _turn = self.publishing.take(ino).await?;
            self.owe_again(ino).await?;
        }
        Ok(())
    }

    /// Lists `folder` until Files.com states digests of the files in it that were proven here a short while ago, where
    /// it states any: only then can one contradict.
    pub(super) async fn await_stated(&self, folder: Ino) -> Result<(), Failure> {
        let (mut waited, mut pause) = (Duration::ZERO, Duration::from_millis(100));
        loop {
            let limit = match self.core().habits.digests {
                Digests::Absent => return Ok(()),
                Digests::Stated => PATIENCE,
                Digests::Unknown => CURIOSITY,
            };
            if !self.waits_for_digests(folder).await? {
                return Ok(());
            }
            if waited >= limit {
                let mut core = self.core();
                if core.habits.digests == Digests::Unknown {
                    core.habits.digests = Digests::Absent;
                }
                return Ok(());
            }
            // What was completed a moment ago is known from its completion; a listing shows what came since.
            self.list_anew(folder).await?;
            if self.waits_for_digests(folder).await? {
                tokio::time::sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }

    async fn waits_for_digests(&self, folder: Ino) -> Result<bool, Failure> {
        let receipts = self.receipts.in_folder(&self.path(folder)?).await?;
        let now: Moment = super::now();
        let recent: std::collections::HashSet<_> = receipts
            .into_iter()
            .filter(|receipt| now.seconds - receipt.uploaded.seconds < LATE)
            .map(|receipt| receipt.path.name().to_owned())
            .collect();
        let core = self.core();
        let entries = core.tree.folder(folder)?.entries.values();
        Ok(entries.filter_map(|ino| core.tree.node(*ino).ok()).any(|node| {
            let is_without = |file: &crate::model::node::File| {
                *file.content.state() == State::Clean
                    && file.published.is_some_and(|version| version.md5.is_none() && version.crc32.is_none())
            };
            node.file().is_some_and(is_without) && recent.contains(node.remote())
        }))
    }
}
