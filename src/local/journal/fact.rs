//! What the journal can say.

use std::collections::HashMap;

use super::place::Place;
use crate::model::attributes::Attributes;
use crate::model::backlog::Step;
use crate::model::ino::ContentId;
use crate::model::path::RemotePath;
use crate::model::proof::{Fingerprint, PartEvidence};
use crate::model::resume::Begun;
use crate::model::xattrs::Xattrs;

/// A file that is whole in the spool and owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its bytes.
    pub id: ContentId,
    /// Where they belong.
    pub path: RemotePath,
    /// How many bytes.
    pub size: u64,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// The bytes are the target of a symbolic link.
    pub is_link: bool,
    /// What Files.com has where they belong.
    pub there: There,
}

/// What Files.com has under the path of bytes that are owed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum There {
    /// Nothing that a mount has seen.
    #[default]
    Nothing,
    /// This version, which they replace.
    Version(Fingerprint),
    /// These bytes: their completion was asked for, and nobody knows whether it was carried out.
    Perhaps(Fingerprint),
}

/// Something without bytes of its own that Files.com must be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedEntry {
    /// Where it is.
    pub path: RemotePath,
    /// What is owed of it.
    pub what: EntryDebt,
    /// Mode, owner, times.
    pub attributes: Attributes,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// What is owed of an entry without bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryDebt {
    /// A folder that is only here.
    Folder,
    /// Attributes of something that Files.com has.
    Attributes,
}

/// What became true.
#[derive(Debug, Clone)]
pub enum Fact {
    /// These bytes are whole in the spool, and owed under this path; replaces what was said of the
    /// same bytes before.
    Owed(Owed),
    /// These bytes are owed no more: proven, superseded, or deleted. What was begun with them is forgotten.
    Settled(ContentId),
    /// A folder or attributes are owed under this path; replaces what was said of the path before.
    Entry(OwedEntry),
    /// Nothing but bytes is owed under this path any more.
    EntrySettled(RemotePath),
    /// A step is to be taken on Files.com, after all those with lower numbers that touch its paths.
    Planned(u64, Step),
    /// The step was taken, or given up.
    Taken(u64),
    /// All facts belong there.
    Mounted(Place),
    /// An upload of these bytes in several parts was begun; replaces what was begun before.
    Begun(ContentId, Begun),
    /// The storage accepted this part of it.
    Sent(ContentId, u32, PartEvidence),
    /// Its completion is asked for under this path from now on, and may be carried out.
    Completing(ContentId, RemotePath),
    /// Nothing of what was begun can be used.
    Abandoned(ContentId),
}

impl Fact {
    /// The same once `from` is `to`, and the end of what was said of the old path.
    pub fn moved(&self, from: &RemotePath, to: &RemotePath) -> Vec<Self> {
        let moved =
            |path: &RemotePath| path.below(from).map_or_else(|| path.clone(), |rest| to.descend(rest));
        match self {
            Self::Owed(owed) => vec![Self::Owed(Owed { path: moved(&owed.path), ..owed.clone() })],
            Self::Entry(entry) => {
                let here = OwedEntry { path: moved(&entry.path), ..entry.clone() };
                vec![Self::EntrySettled(entry.path.clone()), Self::Entry(here)]
            }
            other => vec![other.clone()],
        }
    }
}

/// All that an earlier mount left true.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Bytes, those that the journal was told of last at the end.
    pub owed: Vec<Owed>,
    /// Folders and attributes.
    pub entries: Vec<OwedEntry>,
    /// Steps by their numbers.
    pub steps: Vec<(u64, Step)>,
    /// Uploads that were begun, by their bytes.
    pub uploads: HashMap<ContentId, Begun>,
    /// Where all this belongs; `None` before the first mount.
    pub place: Option<Place>,
}

impl Facts {
    /// Is nothing owed?
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty() && self.entries.is_empty() && self.steps.is_empty()
    }
}
