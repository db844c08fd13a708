//! What an ended mount left in its folders: a look that changes nothing, and the plan that follows.
//!
//! The mount and `filescomfs recover` make the same plan; the mount carries all of it out.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;
use super::journal::{Facts, Owed, OwedEntry};
use super::store::{self, Left};
use crate::model::backlog::Step;
use crate::model::ino::ContentId;
use crate::model::resume::Begun;

/// What the journal says against what the disk holds: decided before anything is touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Changes of names that are made on Files.com in this order, before what is sent to their paths.
    pub steps: Vec<(u64, Step)>,
    /// Folders and attributes that Files.com is told of again.
    pub entries: Vec<OwedEntry>,
    /// Whole and owed: published again.
    pub owed: Vec<Owed>,
    /// Uploads of what is owed that go on where they were.
    pub uploads: HashMap<ContentId, Begun>,
    /// Uploads of what is owed no more: forgotten.
    pub abandoned: Vec<ContentId>,
    /// In the spool, but no fact says what they are: set aside.
    pub unknown: Vec<ContentId>,
    /// In the spool, empty, and no fact says what for: made in advance. The mount removes them.
    pub unused: Vec<ContentId>,
    /// Facts whose bytes are missing: told.
    pub broken: Vec<Owed>,
    /// Facts of bytes that were proven when the mount ended, and had left the spool: forgotten.
    pub proven: Vec<ContentId>,
    /// In the cache of the mount that ended: let go, once no fact speaks of them any more.
    pub cached: HashSet<ContentId>,
}

impl Recovery {
    /// Decides what becomes of each fact, and of each file in the spool.
    pub fn plan(facts: Facts, mut left: Left) -> Self {
        let Facts { steps, entries, uploads, owed, place } = facts;
        let mut plan = Self { steps, entries, ..Self::default() };
        for fact in owed {
            match left.spooled.remove(&fact.id) {
                // Written on after the fsync that the fact is of: as after any crash, the file is what
                // the disk has.
                Some(size) => plan.owed.push(Owed { size, ..fact }),
                None if left.cached.contains(&fact.id) => plan.proven.push(fact.id),
                None => plan.broken.push(fact),
            }
        }
        let owed: HashSet<ContentId> = plan.owed.iter().map(|owed| owed.id).collect();
        let (going, abandoned) = uploads.into_iter().partition(|(id, _)| owed.contains(id));
        plan.uploads = going;
        plan.abandoned = in_order(HashMap::into_keys(abandoned));
        for id in in_order(left.spooled.keys().copied()) {
            let size = left.spooled[&id];
            // A journal that was begun anew tells nothing of what was owed before, and that may be empty.
            let is_unused = size == 0 && place.is_some();
            if is_unused { &mut plan.unused } else { &mut plan.unknown }.push(id);
        }
        plan.cached = left.cached;
        plan
    }
}

/// By number, for those who read of them; it says nothing of their age.
fn in_order(ids: impl Iterator<Item = ContentId>) -> Vec<ContentId> {
    let mut ids: Vec<ContentId> = ids.collect();
    ids.sort_by_key(|id| id.0);
    ids
}

/// What is in the spool of `state_dir`, and in the cache where it is known.
pub fn survey(state_dir: &Path, cache_dir: Option<&Path>) -> io::Result<Left> {
    let mut left = Left::default();
    let spooled = store::numbered(&state_dir.join("spool"))?;
    left.spooled.extend(spooled.into_iter().map(|(id, metadata)| (id, metadata.len())));
    if let Some(cache_dir) = cache_dir {
        left.cached.extend(store::numbered(&cache_dir.join("content"))?.into_keys());
    }
    Ok(left)
}

/// The file of the spool with these bytes.
pub fn spooled(state_dir: &Path, id: ContentId) -> PathBuf {
    store::place(&state_dir.join("spool"), id)
}

/// Sets a spooled file aside that nothing is known of, and says where it is now.
pub fn set_aside(state_dir: &Path, id: ContentId) -> io::Result<PathBuf> {
    let quarantine = state_dir.join("quarantine");
    durable::make_private_folder(&quarantine)?;
    store::move_aside(&state_dir.join("spool"), &quarantine, id)
}

/// What was set aside by earlier mounts.
pub fn quarantined(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(state_dir.join("quarantine")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::journal::{Place, There};
    use crate::model::attributes::Attributes;
    use crate::model::moment::Moment;
    use crate::model::path::RemotePath;

    fn place() -> Place {
        Place { site: "https://example.files.com".into(), folder: RemotePath::parse("f").unwrap() }
    }

    fn fact(id: u64, size: u64) -> Owed {
        let attributes =
            Attributes { mode: 0o644, uid: 0, gid: 0, mtime: Moment::default(), ctime: Moment::default() };
        let (id, path) = (ContentId(id), RemotePath::parse("f").unwrap());
        Owed { id, path, size, attributes, xattrs: Default::default(), is_link: false, there: There::Nothing }
    }

    #[test]
    fn everything_in_the_spool_is_owed_or_set_aside() {
        let spooled =
            HashMap::from([(ContentId(1), 10), (ContentId(2), 3), (ContentId(8), 0), (ContentId(9), 7)]);
        let left = Left { spooled, cached: HashSet::from([ContentId(4), ContentId(5)]) };
        let owed = vec![fact(1, 10), fact(2, 20), fact(3, 5), fact(4, 5)];
        let begun = |reference: &str| Begun {
            reference: reference.into(),
            size: 10,
            part_size: 5,
            parallel: true,
            written: Moment::default(),
            parts: std::collections::BTreeMap::new(),
            completing: None,
        };
        let uploads = HashMap::from([
            (ContentId(1), begun("a")),
            (ContentId(4), begun("b")),
            (ContentId(9), begun("c")),
        ]);
        let plan = Recovery::plan(Facts { owed, uploads, place: Some(place()), ..Facts::default() }, left);
        assert_eq!(plan.uploads, HashMap::from([(ContentId(1), begun("a"))]));
        assert_eq!(plan.abandoned, [ContentId(4), ContentId(9)]);
        assert_eq!(plan.owed, [fact(1, 10), fact(2, 3)], "with the sizes that the disk has");
        assert_eq!((plan.unknown, plan.unused), (vec![ContentId(9)], vec![ContentId(8)]));
        assert_eq!(plan.broken, [fact(3, 5)]);
        assert_eq!(plan.proven, [ContentId(4)]);
        assert_eq!(plan.cached, HashSet::from([ContentId(4), ContentId(5)]));
    }

    #[test]
    fn beside_a_journal_that_was_begun_anew_nothing_is_unused() {
        let spooled = HashMap::from([(ContentId(1), 10), (ContentId(2), 0)]);
        let left = Left { spooled, cached: HashSet::new() };
        let plan = Recovery::plan(Facts::default(), left);
        assert_eq!((plan.unknown, plan.unused), (vec![ContentId(1), ContentId(2)], vec![]));
    }

    #[test]
    fn a_look_at_a_state_folder_changes_nothing_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (state, cache) = (dir.path().join("state"), dir.path().join("cache"));
        for (folder, name) in
            [(state.join("spool"), "0000000000000001"), (cache.join("content"), "000000000000000a")]
        {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), "12345").unwrap();
        }
        let left = survey(&state, Some(&cache)).unwrap();
        assert_eq!(left.spooled, HashMap::from([(ContentId(1), 5)]));
        assert_eq!(left.cached, HashSet::from([ContentId(10)]));
        assert!(survey(&state, None).unwrap().cached.is_empty());
        assert_eq!(survey(&state, Some(&cache)).unwrap(), left, "all is still there");
        assert!(quarantined(&state).unwrap().is_empty());
        let aside = set_aside(&state, ContentId(1)).unwrap();
        assert_eq!(quarantined(&state).unwrap(), [aside]);
        assert!(survey(&state, None).unwrap().spooled.is_empty());
    }
}
