//! The names of the mount: which entry is in which folder, under which name.
//!
//! What must stay true: a node with a parent is in that parent's entries under its own name, and
//! nowhere else; a folder's comparison keys, once built, cover exactly its entries; whatever is owed is under
//! suspicion (`debts.rs`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use lru::LruCache;

use super::attributes::{Attributes, Defaults, Shape};
use super::debts::Debts;
use super::failure::Failure;
use super::ino::{Ino, Numbers};
use super::label::Label;
use super::moment::Moment;
use super::name::{self, NameRefused};
use super::node::{Body, File, Folder, Node, OnSite};
use super::path::RemotePath;
use super::policy::Names;
use super::siblings::Siblings;
use super::temporary;

/// Of how many folders the comparison keys are kept. They take more room than the entries themselves, and are
/// only needed where names are added.
const KEYED: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// All nodes of a mount.
#[derive(Debug)]
pub struct Tree {
    // Boxed: the table is never fuller than seven eighths, and up to twice as large as that.
    nodes: HashMap<Ino, Box<Node>>,
    debts: Debts,
    /// Comparison keys of the folders in which names were added last.
    pub(super) keys: LruCache<Ino, Siblings>,
    numbers: Numbers,
    root: RemotePath,
    /// Attributes of what has none stored.
    pub defaults: Defaults,
    /// What becomes of names that Files.com does not store as they are.
    pub names: Names,
}

/// Of an entry that is left alone.
const NOT_UNDERSTOOD: &str =
    "Files.com has something there that this version of filescomfs does not understand";

impl Tree {
    /// A tree of which only the root is known.
    pub fn new(root: RemotePath, defaults: Defaults, now: Moment) -> Self {
        let folder = Folder { published: true, ..Folder::default() };
        let attributes = defaults.new_entry(Shape::Folder, now);
        let mut node = Node::new(None, Label::new(OsStr::new("").into(), ""), attributes, folder.into());
        let mut tree = Self {
            nodes: HashMap::new(),
            debts: Debts::default(),
            keys: LruCache::new(KEYED),
            numbers: Numbers::default(),
            root,
            defaults,
            names: Names::default(),
        };
        node.lookups = 1;
        tree.nodes.insert(Ino::ROOT, Box::new(node));
        tree
    }

    /// The node, or ESTALE: the kernel may still know a number that we have forgotten.
    pub fn node(&self, ino: Ino) -> Result<&Node, Failure> {
        self.nodes.get(&ino).map(Box::as_ref).ok_or(Failure::plain(libc::ESTALE))
    }

    /// The same, to be changed.
    pub fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, Failure> {
        self.suspect(ino);
        self.known_mut(ino)
    }

    /// The same for a change that makes nothing owed.
    pub(super) fn known_mut(&mut self, ino: Ino) -> Result<&mut Node, Failure> {
        self.nodes.get_mut(&ino).map(Box::as_mut).ok_or(Failure::plain(libc::ESTALE))
    }

    fn suspect(&mut self, ino: Ino) {
        if self.debts.is_review_due() {
            let nodes = &mut self.nodes;
            self.debts.review(|ino| match nodes.get_mut(ino) {
                Some(node) => {
                    node.settle();
                    node.is_owed()
                }
                None => false,
            });
        }
        self.debts.suspect(ino);
    }

    /// Every node of which something is owed to Files.com, with its number, in no order. What was unlinked
    /// is owed to nobody.
    pub fn owed(&self) -> impl Iterator<Item = (Ino, &Node)> {
        let known = self.debts.suspects().filter_map(|ino| Some((ino, self.nodes.get(&ino)?.as_ref())));
        known.filter(|(ino, node)| node.is_owed() && (node.parent.is_some() || *ino == Ino::ROOT))
    }

    /// The kernel looked `ino` up, and will say when it forgets it.
    pub fn look_up(&mut self, ino: Ino) -> Result<(), Failure> {
        self.known_mut(ino)?.lookups += 1;
        Ok(())
    }

    /// The file behind `ino`, or EISDIR.
    pub fn file(&self, ino: Ino) -> Result<&File, Failure> {
        self.node(ino)?.file().ok_or(Failure::plain(libc::EISDIR))
    }

    /// The same, to be changed.
    pub fn file_mut(&mut self, ino: Ino) -> Result<&mut File, Failure> {
        self.node_mut(ino)?.file_mut().ok_or(Failure::plain(libc::EISDIR))
    }

    /// The folder behind `ino`, or ENOTDIR.
    pub fn folder(&self, ino: Ino) -> Result<&Folder, Failure> {
        self.node(ino)?.folder().ok_or(Failure::plain(libc::ENOTDIR))
    }

    /// The same, to be changed.
    pub fn folder_mut(&mut self, ino: Ino) -> Result<&mut Folder, Failure> {
        self.node_mut(ino)?.folder_mut().ok_or(Failure::plain(libc::ENOTDIR))
    }

    /// Every node with its number, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Ino, &Node)> {
        self.nodes.iter().map(|(ino, node)| (*ino, node.as_ref()))
    }

    /// The entry `name` of `folder`, as far as it is known.
    pub fn child(&self, folder: Ino, name: &OsStr) -> Option<Ino> {
        self.nodes.get(&folder)?.folder()?.entries.get(name).copied()
    }

    /// Where `ino` is on Files.com now; `None` for what was unlinked.
    pub fn path(&self, ino: Ino) -> Option<RemotePath> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT {
            let node = self.nodes.get(&at)?;
            names.push(node.remote());
            at = node.parent?;
        }
        Some(names.iter().rev().fold(self.root.clone(), |path, name| path.join(name)))
    }

    /// Where `ino` is below the mount point; `None` for what was unlinked.
    pub fn local_path(&self, ino: Ino) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT {
            let node = self.nodes.get(&at)?;
            names.push(&**node.name());
            at = node.parent?;
        }
        Some(names.iter().rev().collect())
    }

    /// The entry that is at a path of Files.com, as far as it is known.
    pub fn at(&self, path: &RemotePath) -> Option<Ino> {
        self.find(path.below(&self.root)?)
    }

    /// The entry that `rest` leads to from the root, by names of Files.com; as far as it is known.
    pub fn find(&self, rest: &str) -> Option<Ino> {
        let mut names = rest.split('/').filter(|name| !name.is_empty());
        names.try_fold(Ino::ROOT, |at, name| self.child(at, &name::from_remote(name)?))
    }

    /// Is `ino` the folder `above`, or below it?
    pub fn is_within(&self, ino: Ino, above: Ino) -> bool {
        let mut at = Some(ino);
        while let Some(ino) = at {
            if ino == above {
                return true;
            }
            at = self.nodes.get(&ino).and_then(|node| node.parent);
        }
        false
    }

    /// All folders from the parent of `ino` up to the root: has Files.com every one of them?
    pub fn is_rooted(&self, ino: Ino) -> bool {
        let mut at = self.nodes.get(&ino).and_then(|node| node.parent);
        while let Some(ino) = at {
            let Some(node) = self.nodes.get(&ino) else { return false };
            if node.on_site() != OnSite::Yes {
                return false;
            }
            at = node.parent;
        }
        true
    }

    /// The folder nearest to the root, among `ino` and those above it, that Files.com has not.
    pub fn topmost_unpublished(&self, ino: Ino) -> Option<Ino> {
        let up = std::iter::successors(Some(ino), |at| self.nodes.get(at).and_then(|node| node.parent));
        up.filter(|at| self.nodes.get(at).is_some_and(|node| node.on_site() != OnSite::Yes)).last()
    }

    /// `ino` and everything known below it, folders before what is in them.
    pub fn subtree(&self, ino: Ino) -> Vec<Ino> {
        let mut found = vec![ino];
        let mut at = 0;
        while at < found.len() {
            if let Some(folder) = self.nodes.get(&found[at]).and_then(|node| node.folder()) {
                found.extend(folder.entries.values());
            }
            at += 1;
        }
        found
    }

    /// Why nothing is found under a name that Files.com knows, where that is so.
    pub fn not_found(&self, folder: Ino, name: &OsStr) -> Failure {
        let text = name::to_remote(name).ok();
        match text.filter(|text| self.folder(folder).is_ok_and(|folder| folder.is_unknown(text))) {
            Some(_) => Failure::new(libc::EIO, format!("{}: {NOT_UNDERSTOOD}", name.display())),
            None => Failure::plain(libc::ENOENT),
        }
    }

    /// The text under which Files.com stores `name` in `folder`. An entry of that very name keeps its
    /// text; a name that the service would take for a sibling's gets one of its own. `moving` is on its
    /// way to that name and no obstacle, unless Files.com has it: a rename that only changes case would
    /// be a rename onto itself there.
    pub fn remote_name(&mut self, folder: Ino, name: &OsStr, moving: Option<Ino>) -> Result<String, Failure> {
        let told = |refused: NameRefused| {
            let errno = match refused {
                NameRefused::TooLong | NameRefused::TooLongEscaped => libc::ENAMETOOLONG,
                NameRefused::NotAName | NameRefused::WouldBeEscaped => libc::EINVAL,
            };
            Failure::new(errno, format!("{}: {refused}", name.display()))
        };
        let there = self.child(folder, name).filter(|there| Some(*there) != moving);
        if let Some(there) = there {
            return Ok(self.node(there)?.remote().to_owned());
        }
        let plain = name::to_remote(name).map_err(told)?;
        if self.folder(folder)?.is_unknown(&plain) {
            return Err(Failure::new(libc::EIO, format!("{}: {NOT_UNDERSTOOD}", name.display())));
        }
        if self.names == Names::Refuse && plain.as_bytes() != name.as_bytes() {
            return Err(told(NameRefused::WouldBeEscaped));
        }
        let Some(other) = self.clash(folder, &plain, moving)? else { return Ok(plain) };
        let twin = name::to_remote_twin(name).map_err(told)?;
        if self.names == Names::Encode && self.clash(folder, &twin, moving)?.is_none() {
            return Ok(twin);
        }
        Err(Failure::new(
            libc::EEXIST,
            format!(
                "{} was refused: Files.com compares names without case and accents and would store it over {}; \
                 rename one of the two",
                name.display(),
                self.node(other)?.name().display()
            ),
        ))
    }

    /// An entry of `folder` that the service would confuse with the text `remote`.
    pub(super) fn clash(
        &mut self,
        folder: Ino,
        remote: &str,
        moving: Option<Ino>,
    ) -> Result<Option<Ino>, Failure> {
        if !self.keys.contains(&folder) {
            let mut siblings = Siblings::default();
            for ino in self.folder(folder)?.entries.values() {
                siblings.insert(self.node(*ino)?.remote(), *ino);
            }
            self.keys.put(folder, siblings);
        }
        self.keys.promote(&folder);
        let only_here = |ino: &Ino| self.node(*ino).is_ok_and(|node| node.on_site() == OnSite::No);
        let free = |ino: &Ino| Some(*ino) == moving && only_here(ino);
        let siblings = self.keys.peek(&folder).into_iter();
        Ok(siblings.flat_map(|siblings| siblings.clashes(remote)).find(|ino| !free(ino)))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// EEXIST where the folder has one of that name: a name leads to one node.
    pub fn insert(
        &mut self,
        folder: Ino,
        name: OsString,
        remote: String,
        attributes: Attributes,
        body: Body,
    ) -> Result<Ino, Failure> {
        if self.child(folder, &name).is_some() {
            return Err(Failure::plain(libc::EEXIST));
        }
        // What goes by a temporary name is numbered by the name that it will have, as far as that shows.
        let path = match &body {
            Body::File(File { temporary: true, .. }) => temporary::final_name(&name)
                .and_then(|name| name::to_remote(name).ok())
                .map(|name| self.path(folder).unwrap_or_default().join(&name)),
            _ => None,
        };
        let path = path.unwrap_or_else(|| self.path(folder).unwrap_or_default().join(&remote));
        let ino = self.numbers.choose(&path, |ino| self.nodes.contains_key(&ino));
        if let Some(siblings) = self.keys.peek_mut(&folder) {
            siblings.insert(&remote, ino);
        }
        let label = Label::new(name.into(), &remote);
        let parent = self.known_mut(folder)?.folder_mut().ok_or(Failure::plain(libc::ENOTDIR))?;
        parent.entries.insert(label.name().clone(), ino);
        let node = Node::new(Some(folder), label, attributes, body);
        if node.is_owed() {
            self.suspect(ino);
        }
        self.nodes.insert(ino, Box::new(node));
        Ok(ino)
    }

    /// Takes `ino` out of its folder. The node stays for those who still hold it ([`Self::reap`]).
    pub fn detach(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        let Some(parent) = node.parent.take() else { return };
        let label = node.label.clone();
        if let Some(folder) = self.nodes.get_mut(&parent).and_then(|node| node.folder_mut()) {
            folder.entries.remove(label.name());
        }
        if let Some(siblings) = self.keys.peek_mut(&parent) {
            siblings.remove(label.remote(), ino);
        }
    }

    /// The same for what was removed by us: a listing that was asked for before `now` still shows it.
    pub fn remove(&mut self, ino: Ino, now: Instant) {
        if let Ok(node) = self.node(ino)
            && let (Some(parent), name) = (node.parent, node.name().to_os_string())
            && let Ok(folder) = self.folder_mut(parent)
        {
            folder.removed.push((name, now));
        }
        self.detach(ino);
    }

    /// Moves `ino` to another name, over whatever is there; what was there is detached and returned.
    pub fn relink(
        &mut self,
        ino: Ino,
        folder: Ino,
        name: &OsStr,
        remote: &str,
        now: Instant,
    ) -> Result<Option<Ino>, Failure> {
        let replaced = self.child(folder, name).filter(|other| *other != ino);
        if let Some(other) = replaced {
            self.detach(other);
        }
        self.remove(ino, now);
        let node = self.node_mut(ino)?;
        node.parent = Some(folder);
        node.label = Label::new(name.into(), remote);
        node.touched = Some(now);
        if let Some(file) = node.file_mut() {
            // A listing may have missed it on its way.
            file.gone = false;
        }
        let name = node.name().clone();
        self.folder_mut(folder)?.entries.insert(name, ino);
        if let Some(siblings) = self.keys.peek_mut(&folder) {
            siblings.insert(remote, ino);
        }
        Ok(replaced)
    }

    /// The kernel forgot `count` look-ups of `ino`.
    pub fn forget(&mut self, ino: Ino, count: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Drops a detached node that nobody holds any more, and returns it so that its bytes can go too.
    pub fn reap(&mut self, ino: Ino) -> Option<Node> {
        let node = self.nodes.get(&ino)?;
        let held = node.lookups > 0 || node.file().is_some_and(|file| file.handles > 0);
        if ino == Ino::ROOT || node.parent.is_some() || held {
            return None;
        }
        self.numbers.give_back(ino);
        self.keys.pop(&ino);
        self.nodes.remove(&ino).map(|node| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ino::ContentId;

    fn tree() -> (Tree, Instant) {
        let defaults = Defaults::with_umask(0o022, 0, 0);
        (Tree::new(RemotePath::parse("backups/host").unwrap(), defaults, Moment::default()), Instant::now())
    }

    fn add(tree: &mut Tree, folder: Ino, name: &str, body: Body) -> Ino {
        let attributes = tree.defaults.new_entry(Shape::File, Moment::default());
        let remote = tree.remote_name(folder, OsStr::new(name), None).unwrap();
        tree.insert(folder, name.into(), remote, attributes, body).unwrap()
    }

    fn file() -> Body {
        Body::File(File::created(ContentId(1), false))
    }

    #[test]
    fn paths_follow_a_folder_that_moves() {
        let (mut tree, now) = tree();
        let a = add(&mut tree, Ino::ROOT, "a", Folder::default().into());
        let b = add(&mut tree, Ino::ROOT, "b", Folder::default().into());
        let f = add(&mut tree, a, "f", file());
        tree.relink(a, b, OsStr::new("c"), "c", now).unwrap();
        assert_eq!(tree.path(f).unwrap().as_str(), "backups/host/b/c/f");
        assert!(tree.is_within(f, b) && !tree.is_within(b, f));
        assert_eq!(tree.child(Ino::ROOT, OsStr::new("a")), None);
    }

    #[test]
    fn what_is_replaced_stays_for_those_who_hold_it() {
        let (mut tree, now) = tree();
        let old = add(&mut tree, Ino::ROOT, "f", file());
        let new = add(&mut tree, Ino::ROOT, "g", file());
        tree.file_mut(old).unwrap().handles = 1;
        assert_eq!(tree.relink(new, Ino::ROOT, OsStr::new("f"), "f", now).unwrap(), Some(old));
        assert_eq!((tree.path(old), tree.reap(old).is_some()), (None, false));
        tree.file_mut(old).unwrap().handles = 0;
        assert!(tree.reap(old).is_some() && tree.reap(new).is_none());
    }

    #[test]
    fn names_that_the_service_takes_for_one_are_stored_as_two() {
        let (mut tree, now) = tree();
        let upper = add(&mut tree, Ino::ROOT, "README", file());
        let lower = add(&mut tree, Ino::ROOT, "readme", file());
        let twin = tree.node(lower).unwrap().remote().to_owned();
        assert!(twin.starts_with("readme‛~") && name::from_remote(&twin) == Some("readme".into()));
        assert_eq!(tree.remote_name(Ino::ROOT, OsStr::new("readme"), Some(upper)).unwrap(), twin, "kept");
        tree.relink(upper, Ino::ROOT, OsStr::new("other"), "other", now).unwrap();
        assert_eq!(tree.remote_name(Ino::ROOT, OsStr::new("Readme"), None).unwrap(), "Readme", "free again");
        tree.names = Names::Refuse;
        let refused = tree.remote_name(Ino::ROOT, OsStr::new("OTHER"), None).unwrap_err();
        assert!(refused.errno == libc::EEXIST && refused.message.contains("other"));
        assert_eq!(tree.remote_name(Ino::ROOT, OsStr::new("a\\b"), None).unwrap_err().errno, libc::EINVAL);
    }

    #[test]
    fn a_rename_that_only_changes_case_gets_a_text_of_its_own_once_it_is_published() {
        let (mut tree, _) = tree();
        let ino = add(&mut tree, Ino::ROOT, "readme", file());
        assert_eq!(tree.remote_name(Ino::ROOT, OsStr::new("README"), Some(ino)).unwrap(), "README");
        let version = crate::model::proof::Fingerprint {
            size: 0,
            created: None,
            changed: None,
            md5: None,
            crc32: None,
        };
        tree.file_mut(ino).unwrap().published = Some(version);
        assert!(
            tree.remote_name(Ino::ROOT, OsStr::new("README"), Some(ino)).unwrap().starts_with("README‛~")
        );
    }

    #[test]
    fn below_a_folder_that_is_only_here_nothing_is_rooted() {
        let (mut tree, _) = tree();
        let folder = add(&mut tree, Ino::ROOT, "lock.tmp", Folder::default().into());
        let inside = add(&mut tree, folder, "f", file());
        assert!(tree.is_rooted(folder) && !tree.is_rooted(inside));
        tree.folder_mut(folder).unwrap().published = true;
        assert!(tree.is_rooted(inside));
        assert_eq!(tree.subtree(Ino::ROOT), [Ino::ROOT, folder, inside]);
    }
}
