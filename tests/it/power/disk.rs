//! A disk that may lose its power: what it promises is the least that ext4 and xfs do, and no more.
//!
//! * fsync and fdatasync of a file keep its bytes and its size, and say nothing about its name.
//! * fsync of a folder keeps the names in it, and says nothing about the name of the folder itself.
//! * A rename is whole or has not happened. Names that depend on each other are kept in their order;
//!   otherwise nothing has an order, and a name may be kept without the bytes behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::content::Content;
use crate::reference::Dice;

/// A file or folder, whatever its name is.
pub type Number = u64;

/// The folder in which everything is.
pub const ROOT: Number = 1;

type Names = BTreeMap<OsString, Number>;

#[derive(Debug, Default)]
pub struct Node {
    pub is_folder: bool,
    pub mode: u32,
    pub owner: (u32, u32),
    pub content: Content,
    /// In a folder: what programs see.
    pub names: Names,
    kept: Names,
}

impl Node {
    /// An empty file or folder.
    pub fn new(is_folder: bool, mode: u32, owner: (u32, u32)) -> Self {
        Self { is_folder, mode: mode & 0o7777, owner, ..Self::default() }
    }
}

/// Names that change together: each in its folder, with what it stands for from then on.
type Change = Vec<((Number, OsString), Option<Number>)>;

/// Everything on the disk.
#[derive(Debug)]
pub struct Disk {
    nodes: BTreeMap<Number, Node>,
    last: Number,
    /// Changes of names that no fsync has answered for, in their order.
    since: Vec<Change>,
    /// What is wrong with the disk.
    pub defect: Option<Defect>,
}

/// What may be wrong with the fsync of the folder `spool`, of a file in it, or of the journal's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A file is answered for, and not kept.
    DropsBytes,
    /// The folder is answered for, and not kept.
    DropsNames,
    /// A file is refused with this error.
    Refuses(i32),
    /// The log of the journal is refused once with this error. The disk drops what it was asked to keep, and
    /// answers the next time as if nothing had been.
    RefusesLogOnce(i32),
}

impl Disk {
    pub fn new() -> Self {
        let root = Node::new(true, 0o755, (0, 0));
        Self { nodes: BTreeMap::from([(ROOT, root)]), last: ROOT, since: Vec::new(), defect: None }
    }

    pub fn node(&self, number: Number) -> Result<&Node, i32> {
        self.nodes.get(&number).ok_or(libc::ENOENT)
    }

    pub fn node_mut(&mut self, number: Number) -> Result<&mut Node, i32> {
        self.nodes.get_mut(&number).ok_or(libc::ENOENT)
    }

    pub fn child(&self, folder: Number, name: &OsStr) -> Result<Number, i32> {
        self.node(folder)?.names.get(name).copied().ok_or(libc::ENOENT)
    }

    /// A new file or folder.
    pub fn make(&mut self, folder: Number, name: &OsStr, node: Node) -> Result<Number, i32> {
        if self.child(folder, name).is_ok() {
            return Err(libc::EEXIST);
        }
        self.last += 1;
        self.nodes.insert(self.last, node);
        self.change(vec![((folder, name.to_owned()), Some(self.last))])?;
        Ok(self.last)
    }

    /// unlink(2), or rmdir(2) of an empty folder.
    pub fn remove(&mut self, folder: Number, name: &OsStr) -> Result<(), i32> {
        let gone = self.child(folder, name)?;
        if !self.node(gone)?.names.is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.change(vec![((folder, name.to_owned()), None)])
    }

    pub fn rename(
        &mut self,
        (folder, name): (Number, &OsStr),
        (to, new_name): (Number, &OsStr),
    ) -> Result<(), i32> {
        let moved = self.child(folder, name)?;
        self.change(vec![((folder, name.to_owned()), None), ((to, new_name.to_owned()), Some(moved))])
    }

    fn change(&mut self, change: Change) -> Result<(), i32> {
        for ((folder, name), to) in &change {
            put(&mut self.node_mut(*folder)?.names, name, *to);
        }
        self.since.push(change);
        Ok(())
    }

    /// fsync(2) or fdatasync(2) of a file.
    pub fn sync_file(&mut self, number: Number) -> Result<(), i32> {
        let is_spooled = || self.spool().is_some_and(|spool| spool.names.values().any(|n| *n == number));
        match self.defect {
            Some(Defect::Refuses(errno)) if is_spooled() => return Err(errno),
            Some(Defect::DropsBytes) if is_spooled() => return Ok(()),
            Some(Defect::RefusesLogOnce(errno)) if self.is_named(number, "journal.sqlite-wal") => {
                self.defect = None;
                return Err(errno);
            }
            _ => {}
        }
        self.node_mut(number)?.content.sync();
        Ok(())
    }

    fn is_named(&self, number: Number, name: &str) -> bool {
        self.nodes.values().any(|node| node.names.get(OsStr::new(name)) == Some(&number))
    }

    fn spool_number(&self) -> Option<Number> {
        self.nodes.values().find_map(|node| node.names.get(OsStr::new("spool")).copied())
    }

    fn spool(&self) -> Option<&Node> {
        self.node(self.spool_number()?).ok()
    }

    /// fsync(2) of a folder: its names, and what they depend on.
    pub fn sync_folder(&mut self, folder: Number) {
        if self.defect == Some(Defect::DropsNames) && self.spool_number() == Some(folder) {
            return;
        }
        let mut wanted = BTreeSet::new();
        let mut keep = vec![false; self.since.len()];
        for (n, change) in self.since.iter().enumerate().rev() {
            let is_of = |((of, name), _): &((Number, OsString), _)| {
                *of == folder || wanted.contains(&(*of, name.clone()))
            };
            keep[n] = change.iter().any(is_of);
            if keep[n] {
                wanted.extend(change.iter().map(|(key, _)| key.clone()));
            }
        }
        self.keep(&keep);
    }

    fn keep(&mut self, keep: &[bool]) {
        let (mut kept, mut rest) = (Vec::new(), Vec::new());
        for (change, keep) in std::mem::take(&mut self.since).into_iter().zip(keep) {
            if *keep { kept.push(change) } else { rest.push(change) }
        }
        self.since = rest;
        for ((folder, name), to) in kept.into_iter().flatten() {
            if let Some(node) = self.nodes.get_mut(&folder) {
                put(&mut node.kept, &name, to);
            }
        }
    }

    /// The power fails, and comes back.
    pub fn lose_power(&mut self, dice: &mut Dice) {
        let style = dice.below(4);
        let mut lost = BTreeSet::new();
        let mut keep = Vec::new();
        for change in &self.since {
            let kept = match style {
                0 => false,
                1 => true,
                _ => dice.one_in(2),
            };
            keep.push(kept && !change.iter().any(|(key, _)| lost.contains(key)));
            if keep.last() == Some(&false) {
                lost.extend(change.iter().map(|(key, _)| key.clone()));
            }
        }
        self.keep(&keep);
        self.since.clear();
        let (mut reached, mut open) = (BTreeMap::new(), vec![ROOT]);
        while let Some(number) = open.pop() {
            let Some(mut node) = self.nodes.remove(&number) else { continue };
            node.names = node.kept.clone();
            node.content.lose(dice);
            open.extend(node.names.values());
            reached.insert(number, node);
        }
        self.nodes = reached;
    }
}

fn put(names: &mut Names, name: &OsStr, to: Option<Number>) {
    match to {
        Some(number) => drop(names.insert(name.to_owned(), number)),
        None => drop(names.remove(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(disk: &mut Disk, folder: Number, name: &str) -> Number {
        let number = disk.make(folder, name.as_ref(), Node::default()).unwrap();
        disk.node_mut(number).unwrap().content.write(0, name.as_bytes());
        number
    }

    fn folder(disk: &mut Disk, name: &str) -> Number {
        disk.make(ROOT, name.as_ref(), Node { is_folder: true, ..Node::default() }).unwrap()
    }

    /// What may be in the root after a loss, over many of them.
    fn outcomes(made: impl Fn(&mut Disk)) -> BTreeSet<Vec<String>> {
        let look = |seed| {
            let mut disk = Disk::new();
            made(&mut disk);
            disk.lose_power(&mut Dice::of(seed));
            let mut found = Vec::new();
            let mut open = vec![(ROOT, String::new())];
            while let Some((number, path)) = open.pop() {
                for (name, number) in &disk.node(number).unwrap().names {
                    let path = format!("{path}{}", name.display());
                    let node = disk.node(*number).unwrap();
                    match node.is_folder {
                        true => open.push((*number, path + "/")),
                        false => found.push(path + ":" + str::from_utf8(&node.content.read(0, 9)).unwrap()),
                    }
                }
            }
            found.sort();
            found
        };
        (0..200).map(look).collect()
    }

    fn set<const N: usize, const M: usize>(of: [[&str; M]; N]) -> BTreeSet<Vec<String>> {
        of.map(|found| found.map(str::to_owned).to_vec()).into()
    }

    #[test]
    fn a_name_and_its_bytes_are_kept_each_by_its_own_sync() {
        let synced = |disk: &mut Disk, bytes: bool, name: bool| {
            let number = file(disk, ROOT, "a");
            if bytes {
                disk.sync_file(number).unwrap();
            }
            if name {
                disk.sync_folder(ROOT);
            }
        };
        assert_eq!(outcomes(|disk| synced(disk, true, true)), set([["a:a"]]));
        assert_eq!(outcomes(|disk| synced(disk, false, true)), set([["a:a"], ["a:"], ["a:\0"]]));
        let unnamed = outcomes(|disk| synced(disk, true, false));
        assert_eq!(unnamed, BTreeSet::from([vec![], vec!["a:a".to_owned()]]));
    }

    #[test]
    fn a_folder_that_is_synced_may_be_lost_with_its_own_name() {
        let lost = outcomes(|disk| {
            let inside = folder(disk, "d");
            let number = file(disk, inside, "a");
            disk.sync_file(number).unwrap();
            disk.sync_folder(inside);
        });
        assert_eq!(lost, BTreeSet::from([vec![], vec!["d/a:a".to_owned()]]));
    }

    #[test]
    fn a_rename_is_whole_or_has_not_happened_and_either_folder_keeps_it() {
        let made = |disk: &mut Disk, sync_source: bool, sync_target: bool| {
            let (d, e) = (folder(disk, "d"), folder(disk, "e"));
            let number = file(disk, d, "a");
            disk.sync_file(number).unwrap();
            disk.sync_folder(d);
            disk.sync_folder(ROOT);
            disk.rename((d, "a".as_ref()), (e, "b".as_ref())).unwrap();
            [(d, sync_source), (e, sync_target)]
                .into_iter()
                .filter(|(_, sync)| *sync)
                .for_each(|(folder, _)| disk.sync_folder(folder));
        };
        assert_eq!(outcomes(|disk| made(disk, false, false)), set([["d/a:a"], ["e/b:a"]]));
        assert_eq!(outcomes(|disk| made(disk, true, false)), set([["e/b:a"]]));
        assert_eq!(outcomes(|disk| made(disk, false, true)), set([["e/b:a"]]));
    }
}
