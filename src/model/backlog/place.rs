//! Paths as Files.com compares them.

use crate::model::comparison::Keys;
use crate::model::path::RemotePath;

/// A path as one of the two comparisons of names sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Latin(Vec<String>),
    Collated(Vec<Vec<u8>>),
}

impl Place {
    /// A path under both comparisons.
    pub fn of(path: &RemotePath) -> [Self; 2] {
        let (latin, collated) =
            path.components().map(Keys::of).map(|keys| (keys.latin, keys.collated)).unzip();
        [Self::Latin(latin), Self::Collated(collated)]
    }

    fn parent(&self) -> Option<Self> {
        Some(match self {
            Self::Latin(names) => Self::Latin(names.split_last()?.1.to_vec()),
            Self::Collated(names) => Self::Collated(names.split_last()?.1.to_vec()),
        })
    }

    /// The places above, the nearest first.
    pub fn above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }
}
