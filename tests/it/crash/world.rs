//! What a crash may leave, as a value: the contract of `mod.rs` in code. Knows no mount and no clock.
//!
//! A [`World`] holds the names that may be there (one set of them, or two while a call was in flight), and
//! for each file the versions that may be under its name: the acknowledged one first, then everything that
//! was done since. Acknowledgement forgets all versions but the newest.

use std::collections::BTreeMap;
use std::rc::Rc;

pub use super::file::{File, Seen, Sight, Version};
use super::file::{overlay, told};

/// A file, whatever its name is.
pub type Id = usize;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    Folder,
    File(Id),
}

/// Paths, relative to the mount.
pub type Names = BTreeMap<String, Node>;

/// Bytes that were written and are not under their paths.
pub type Unpublished = Vec<(String, Rc<Vec<u8>>)>;

/// A change of names.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    Create { path: &'a str, mode: u32 },
    Link { path: &'a str, target: &'a str },
    Mkdir(&'a str),
    Rmdir(&'a str),
    Unlink(&'a str),
    Rename { from: &'a str, to: &'a str },
}

/// A change that was thought through: what is there when it has happened.
#[derive(Debug)]
pub struct Planned {
    names: Names,
    /// The file that was made, or that goes by another identity from now on.
    pub made: Option<Id>,
}

/// What may be there after a crash.
#[derive(Debug, Clone)]
pub struct World {
    /// The newest is last; more than one only after a call in flight.
    names: Vec<Names>,
    files: Vec<File>,
    /// Nobody knows which of the bytes that were never synced are on the disk.
    power_failed: bool,
}

/// Nothing at all.
impl Default for World {
    fn default() -> Self {
        Self { names: vec![Names::new()], files: Vec::new(), power_failed: false }
    }
}

/// A name that is published by its rename, or after a while.
fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.') || name.ends_with(".tmp") || name.ends_with(".partial") || name.contains("-tmp-")
}

impl World {
    /// The names of the running mount.
    pub fn names(&self) -> &Names {
        self.names.last().expect("there is always one")
    }

    /// What a path stands for in the running mount.
    pub fn node(&self, path: &str) -> Option<Node> {
        self.names().get(path).copied()
    }

    /// The file at a path.
    pub fn file_at(&self, path: &str) -> Option<Id> {
        match self.node(path)? {
            Node::File(id) => Some(id),
            Node::Folder => None,
        }
    }

    /// A file.
    pub fn file(&self, id: Id) -> &File {
        &self.files[id]
    }

    /// Thinks a change through; `None` where it must be refused.
    pub fn plan(&mut self, change: &Change<'_>) -> Option<Planned> {
        let mut names = self.names().clone();
        let has_parent = |names: &Names, path: &str| {
            path.rsplit_once('/').is_none_or(|(parent, _)| names.get(parent) == Some(&Node::Folder))
        };
        let is_empty = |names: &Names, path: &str| !names.keys().any(|name| is_below(name, path));
        let mut made = None;
        match *change {
            Change::Create { path, .. } | Change::Link { path, .. } => {
                if names.contains_key(path) || !has_parent(&names, path) {
                    return None;
                }
                let file = match *change {
                    Change::Create { mode, .. } => File::new(mode),
                    Change::Link { target, .. } => File {
                        versions: vec![Version::Link(target.to_owned())],
                        is_link: true,
                        ..File::new(0o777)
                    },
                    _ => return None,
                };
                self.files.push(file);
                made = Some(self.files.len() - 1);
                names.insert(path.to_owned(), Node::File(self.files.len() - 1));
            }
            Change::Mkdir(path) => {
                if names.contains_key(path) || !has_parent(&names, path) {
                    return None;
                }
                names.insert(path.to_owned(), Node::Folder);
            }
            Change::Rmdir(path) => {
                if names.get(path) != Some(&Node::Folder) || !is_empty(&names, path) {
                    return None;
                }
                names.remove(path);
            }
            Change::Unlink(path) => {
                if !matches!(names.get(path), Some(Node::File(_))) {
                    return None;
                }
                names.remove(path);
            }
            Change::Rename { from, to } => {
                let (source, target) = (*names.get(from)?, names.get(to).copied());
                if from == to {
                    return Some(Planned { names, made });
                }
                match (source, target) {
                    _ if !has_parent(&names, to) => return None,
                    (Node::Folder, _) if is_below(to, from) => return None,
                    (Node::Folder, Some(Node::Folder)) if !is_empty(&names, to) => return None,
                    (Node::Folder, Some(Node::File(_))) | (Node::File(_), Some(Node::Folder)) => return None,
                    _ => {}
                }
                names.remove(to);
                match source {
                    Node::File(id) => {
                        let over =
                            target.and_then(|node| if let Node::File(id) = node { Some(id) } else { None });
                        let id = self.over(id, over).inspect(|new| made = Some(*new)).unwrap_or(id);
                        names.remove(from);
                        names.insert(to.to_owned(), Node::File(id));
                    }
                    Node::Folder => {
                        let moved: Vec<String> = names
                            .keys()
                            .filter(|name| *name == from || is_below(name, from))
                            .cloned()
                            .collect();
                        for name in moved {
                            let node = names.remove(&name)?;
                            names.insert(format!("{to}{}", &name[from.len()..]), node);
                        }
                    }
                }
            }
        }
        Some(Planned { names, made })
    }

    /// A file that was never acknowledged takes the place of another: until it is, a crash may show what was
    /// there before.
    fn over(&mut self, id: Id, replaced: Option<Id>) -> Option<Id> {
        let replaced = &self.files[replaced?];
        let file = &self.files[id];
        if file.versions[0] != Version::Nothing {
            return None;
        }
        let mut heir = file.clone();
        heir.versions = replaced.versions.iter().chain(&file.versions[1..]).cloned().collect();
        heir.modes = replaced.modes.iter().chain(&file.modes).copied().collect();
        heir.times = replaced.times.iter().chain(&file.times).copied().collect();
        self.files.push(heir);
        Some(self.files.len() - 1)
    }

    /// The change has happened.
    pub fn happened(&mut self, planned: Planned) {
        self.names = vec![planned.names];
    }

    /// The change may have happened.
    pub fn may_have_happened(&mut self, planned: Planned) {
        self.names.push(planned.names);
    }

    /// The bytes of a file are others now.
    pub fn write(&mut self, id: Id, offset: usize, bytes: &[u8]) {
        let file = &mut self.files[id];
        file.push(overlay(&file.now, offset, bytes));
    }

    /// A part of a write may have happened.
    pub fn may_write(&mut self, id: Id, offset: usize, bytes: Vec<u8>) {
        let file = &mut self.files[id];
        file.versions.push(Version::Torn { old: file.now.clone(), offset, bytes: Rc::new(bytes) });
        file.times.push(None);
        file.unsure = true;
    }

    /// A file was cut off, or lengthened by zeros.
    pub fn resize(&mut self, id: Id, size: usize) {
        let file = &mut self.files[id];
        let mut bytes = file.now.to_vec();
        bytes.resize(size, 0);
        file.push(bytes);
    }

    /// The same, in flight.
    pub fn may_resize(&mut self, id: Id, size: usize) {
        self.resize(id, size);
        self.files[id].unsure = true;
    }

    /// chmod(2), done or in flight.
    pub fn set_mode(&mut self, id: Id, mode: u32) {
        self.files[id].modes.push(mode);
    }

    /// utimes(2), done or in flight.
    pub fn set_time(&mut self, id: Id, time: u64) {
        self.files[id].times.push(Some(time));
    }

    /// chmod(2) or utimes(2) has answered. While newer bytes are still to be acknowledged, that takes it along; while the
    /// file goes by a temporary name, its rename does.
    pub fn changed(&mut self, id: Id) {
        let mut names = self.names().iter().filter(|(_, node)| **node == Node::File(id));
        let is_held_back = names.any(|(path, _)| is_temporary(path));
        let file = &mut self.files[id];
        if !file.owed && !is_held_back {
            newest_only(&mut file.modes);
            newest_only(&mut file.times);
        }
    }

    /// Does the running mount show an empty file?
    pub fn is_empty(&self, id: Id) -> bool {
        self.files[id].now.is_empty()
    }

    /// fsync has answered: what the running mount shows is what a crash leaves.
    pub fn synced(&mut self, id: Id) {
        let file = &mut self.files[id];
        let last = file.versions.len() - 1;
        file.versions.drain(..last);
        if file.owed {
            newest_only(&mut file.modes);
            newest_only(&mut file.times);
        }
    }

    /// An answer that publishes: as fsync, and later attributes are a matter of their own.
    pub fn published(&mut self, id: Id) {
        self.synced(id);
        self.files[id].owed = false;
    }

    /// `filescomfs sync` has answered for everything.
    pub fn all_published(&mut self) {
        for id in 0..self.files.len() {
            self.published(id);
            newest_only(&mut self.files[id].modes);
            newest_only(&mut self.files[id].times);
        }
    }

    /// The crash was one of the whole machine: what was written and not acknowledged is there, or not, or some
    /// of it is.
    pub fn power_failed(&mut self) {
        self.power_failed = true;
    }

    /// Was what is there allowed? Then this is what is there from now on, and the bytes that were written,
    /// never acknowledged, and are not under their names are told: they must be set aside somewhere.
    pub fn found(&self, sight: &Sight) -> Result<(Self, Unpublished), String> {
        let mut complaints = Vec::new();
        for names in self.names.iter().rev() {
            let wrong = self.complaints(names, sight);
            if wrong.is_empty() {
                return Ok(self.settled(names, sight));
            }
            complaints.push(wrong.join("\n  "));
        }
        Err(format!("  {}", complaints.join("\nnor, as before the call in flight:\n  ")))
    }

    fn complaints(&self, names: &Names, sight: &Sight) -> Vec<String> {
        let mut wrong = Vec::new();
        for (path, node) in names {
            match (node, sight.get(path)) {
                (Node::Folder, Some(Seen::Folder)) => {}
                (Node::Folder, found) => {
                    wrong.push(format!("{path}/ is missing; found: {:?}", found.map(told)));
                }
                (Node::File(id), None) => {
                    if !self.files[*id].versions.contains(&Version::Nothing) {
                        wrong.push(format!("{path} is missing; allowed: {}", self.files[*id].told()));
                    }
                }
                (Node::File(id), Some(seen)) => {
                    let allowed = self.files[*id].allows(seen, self.power_failed);
                    wrong.extend(allowed.err().map(|why| format!("{path}: {why}")));
                }
            }
        }
        let invented = sight.iter().filter(|(path, _)| !names.contains_key(*path));
        wrong.extend(invented.map(|(path, seen)| format!("{path} is there, {}, and must not", told(seen))));
        wrong
    }

    fn settled(&self, names: &Names, sight: &Sight) -> (Self, Unpublished) {
        let mut world = Self::default();
        let mut unpublished = Vec::new();
        for (path, seen) in sight {
            let node = match seen {
                Seen::Folder => Node::Folder,
                Seen::File { bytes, mode, time } => {
                    let now = Rc::new(bytes.clone());
                    world.files.push(File {
                        versions: vec![Version::Bytes(now.clone())],
                        now,
                        times: vec![Some(*time)],
                        owed: false,
                        ..File::new(*mode)
                    });
                    Node::File(world.files.len() - 1)
                }
                Seen::Link(target) => {
                    let versions = vec![Version::Link(target.clone())];
                    world.files.push(File { versions, is_link: true, owed: false, ..File::new(0o777) });
                    Node::File(world.files.len() - 1)
                }
            };
            world.names[0].insert(path.clone(), node);
        }
        for (path, node) in names {
            let Node::File(id) = node else { continue };
            let file = &self.files[*id];
            let is_there = matches!(sight.get(path), Some(Seen::File { bytes, .. }) if *bytes == *file.now);
            if !is_there && !self.power_failed && !file.is_link && !file.unsure && !file.now.is_empty() {
                unpublished.push((path.clone(), file.now.clone()));
            }
        }
        (world, unpublished)
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn newest_only<T>(of: &mut Vec<T>) {
    of.drain(..of.len() - 1);
}
