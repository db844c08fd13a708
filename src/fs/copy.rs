//! Copies that Files.com makes of its own files, and their proof.

use std::time::{Duration, Instant};

use super::Filesystem;
use super::core::Core;
use super::job::Trouble;
use super::prove::warn_if_weak;
use crate::local::journal::Fact;
use crate::model::attributes::on_the_wire;
use crate::model::copied::{ETags, Original};
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::path::RemotePath;
use crate::model::policy::{Metadata, Verify};
use crate::model::proof::{Basis, Fingerprint};
use crate::model::receipt::Receipt;
use crate::remote::Copying;

/// A copy that was made and compared.
#[derive(Debug)]
pub(super) struct Copied {
    /// As Files.com describes it.
    entry: Entry,
    /// What the proof rests on.
    basis: Basis,
}

impl Filesystem {
    /// Copies a file on Files.com to a name that is free, and proves that the copy holds what the source
    /// held. It gets the attributes of `like`, a file or copy of it in the tree, where there is one. `doubtful`: it may have
    /// been made already.
    pub(super) async fn copy_there(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        original: &Original,
        like: Option<Ino>,
        doubtful: bool,
    ) -> Result<Copied, Trouble> {
        let there = if doubtful { self.remote.stat(to).await? } else { None };
        let (how, copy) = match there {
            Some(there) => (Copying::Perhaps, there),
            None => {
                let how = self.remote.copy(from, to).await?;
                // What may be somebody else's gets no attributes of ours.
                let like = like.filter(|_| matches!(how, Copying::Made));
                let copy = self.described(to, like).await?.ok_or_else(|| {
                    Trouble::Lost(Failure::new(libc::EIO, format!("{to} vanished right after it was made")))
                })?;
                (how, copy)
            }
        };
        let version = copy.fingerprint();
        match (how, self.prove_copy(from, to, original, copy).await) {
            (Copying::Made, Err(Trouble::Mismatch(failure))) => {
                tracing::warn!("{to} is not what {from} is: {failure}; the copy is deleted again");
                self.remote.delete(to, Some(&version)).await?;
                Err(Trouble::Mismatch(failure))
            }
            // No answer says that it is the copy, and nothing else does: it may be the only one of somebody's bytes.
            (Copying::Perhaps, Err(Trouble::Mismatch(_)) | Ok(Copied { basis: Basis::Size, .. })) => {
                Err(Trouble::Refused(Failure::new(
                    libc::EEXIST,
                    format!("somebody else has put something at {to}; rename or delete it there, then retry"),
                )))
            }
            (_, Err(trouble)) => Err(trouble),
            (_, Ok(copied)) => {
                self.core().proven(copied.basis);
                warn_if_weak(to, copied.basis);
                Ok(copied)
            }
        }
    }

    /// The copy as Files.com describes it, with its attributes, which the service may not have copied: the answer to
    /// these spares a question of its own. What is refused here is told where attributes are sent alone.
    async fn described(&self, to: &RemotePath, like: Option<Ino>) -> Result<Option<Entry>, Trouble> {
        let wanted = like.and_then(|like| {
            let core = self.core();
            let node = core.tree.node(like).ok()?;
            Some((on_the_wire(node.attributes.mtime), self.metadata(&core, node)))
        });
        if let Some((time, metadata)) = wanted {
            let metadata = (self.rules.metadata == Metadata::Full).then_some(&metadata);
            match self.remote.set_attributes(to, Some(time), metadata).await {
                Ok(entry) => return Ok(Some(entry)),
                Err(error) => tracing::debug!("attributes of {to} did not go with the copy: {error}"),
            }
        }
        Ok(self.remote.stat(to).await?)
    }

    async fn prove_copy(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        original: &Original,
        mut copy: Entry,
    ) -> Result<Copied, Trouble> {
        let strict = self.rules.verify == Verify::Strict;
        // There must be something to compare it with.
        let patience = if original.md5.is_some() || strict { self.patience() } else { Duration::ZERO };
        let mut etags = ETags::default();
        let mut basis = original.compare(&copy, &etags)?;
        if basis != Some(Basis::FileMd5)
            && let Some(later) = self.await_digest(to, &copy, patience).await?
        {
            copy = later;
            basis = original.compare(&copy, &etags)?;
        }
        if strict && basis != Some(Basis::FileMd5) {
            return Err(Trouble::Later(Failure::new(
                libc::EIO,
                "Files.com does not state the MD5 of both files, which verify=strict asks for",
            )));
        }
        if basis.is_none_or(Basis::is_weak) {
            etags.source = self.remote.object(from).await?.1;
            etags.copy = self.remote.object(to).await?.1;
            basis = original.compare(&copy, &etags)?;
        }
        let basis = basis.unwrap_or(Basis::Size);
        Ok(Copied { entry: copy, basis })
    }

    /// A copy was made by step `number` at `to`: what is to be copied from there, and was known as `original` so far, is the
    /// version now that the copy is.
    pub(super) fn copies_follow(
        &self,
        core: &mut Core,
        (number, to): (u64, &RemotePath),
        original: &Fingerprint,
        copied: &Copied,
    ) {
        let made = copied.entry.fingerprint();
        for (number, step) in core.backlog.copy_is_made(number, to, made) {
            let path = core.backlog.destiny(number, step.path());
            if let Some(file) = core.tree.at(&path).and_then(|ino| core.tree.file_mut(ino).ok())
                && file.published.is_some_and(|known| known.is_same_version(original))
            {
                file.published = Some(made);
            }
            self.journal.note(Fact::Planned(number, step));
        }
    }

    /// Files.com has made a copy of `original`: the tree knows it as the version that it is, with a receipt, and
    /// what it has of attributes.
    pub(super) fn copy_arrived(&self, core: &mut Core, ino: Ino, original: &Fingerprint, copied: &Copied) {
        let entry = &copied.entry;
        if let (Some(path), Some(md5)) = (core.tree.path(ino), original.md5) {
            self.receipts.give(Receipt {
                path,
                size: entry.size,
                md5,
                there: entry.md5.filter(|_| copied.basis == Basis::FileMd5),
                basis: copied.basis,
                created: entry.created,
                changed: entry.changed,
                uploaded: super::now(),
            });
        }
        let Ok(node) = core.tree.node_mut(ino) else { return };
        node.touched = Some(Instant::now());
        node.permissions = entry.permissions;
        let mtime = on_the_wire(node.attributes.mtime);
        if let Some(file) = node.file_mut()
            && file.published.is_some_and(|known| {
                // After a crash, what the mount knows may be the version of a copy that the original was.
                let is_clean = !file.content.is_owed() && known.size == entry.size;
                known.is_same_version(original) || is_clean
            })
        {
            file.published = Some(entry.fingerprint());
            file.proven = file.proven.or(original.md5).filter(|_| !copied.basis.is_weak());
            file.contradicted = None;
        }
        let wanted = core.tree.node(ino).map(|node| self.metadata(core, node));
        if entry.provided == Some(mtime) && wanted.is_ok_and(|wanted| wanted == entry.metadata) {
            self.attributes_arrived(core, ino);
        }
    }
}
