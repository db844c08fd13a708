//! What an earlier mount left behind: owed again, or set aside. Nothing is deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Filesystem;
use super::core::Errand;
use crate::local::failpoint;
use crate::local::journal::{Fact, Owed};
use crate::model::attributes::Shape;
use crate::model::content::Content;
use crate::model::failure::Failure;
use crate::model::ino::{ContentId, Ino};
use crate::model::name;
use crate::model::node::{Body, File, Folder, Link, Local};

/// What the journal says against what the spool holds: decided before anything is touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole and owed: published again.
    pub owed: Vec<Owed>,
    /// In the spool, but no fact says what they are.
    pub unknown: Vec<ContentId>,
    /// Facts whose bytes are missing.
    pub broken: Vec<Owed>,
}

impl Recovery {
    /// Decides what becomes of each file in the spool.
    pub fn plan(facts: Vec<Owed>, mut spool: BTreeMap<ContentId, u64>) -> Self {
        let mut plan = Self::default();
        for fact in facts {
            match spool.remove(&fact.id) {
                // Written on after the fsync that the fact is of: as after any crash, the file is what
                // the disk has.
                Some(size) => plan.owed.push(Owed { size, ..fact }),
                None => plan.broken.push(fact),
            }
        }
        plan.unknown.extend(spool.into_keys());
        plan
    }
}

impl Filesystem {
    /// Carries a recovery out: what is owed is published in the background, what is not understood is
    /// set aside and named in the log.
    pub async fn recover(&self, plan: Recovery) -> Result<(), Failure> {
        failpoint::reach("recover.planned");
        for id in plan.unknown {
            let aside = self.store.set_aside(id)?;
            failpoint::reach("recover.aside");
            tracing::warn!(
                "an earlier mount ended before this file was complete; it is kept at {}",
                aside.display()
            );
        }
        for fact in plan.broken {
            tracing::error!(
                "the journal says that {} ({} bytes) is owed, but its bytes are not in the spool",
                fact.path,
                fact.size
            );
            self.journal.note(Fact::Settled(fact.id));
        }
        let count = plan.owed.len();
        for owed in plan.owed {
            let path = owed.path.clone();
            failpoint::reach("recover.taken-up");
            if let Err(failure) = self.take_up(owed).await {
                tracing::error!(
                    "{path} is owed and could not be taken up yet: {failure}; it stays in the spool"
                );
            }
        }
        if count > 0 {
            tracing::info!("{count} files of an earlier mount are owed and are being published");
        }
        Ok(())
    }

    /// Puts one owed file back into the tree, under the path that the journal knows.
    async fn take_up(&self, owed: Owed) -> Result<(), Failure> {
        let root = self.path(Ino::ROOT)?;
        let below: Vec<String> = owed
            .path
            .as_str()
            .strip_prefix(root.as_str())
            .map(|rest| rest.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default();
        let Some((name, folders)) = below.split_last() else {
            return Err(Failure::new(libc::EINVAL, "it belongs outside the folder that is mounted now"));
        };
        let mut at = Ino::ROOT;
        for folder in folders {
            self.list(at).await?;
            at = self.folder_for(at, folder)?;
        }
        self.list(at).await?;
        let mut core = self.core();
        let local = name::from_remote(name).ok_or(Failure::plain(libc::EINVAL))?;
        let known = core.tree.child(at, &local);
        let published = known.and_then(|ino| core.tree.file(ino).ok()?.published);
        if let Some(old) = known {
            core.tree.detach(old);
            core.tree.reap(old);
        }
        let file = File {
            size: owed.size,
            content: Content::recovered(),
            local: Local::Spooled(owed.id),
            published,
            ..File::created(owed.id, false)
        };
        let ino = core.tree.insert(at, local, name.clone(), owed.attributes, Body::File(file))?;
        let node = core.tree.node_mut(ino)?;
        node.touched = Some(std::time::Instant::now());
        node.link = owed.is_link.then_some(Link::InContent);
        drop(core);
        self.schedule(Errand::Publish(ino), Duration::ZERO);
        Ok(())
    }

    fn folder_for(&self, parent: Ino, remote: &str) -> Result<Ino, Failure> {
        let name = name::from_remote(remote).ok_or(Failure::plain(libc::EINVAL))?;
        let mut core = self.core();
        if let Some(known) = core.tree.child(parent, &name) {
            return Ok(known);
        }
        // It is gone there, or never came: the upload makes it again.
        let attributes = core.tree.defaults.new_entry(Shape::Folder, super::now());
        let body = Body::Folder(Folder::default());
        let ino = core.tree.insert(parent, name, remote.to_owned(), attributes, body)?;
        core.tree.node_mut(ino)?.touched = Some(std::time::Instant::now());
        Ok(ino)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attributes::Attributes;
    use crate::model::moment::Moment;
    use crate::model::path::RemotePath;

    fn fact(id: u64, size: u64) -> Owed {
        let attributes =
            Attributes { mode: 0o644, uid: 0, gid: 0, mtime: Moment::default(), ctime: Moment::default() };
        Owed { id: ContentId(id), path: RemotePath::parse("f").unwrap(), size, attributes, is_link: false }
    }

    #[test]
    fn everything_in_the_spool_is_owed_or_set_aside() {
        let spool = BTreeMap::from([(ContentId(1), 10), (ContentId(2), 3), (ContentId(9), 7)]);
        let plan = Recovery::plan(vec![fact(1, 10), fact(2, 20), fact(3, 5)], spool);
        assert_eq!(plan.owed, [fact(1, 10), fact(2, 3)], "with the sizes that the disk has");
        assert_eq!(plan.unknown, [ContentId(9)]);
        assert_eq!(plan.broken, [fact(3, 5)]);
    }
}
