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

    /// Does a change here change what a look at `place` or a listing of it shows? It does at the place itself, above it, and
    /// right in it.
    pub fn shows_in(&self, place: &Self) -> bool {
        fn shows<T: PartialEq>(ours: &[T], theirs: &[T]) -> bool {
            ours.len() <= theirs.len() + 1 && ours.iter().zip(theirs).all(|(ours, theirs)| ours == theirs)
        }
        match (self, place) {
            (Self::Latin(ours), Self::Latin(theirs)) => shows(ours, theirs),
            (Self::Collated(ours), Self::Collated(theirs)) => shows(ours, theirs),
            _ => false,
        }
    }

    /// The places above, the nearest first.
    pub fn above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }
}
