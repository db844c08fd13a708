//! Paths on Files.com: components joined by one `/`, none at either end; the root is empty.

use std::fmt;

/// Where something is on Files.com, from the root of the site (not of the mount).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath(String);

impl RemotePath {
    /// The root of the site.
    pub const ROOT: Self = Self(String::new());

    /// Reads a path that a person or the service wrote: slashes at the ends and empty components do
    /// not count. `None` when a component is `.` or `..` or holds a NUL: such a path could lead
    /// anywhere.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let harmless = parts.iter().all(|part| *part != "." && *part != ".." && !part.contains('\0'));
        harmless.then(|| Self(parts.join("/")))
    }

    /// The path of the entry `name` (a remote name, without slashes) in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        debug_assert!(!name.is_empty() && !name.contains('/'), "{name:?} is not one name");
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// The folder that holds this entry; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned())))
    }

    /// What leads from `folder` down to this path: empty for the folder itself, `None` for what is not
    /// below it.
    pub fn below(&self, folder: &Self) -> Option<&str> {
        if folder.is_root() {
            return Some(&self.0);
        }
        let rest = self.0.strip_prefix(folder.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The path that `rest`, from [`Self::below`], leads to from here.
    #[must_use]
    pub fn descend(&self, rest: &str) -> Self {
        rest.split('/').filter(|name| !name.is_empty()).fold(self.clone(), |path, name| path.join(name))
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Is this the root of the site?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, from the root down.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The text as the API spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        let path = RemotePath::parse("/a//b/c/").unwrap();
        assert_eq!((path.as_str(), path.name()), ("a/b/c", "c"));
        assert_eq!(path.parent().unwrap().join("c"), path);
        assert_eq!(RemotePath::ROOT.join("a").parent(), Some(RemotePath::ROOT));
        assert_eq!((RemotePath::ROOT.parent(), RemotePath::parse("/")), (None, Some(RemotePath::ROOT)));
        assert_eq!(RemotePath::ROOT.to_string(), "/");
    }

    #[test]
    fn a_path_leads_down_from_a_folder_above_it() {
        let at = |text| RemotePath::parse(text).unwrap();
        assert_eq!(at("a/b/c").below(&at("a")), Some("b/c"));
        assert_eq!(at("a").below(&at("a")), Some(""));
        assert_eq!(at("ab").below(&at("a")), None);
        assert_eq!(at("a/b").below(&RemotePath::ROOT), Some("a/b"));
        assert_eq!(at("x").descend("b/c"), at("x/b/c"));
        assert_eq!(at("x").descend(""), at("x"));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for text in ["..", "a/../b", "./a", "a/.", "a\0b"] {
            assert_eq!(RemotePath::parse(text), None, "{text:?}");
        }
    }
}
