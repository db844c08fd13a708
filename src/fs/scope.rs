//! What a question is about: the whole mount, or what is at and below one path.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Filesystem;
use super::core::Core;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::name;
use crate::model::path::RemotePath;

/// A path as it was asked for, by its POSIX names; empty for the whole mount. It stands for whatever
/// has that name when it is looked at: a tool may replace a file while somebody waits for it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    names: Vec<OsString>,
}

/// A scope at one moment.
#[derive(Debug, Clone)]
pub(super) struct Within {
    top: Option<(Ino, RemotePath)>,
}

impl Scope {
    /// Reads a path below the mountpoint. Its names are spelled as Files.com would store them, which
    /// brings any POSIX name through a text (`model/name.rs`).
    ///
    /// # Errors
    /// EINVAL for a path that leads elsewhere.
    pub fn parse(path: &str) -> Result<Self, Failure> {
        let names =
            RemotePath::parse(path).and_then(|path| path.components().map(name::from_remote).collect());
        let wrong = || Failure::new(libc::EINVAL, format!("{path:?} is no path below the mountpoint"));
        Ok(Self { names: names.ok_or_else(wrong)? })
    }

    /// The entries on the way to it from the root, as far as the tree knows them, and whether one is
    /// missing.
    pub(super) fn known_way(&self, core: &Core) -> (Vec<Ino>, bool) {
        let mut way = vec![Ino::ROOT];
        for name in &self.names {
            match way.last().and_then(|at| core.tree.child(*at, name)) {
                Some(ino) => way.push(ino),
                None => return (way, true),
            }
        }
        (way, false)
    }

    /// What it is now, as far as the tree knows.
    pub(super) fn look(&self, core: &Core) -> Result<Within, Failure> {
        if self.names.is_empty() {
            return Ok(Within { top: None });
        }
        let (way, missing) = self.known_way(core);
        let found = way.last().copied().filter(|_| !missing);
        let top = found.and_then(|ino| Some((ino, core.tree.path(ino)?)));
        let path = || self.names.iter().collect::<std::path::PathBuf>();
        let missing = || Failure::new(libc::ENOENT, format!("there is no {} in the mount", path().display()));
        Ok(Within { top: Some(top.ok_or_else(missing)?) })
    }
}

impl Within {
    /// Everything.
    pub fn all() -> Self {
        Self { top: None }
    }

    /// The file or folder in question.
    pub fn top(&self) -> Ino {
        self.top.as_ref().map_or(Ino::ROOT, |(ino, _)| *ino)
    }

    /// Does it cover this file or folder?
    pub fn covers(&self, core: &Core, ino: Ino) -> bool {
        self.top.as_ref().is_none_or(|(top, _)| core.tree.is_within(ino, *top))
    }

    /// Does something that concerns `path` concern it?
    pub fn concerns(&self, path: &RemotePath) -> bool {
        self.top.as_ref().is_none_or(|(_, top)| path.below(top).is_some() || top.below(path).is_some())
    }

    /// The steps that must be taken before Files.com has it as it is here: those that touch it, and
    /// those that come before them.
    pub fn steps(&self, core: &Core) -> BTreeSet<u64> {
        let touching =
            core.backlog.iter().filter(|(_, pending)| pending.step.paths().any(|p| self.concerns(p)));
        core.backlog.leading_to(touching.map(|(number, _)| number).collect())
    }
}

impl Filesystem {
    /// Makes sure that everything on the way to the scope is known.
    pub(super) async fn find_way(&self, scope: &Scope) -> Result<(), Failure> {
        let mut at = Ino::ROOT;
        for name in &scope.names {
            self.list(at).await?;
            match self.core().tree.child(at, name) {
                Some(ino) => at = ino,
                None => break,
            }
        }
        scope.look(&self.core()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_of_any_bytes_comes_through_and_one_that_leads_elsewhere_does_not() {
        let scope = Scope::parse("/a␠/b‛FF").unwrap();
        let names: Vec<&[u8]> = scope.names.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(names, [&b"a "[..], b"b\xff"]);
        assert!(Scope::parse("").unwrap().names.is_empty());
        assert!(Scope::parse("a/../b").is_err());
    }
}
