//! link(2), where it is asked for: Files.com has one name for a file, so the second one is a copy of its own.

use std::ffi::OsStr;
use std::time::Instant;

use super::core::{Core, Errand};
use super::make::{no_file_is_left, room_for, touch};
use super::{Attr, Close, Filesystem, on_disk};
use crate::local::holes;
use crate::local::journal::Fact;
use crate::model::attributes::Attributes;
use crate::model::backlog::Step;
use crate::model::content::State;
use crate::model::copied::Original;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::node::{Body, File};
use crate::model::path::RemotePath;
use crate::model::policy::HardLinks;
use crate::model::proof::Fingerprint;

/// A copy that Files.com can make.
struct Plan {
    from: RemotePath,
    to: RemotePath,
    remote: String,
    /// The source, with all that is known of its bytes.
    version: Fingerprint,
    /// Until it is made, the copy is the version that the source is.
    file: File,
}

impl Filesystem {
    /// link(2): `name` in `parent` has the bytes and attributes that `ino` has now. Answers as a close does.
    /// What Files.com holds is copied there; what it does not, is uploaded once more.
    pub async fn link(
        self: &std::sync::Arc<Self>,
        ino: Ino,
        parent: Ino,
        name: &OsStr,
    ) -> Result<Attr, Failure> {
        self.may_change()?;
        if self.rules.hard_links == HardLinks::Refuse {
            return Err(Failure::plain(libc::EPERM));
        }
        let attributes = {
            let core = self.core();
            let node = core.tree.node(ino)?;
            if node.is_folder() {
                return Err(Failure::plain(libc::EPERM));
            }
            node.link.is_some().then_some(node.attributes)
        };
        if let Some(attributes) = attributes {
            let target = self.read_link(ino).await?;
            return self.make_link(parent, name, &target, attributes).await;
        }
        self.list(parent).await?;
        let made = match self.rules.close {
            Close::Verified => self.copy_now(ino, parent, name).await?,
            Close::Journaled => self.copy_later(ino, parent, name).await?,
        };
        match made {
            Some(made) => self.look_at(made),
            None => self.upload_again(ino, parent, name).await,
        }
    }

    /// A copy that Files.com can make of what it holds; `None` when it holds something else than the mount
    /// shows, or has no folder to put it.
    fn plan_copy(
        &self,
        core: &mut Core,
        ino: Ino,
        parent: Ino,
        name: &OsStr,
    ) -> Result<Option<Plan>, Failure> {
        if core.tree.child(parent, name).is_some() {
            return Err(Failure::plain(libc::EEXIST));
        }
        let remote = room_for(core, parent, name)?;
        no_file_is_left(core, parent, &remote)?;
        let from = core.tree.path(ino).ok_or(Failure::plain(libc::ENOENT))?;
        let file = core.tree.file(ino)?;
        let is_clean = *file.content.state() == State::Clean && !file.gone;
        let (published, proven) = (file.published.filter(|_| is_clean), file.proven);
        let folder = core.tree.path(parent).filter(|_| core.may_hold_published(parent));
        Ok(published.zip(folder).map(|(published, folder)| {
            let to = folder.join(&remote);
            let version = Fingerprint { md5: published.md5.or(proven), ..published };
            let mut file = File::listed(published);
            if proven.is_some() {
                file.proven = proven;
            }
            Plan { from, to, remote, version, file }
        }))
    }

    async fn copy_now(&self, ino: Ino, parent: Ino, name: &OsStr) -> Result<Option<Ino>, Failure> {
        let Some(plan) = self.plan_copy(&mut self.core(), ino, parent, name)? else { return Ok(None) };
        self.until_clear(&[&plan.from, &plan.to]).await?;
        let _naming = self.naming.take(ino).await?;
        let _shape = self.paths_stay(&[ino, parent]).await?;
        let Some(plan) = self.plan_copy(&mut self.core(), ino, parent, name)? else { return Ok(None) };
        let original = Original::from(plan.version);
        let _making = self.making(parent, name)?;
        let copied = match self.copy_there(&plan.from, &plan.to, &original, Some(ino), false).await {
            Ok(copied) => copied,
            Err(trouble) => return Err(trouble.ending().why().clone()),
        };
        let made = {
            let mut core = self.core();
            let (made, facts) = self.insert_copy(&mut core, ino, parent, name, &plan)?;
            self.journal.note_all(facts);
            self.copy_arrived(&mut core, made, &plan.version, &copied);
            made
        };
        self.journal.flush().await?;
        Ok(Some(made))
    }

    async fn copy_later(&self, ino: Ino, parent: Ino, name: &OsStr) -> Result<Option<Ino>, Failure> {
        let made = {
            let _naming = self.naming.take(ino).await?;
            let _shape = self.paths_stay(&[ino, parent]).await?;
            let mut core = self.core();
            let Some(plan) = self.plan_copy(&mut core, ino, parent, name)? else { return Ok(None) };
            let (made, facts) = self.insert_copy(&mut core, ino, parent, name, &plan)?;
            let Plan { from, to, version, .. } = plan;
            let step = self.put_off(&mut core, Step::Copy { from, to, version });
            // Noted under the lock, so that facts are written in the order in which they became true.
            self.journal.note_all([step].into_iter().chain(facts).collect());
            made
        };
        self.journal.flush().await?;
        Ok(Some(made))
    }

    /// The copy in the tree, with what the journal must know of it: it has the source's attributes, which
    /// Files.com may not copy.
    fn insert_copy(
        &self,
        core: &mut Core,
        ino: Ino,
        parent: Ino,
        name: &OsStr,
        plan: &Plan,
    ) -> Result<(Ino, Vec<Fact>), Failure> {
        let source = core.tree.node(ino)?;
        let (attributes, xattrs, foreign) =
            (source.attributes, source.xattrs.clone(), source.foreign.clone());
        let body = Body::File(plan.file.clone());
        let made = core.tree.insert(parent, name.to_owned(), plan.remote.clone(), attributes, body)?;
        touch(core, parent, made)?;
        let node = core.tree.node_mut(made)?;
        (node.xattrs, node.foreign, node.attributes_owed) = (xattrs, foreign, true);
        core.queue.schedule(Errand::Attributes(made), Instant::now());
        self.errands.notify_one();
        Ok((made, self.facts_of(core, made).collect()))
    }

    /// The bytes as they are here, as a file of its own.
    async fn upload_again(&self, ino: Ino, parent: Ino, name: &OsStr) -> Result<Attr, Failure> {
        // Open for as long as it takes: what is not open may leave the cache.
        let handle = self.open(ino, false, false, 0)?;
        let copied = self.copy_here(ino).await;
        self.release(handle);
        let (id, size) = copied?;
        match self.insert_again(ino, parent, name, File::created(id, false), size) {
            Ok(made) => self.publish_new(made).await,
            Err(failure) => {
                self.store.remove(id);
                Err(failure)
            }
        }
    }

    async fn copy_here(&self, ino: Ino) -> Result<(ContentId, u64), Failure> {
        let room = self.taken_here(&self.core(), ino)?;
        let _promise = self.room_for(ino, room).await?;
        let source = self.fetch_whole(ino).await?;
        let (store, id) = (self.store.clone(), self.store.create()?);
        let copied = on_disk(move || {
            let to = store.file(id)?;
            let copied = holes::copy(&*store.file(source)?, &to);
            store.measure(id, &to);
            copied
        })
        .await;
        if copied.is_err() {
            self.store.remove(id);
        }
        Ok((id, copied?))
    }

    fn insert_again(
        &self,
        ino: Ino,
        parent: Ino,
        name: &OsStr,
        mut file: File,
        size: u64,
    ) -> Result<Ino, Failure> {
        let mut core = self.core();
        if core.tree.child(parent, name).is_some() {
            return Err(Failure::plain(libc::EEXIST));
        }
        let remote = room_for(&mut core, parent, name)?;
        (file.size, file.temporary) = (size, self.rules.temporary.matches_link(name));
        file.content.close();
        let source = core.tree.node(ino)?;
        let (attributes, xattrs): (Attributes, _) = (source.attributes, source.xattrs.clone());
        let made = core.tree.insert(parent, name.to_owned(), remote, attributes, Body::File(file))?;
        core.tree.node_mut(made)?.xattrs = xattrs;
        touch(&mut core, parent, made)?;
        Ok(made)
    }
}
