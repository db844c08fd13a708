//! What a rename has to do, decided from what is known here.

use std::ffi::OsStr;

use super::backlog::Step;
use super::failure::Failure;
use super::ino::Ino;
use super::node::{Body, Node, OnSite};
use super::path::RemotePath;
use super::tree::Tree;

/// A rename that may go ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamePlan {
    /// What moves.
    pub source: Ino,
    /// What is at the new name now.
    pub target: Option<Ino>,
    /// Its new name on Files.com.
    pub remote: String,
    /// What that asks of Files.com.
    pub there: There,
}

/// The part of a rename that Files.com sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// Both names are one entry: nothing happens.
    Same,
    /// Files.com has never seen the source: its upload, or its folder, will arrive under the new name.
    Nothing,
    /// The source moves.
    Move(Move),
}

/// A move on Files.com.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// From here,
    pub from: RemotePath,
    /// to here,
    pub to: RemotePath,
    /// over this.
    pub over: Over,
}

/// What Files.com has under the new path of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// A file: it is replaced.
    File,
    /// An empty folder: it goes first.
    Folder,
}

impl Move {
    /// The move as a step.
    pub fn step(&self) -> Step {
        let (from, to) = (self.from.clone(), self.to.clone());
        Step::Move { from, to, overwrite: self.over == Over::File }
    }

    /// The step that comes before it.
    pub fn step_before(&self) -> Option<Step> {
        (self.over == Over::Folder).then(|| Step::RemoveFolder(self.to.clone()))
    }
}

impl Tree {
    /// Decides about renaming `name` in `folder` to `new_name` in `new_folder`. Both folders and, if
    /// it is a folder, what is at the new name have been listed.
    pub fn plan_rename(
        &mut self,
        (folder, name): (Ino, &OsStr),
        (new_folder, new_name): (Ino, &OsStr),
        no_replace: bool,
    ) -> Result<RenamePlan, Failure> {
        let source = self.child(folder, name).ok_or(Failure::plain(libc::ENOENT))?;
        let target = self.child(new_folder, new_name);
        if target.is_some() && no_replace {
            return Err(Failure::plain(libc::EEXIST));
        }
        if target == Some(source) {
            let remote = self.node(source)?.remote().to_owned();
            return Ok(RenamePlan { source, target: None, remote, there: There::Same });
        }
        if self.is_within(new_folder, source) {
            return Err(Failure::plain(libc::EINVAL));
        }
        let remote = self.remote_name(new_folder, new_name, Some(source))?;
        if let Some(target) = target {
            match (&self.node(source)?.body, &self.node(target)?.body) {
                (Body::File(_), Body::Folder(_)) => return Err(Failure::plain(libc::EISDIR)),
                (Body::Folder(_), Body::File(_)) => return Err(Failure::plain(libc::ENOTDIR)),
                (Body::Folder(_), Body::Folder(target)) if !target.is_empty() => {
                    return Err(Failure::plain(libc::ENOTEMPTY));
                }
                _ => {}
            }
        }
        // A file that may be there has its bytes here too: its upload arrives under the new name. A folder may hold what
        // is only there.
        let node = self.node(source)?;
        let moves = match node.on_site() {
            OnSite::Yes => true,
            OnSite::Perhaps => node.is_folder(),
            OnSite::No => false,
        };
        let there = match (moves, self.path(source), self.path(new_folder)) {
            (true, Some(from), Some(to)) => {
                // What may be there would be in the way.
                let is_in_the_way = |node: &&Node| node.on_site() != OnSite::No;
                let replaced = target.map(|ino| self.node(ino)).transpose()?.filter(is_in_the_way);
                let over = replaced.map_or(Over::Nothing, |node| match node.is_folder() {
                    true => Over::Folder,
                    false => Over::File,
                });
                There::Move(Move { from, to: to.join(&remote), over })
            }
            _ => There::Nothing,
        };
        Ok(RenamePlan { source, target, remote, there })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attributes::{Defaults, Shape};
    use crate::model::ino::ContentId;
    use crate::model::moment::Moment;
    use crate::model::node::{File, Folder};
    use crate::model::proof::Fingerprint;

    const VERSION: Fingerprint =
        Fingerprint { size: 1, created: None, changed: None, md5: None, crc32: None };

    /// `a` and `b` are published files, `new` is not; `d` holds `x`, `e` is empty, `lock.tmp` is only here.
    fn stage() -> Tree {
        let mut tree = Tree::new(RemotePath::ROOT, Defaults::with_umask(0o022, 0, 0), Moment::default());
        let mut add = |folder, name: &str, body| {
            let attributes = tree.defaults.new_entry(Shape::File, Moment::default());
            tree.insert(folder, name.into(), name.into(), attributes, body).unwrap()
        };
        let folder = |published| Body::from(Folder { published, ..Folder::default() });
        add(Ino::ROOT, "a", Body::File(File::listed(VERSION)));
        add(Ino::ROOT, "b", Body::File(File::listed(VERSION)));
        add(Ino::ROOT, "new", Body::File(File::created(ContentId(1), true)));
        let d = add(Ino::ROOT, "d", folder(true));
        add(d, "x", Body::File(File::listed(VERSION)));
        add(Ino::ROOT, "e", folder(true));
        add(Ino::ROOT, "lock.tmp", folder(false));
        tree
    }

    fn plan(from: &str, to: &str) -> Result<There, i32> {
        let mut tree = stage();
        let plan = tree.plan_rename((Ino::ROOT, OsStr::new(from)), (Ino::ROOT, OsStr::new(to)), false);
        plan.map(|plan| plan.there).map_err(|failure| failure.errno)
    }

    fn moved(from: &str, to: &str, over: Over) -> Result<There, i32> {
        let path = |text| RemotePath::parse(text).unwrap();
        Ok(There::Move(Move { from: path(from), to: path(to), over }))
    }

    #[test]
    fn renames_follow_posix() {
        assert_eq!(plan("nothing", "z"), Err(libc::ENOENT));
        assert_eq!(plan("a", "d"), Err(libc::EISDIR));
        assert_eq!(plan("d", "a"), Err(libc::ENOTDIR));
        assert_eq!(plan("e", "d"), Err(libc::ENOTEMPTY));
        assert_eq!(plan("lock.tmp", "d"), Err(libc::ENOTEMPTY), "two writers would both take the lock");
        assert_eq!(plan("a", "a"), Ok(There::Same));
        let Ok(There::Move(Move { to, .. })) = plan("a", "D") else {
            panic!("a name like a sibling's is taken")
        };
        assert!(to.as_str().starts_with("D‛~"), "Files.com takes d and D for one name");
        assert_eq!(plan("a", "b"), moved("a", "b", Over::File));
        assert_eq!(plan("a", "z"), moved("a", "z", Over::Nothing));
        assert_eq!(plan("d", "e"), moved("d", "e", Over::Folder));
    }

    #[test]
    fn what_files_com_has_never_seen_costs_no_move() {
        assert_eq!(plan("new", "a"), Ok(There::Nothing));
        assert_eq!(plan("lock.tmp", "lock"), Ok(There::Nothing));
    }

    #[test]
    fn a_folder_does_not_move_into_itself() {
        let mut tree = stage();
        let d = tree.child(Ino::ROOT, OsStr::new("d")).unwrap();
        let refused = tree.plan_rename((Ino::ROOT, OsStr::new("d")), (d, OsStr::new("sub")), false);
        assert_eq!(refused.unwrap_err().errno, libc::EINVAL);
    }

    #[test]
    fn no_replace_replaces_nothing() {
        let refused = stage().plan_rename((Ino::ROOT, OsStr::new("a")), (Ino::ROOT, OsStr::new("b")), true);
        assert_eq!(refused.unwrap_err().errno, libc::EEXIST);
    }
}
