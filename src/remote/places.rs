//! Paths that the service states, compared with the one that was asked about as the service compares names:
//! it may spell them otherwise.

use std::cell::OnceCell;

use crate::model::comparison::Keys;
use crate::model::path::RemotePath;

/// The path that was asked about, as far as stated ones are compared with it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    path: &'a RemotePath,
    /// Of its components; most stated paths are the same text and need none.
    keys: OnceCell<Vec<Keys>>,
}

impl<'a> Place<'a> {
    pub fn new(path: &'a RemotePath) -> Self {
        Self { path, keys: OnceCell::new() }
    }

    /// Is `stated` this very path?
    pub fn is(&self, stated: &str) -> bool {
        let stated = stated.trim_matches('/');
        if stated == self.path.as_str() {
            return true;
        }
        let keys = self.keys.get_or_init(|| self.path.components().map(Keys::of).collect());
        let mut components = stated.split('/').filter(|part| !part.is_empty());
        let are_the_same = keys.iter().all(|ours| {
            components
                .next()
                .map(Keys::of)
                .is_some_and(|theirs| theirs.latin == ours.latin || theirs.collated == ours.collated)
        });
        are_the_same && components.next().is_none()
    }

    /// Does what is at `stated` lie in this folder?
    pub fn holds(&self, stated: &str) -> bool {
        let stated = stated.trim_matches('/');
        !stated.is_empty() && self.is(folder_of(stated))
    }
}

/// The folder that what is at `stated` lies in.
pub(super) fn folder_of(stated: &str) -> &str {
    stated.trim_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_of_the_folder_belong_to_it() {
        let path = RemotePath::parse("Backups/Été").unwrap();
        let folder = Place::new(&path);
        for inside in ["Backups/Été/a", "/backups/ete/a/", "BACKUPS/ÉTÉ/.."] {
            assert!(folder.holds(inside), "{inside}");
        }
        for outside in ["Backups/Été", "a", "", "Backups/Été/a/b", "Backups/other/a", "../Backups/Été/x"]
        {
            assert!(!folder.holds(outside), "{outside}");
        }
        let root = RemotePath::ROOT;
        let root = Place::new(&root);
        assert!(root.holds("a") && !root.holds("a/b") && !root.holds("/"));
    }

    #[test]
    fn a_path_is_the_same_in_every_spelling_of_the_service_and_no_other() {
        let path = RemotePath::parse("d/Été").unwrap();
        let place = Place::new(&path);
        assert!(place.is("d/Été") && place.is("/D/ete/"));
        assert!(!place.is("d") && !place.is("Été") && !place.is("d/Été/x") && !place.is(""));
    }
}
