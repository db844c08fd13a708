//! What a fresh listing changes in the tree.
//!
//! A listing is a snapshot of some moment between its question and its answer. What was changed here
//! after the question is therefore left alone, and what is owed stays whatever the listing says.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::time::Instant;

use super::attributes::{LINK_KEY, Shape, states_time, take_apart};
use super::entry::{Entry, Kind};
use super::failure::Failure;
use super::ino::{ContentId, Ino};
use super::label::Label;
use super::name;
use super::node::{Body, Extras, File, Folder, Link, Local, Node, OnSite};
use super::path::RemotePath;
use super::tree::Tree;

/// What others must be told of after a listing was taken in.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names that lead elsewhere now: the kernel must look again.
    pub names: Vec<(Ino, OsString)>,
    /// Files whose bytes or attributes are others now.
    pub inodes: Vec<Ino>,
    /// Local bytes that belong to no version any more.
    pub dropped: Vec<ContentId>,
    /// Names that no POSIX folder can hold.
    pub hidden: Vec<String>,
    /// What is not understood, where it was not listed before.
    pub unknown: Vec<String>,
    /// What is only here and got another text, with the one that it had.
    pub renamed: Vec<(Ino, String)>,
    /// Where attributes were owed of what is not there any more.
    pub unowed: Vec<RemotePath>,
    /// Folders that are there after all, and whose attributes here are owed.
    pub unsent: Vec<Ino>,
    /// Files that are open, and stay with the version that they had.
    pub kept: Vec<Ino>,
    /// Files of which another digest is stated than was proven.
    pub contradicted: Vec<Ino>,
}

impl Tree {
    /// Takes in a listing of `folder` that was asked for at `asked`.
    pub fn merge(&mut self, folder: Ino, listed: Vec<Entry>, asked: Instant) -> Result<Changes, Failure> {
        let mut changes = Changes::default();
        let mut seen = HashSet::new();
        let hidden: HashSet<OsString> = {
            let folder = self.known_folder(folder)?;
            folder.removed.retain(|(_, when)| *when >= asked);
            let removed = folder.removed.iter().map(|(name, _)| name);
            removed.chain(&folder.making).cloned().collect()
        };
        let mut unknown: Vec<Box<str>> = Vec::new();
        for (name, entry) in self.choose(folder, listed, &mut changes.hidden) {
            seen.insert(name.clone());
            if entry.kind == Kind::Unknown {
                // What is known here by that name stays as it is: nobody says that it is gone.
                unknown.push(entry.name.into());
                continue;
            }
            match self.child(folder, &name) {
                Some(ino) if self.is_newer_here(ino, asked) => {}
                Some(ino) => self.update(folder, ino, entry, &mut changes)?,
                None if hidden.contains(&name) => {}
                // The kernel keeps no name that is not there, and is not told of one that is new: it may have
                // looked by now, and whoever works in a folder would lose it.
                None => self.add(folder, name, entry)?,
            }
        }
        let gone: Vec<Ino> = self
            .folder(folder)?
            .entries
            .iter()
            .filter(|(name, ino)| !seen.contains(&***name) && !self.is_newer_here(**ino, asked))
            .map(|(_, ino)| *ino)
            .collect();
        for ino in gone {
            self.lost(folder, ino, &mut changes)?;
        }
        let known = self.known_folder(folder)?;
        known.listed = Some(asked);
        known.unseen = false;
        unknown.sort_unstable();
        let is_known = |text: &str| known.unknown.iter().any(|known| &**known == text);
        let new = unknown.iter().filter(|text| !is_known(text));
        changes.unknown = new.map(|text| text.to_string()).collect();
        known.unknown = unknown;
        let parted = self.part_twins(folder)?;
        changes.renamed.extend(parted);
        Ok(changes)
    }

    /// The entries by their POSIX names. Two texts for one name can only come from other clients: the one
    /// that we know stays, or else the plain one, and the other is hidden.
    fn choose(&self, folder: Ino, listed: Vec<Entry>, hidden: &mut Vec<String>) -> HashMap<OsString, Entry> {
        let mut chosen: HashMap<OsString, Entry> = HashMap::with_capacity(listed.len());
        for entry in listed {
            let Some(name) = name::from_remote(&entry.name) else {
                hidden.push(entry.name);
                continue;
            };
            let rank = |entry: &Entry| {
                let known = self.child(folder, &name).and_then(|ino| self.node(ino).ok());
                let is_known = known.is_some_and(|node| node.remote() == entry.name);
                (is_known, name::to_remote(&name).is_ok_and(|plain| plain == entry.name))
            };
            match chosen.get(&name) {
                Some(other) if rank(other) >= rank(&entry) => hidden.push(entry.name),
                Some(_) => hidden.extend(chosen.insert(name, entry).map(|other| other.name)),
                None => {
                    chosen.insert(name, entry);
                }
            }
        }
        chosen
    }

    /// What is only here and would be stored over another's file, which was not known when the name was
    /// chosen, gets a text of its own.
    fn part_twins(&mut self, folder: Ino) -> Result<Vec<(Ino, String)>, Failure> {
        let mut renamed = Vec::new();
        let only_here = |ino: &Ino| self.node(*ino).is_ok_and(|node| node.on_site() == OnSite::No);
        let entries: Vec<Ino> = self.folder(folder)?.entries.values().copied().filter(only_here).collect();
        for ino in entries {
            let (name, remote) = {
                let node = self.node(ino)?;
                (node.name().clone(), node.remote().to_owned())
            };
            let clash = self.clash(folder, &remote, Some(ino))?;
            let is_there =
                clash.is_some_and(|other| self.node(other).is_ok_and(|other| other.on_site() != OnSite::No));
            let twin = name::to_remote_twin(&name).ok().filter(|twin| is_there && *twin != remote);
            if let Some(twin) = twin {
                renamed.push((ino, self.restate(folder, ino, &twin)?));
            }
        }
        Ok(renamed)
    }

    /// Gives an entry another text on Files.com, and returns the one that it had.
    fn restate(&mut self, folder: Ino, ino: Ino, text: &str) -> Result<String, Failure> {
        let node = self.known_mut(ino)?;
        let before = node.remote().to_owned();
        node.label = Label::new(node.name().clone(), text);
        if let Some(siblings) = self.keys.peek_mut(&folder) {
            siblings.remove(&before, ino);
            siblings.insert(text, ino);
        }
        Ok(before)
    }

    fn known_folder(&mut self, folder: Ino) -> Result<&mut Folder, Failure> {
        self.known_mut(folder)?.folder_mut().ok_or(Failure::plain(libc::ENOTDIR))
    }

    fn is_newer_here(&self, ino: Ino, asked: Instant) -> bool {
        self.node(ino).is_ok_and(|node| node.touched.is_some_and(|touched| touched >= asked))
    }

    fn add(&mut self, folder: Ino, name: OsString, entry: Entry) -> Result<(), Failure> {
        let body = match entry.kind {
            Kind::File => Body::File(File::listed(entry.fingerprint())),
            Kind::Folder => Folder { published: true, ..Folder::default() }.into(),
            Kind::Unknown => return Ok(()),
        };
        let attributes = self.defaults.new_entry(Shape::File, Default::default());
        let ino = self.insert(folder, name, entry.name.clone(), attributes, body)?;
        self.describe(ino, entry)
    }

    /// Attributes, permissions and the metadata of others, as the entry states them.
    pub fn describe(&mut self, ino: Ino, entry: Entry) -> Result<(), Failure> {
        let shape = Shape::of(entry.kind == Kind::Folder, &entry.metadata);
        let attributes = self.defaults.from_entry(shape, entry.provided, entry.changed, &entry.metadata);
        let target = entry.metadata.get(LINK_KEY).filter(|target| !target.is_empty()).cloned();
        let time_is_set = entry.provided.is_some() || states_time(&entry.metadata);
        let (xattrs, foreign) = take_apart(entry.metadata);
        let link = (shape == Shape::Link).then(|| target.map_or(Link::InContent, |to| Link::To(to.into())));
        let node = self.known_mut(ino)?;
        node.permissions = entry.permissions;
        let xattrs = match node.attributes_owed {
            true => node.xattrs.clone(),
            false => {
                (node.attributes, node.time_is_set) = (attributes, time_is_set);
                xattrs
            }
        };
        node.set_extras(Extras { xattrs, foreign, touched: node.touched, link });
        Ok(())
    }

    fn update(&mut self, folder: Ino, ino: Ino, entry: Entry, changes: &mut Changes) -> Result<(), Failure> {
        let version = entry.fingerprint();
        let is_owed = match (&self.node(ino)?.body, entry.kind) {
            (Body::File(file), Kind::File) => file.content.is_owed(),
            (Body::Folder(known), Kind::Folder) => !known.published,
            _ => false,
        };
        if is_owed && self.node(ino)?.remote() != entry.name {
            // Two texts for one name would hide one of the two: what is owed goes where that name is.
            let before = self.restate(folder, ino, &entry.name)?;
            changes.renamed.push((ino, before));
        }
        let node = self.known_mut(ino)?;
        let before = (node.attributes, node.permissions);
        // Stored under another text now: somebody took the old one away and made a new one.
        let is_other = node.remote() != entry.name;
        match (&mut node.body, entry.kind) {
            (Body::File(file), Kind::File) if file.content.is_owed() && !is_other => {
                file.published = Some(version);
                node.foreign = take_apart(entry.metadata).1;
                return Ok(());
            }
            (Body::File(file), Kind::File) if !is_other => {
                let same = file.published.is_some_and(|known| known.is_same_version(&version));
                if !same && file.handles > 0 {
                    // Whoever has it open goes on with the version that was there at open.
                    changes.kept.push(ino);
                    return Ok(());
                }
                file.published = Some(version);
                if same && file.is_contradicted_by(&version) {
                    changes.contradicted.push(ino);
                }
                if !same {
                    file.prove(None);
                    file.blocks = Default::default();
                    file.size = version.size;
                    file.stale_pages = true;
                    changes.dropped.extend(std::mem::replace(&mut file.local, Local::Nowhere).id());
                    changes.inodes.push(ino);
                    node.settle();
                }
            }
            (Body::Folder(known), Kind::Folder) if !is_other => {
                let was_only_here = !std::mem::replace(&mut known.published, true);
                let is_known = !std::mem::take(&mut known.perhaps);
                if was_only_here && (is_known || node.attributes_owed) {
                    node.attributes_owed = true;
                    changes.unsent.push(ino);
                }
            }
            _ => {
                let name = node.name().clone();
                self.lost(folder, ino, changes)?;
                if self.child(folder, &name).is_none() {
                    return self.add(folder, name.to_os_string(), entry);
                }
                return Ok(());
            }
        }
        self.describe(ino, entry)?;
        let node = self.node(ino)?;
        if (node.attributes, node.permissions) != before && !changes.inodes.contains(&ino) {
            changes.inodes.push(ino);
        }
        Ok(())
    }

    /// Files.com does not show `ino` any more. What is owed in or below it stays, and will be
    /// published again.
    fn lost(&mut self, folder: Ino, ino: Ino, changes: &mut Changes) -> Result<(), Failure> {
        let subtree = self.subtree(ino);
        let is_owed = |node: &Node| match &node.body {
            Body::File(file) => file.content.is_owed(),
            Body::Folder(folder) => !folder.published,
        };
        if subtree.iter().any(|ino| self.node(*ino).is_ok_and(is_owed)) {
            for ino in subtree {
                match &mut self.node_mut(ino)?.body {
                    // What may be there still may: a completion can come late.
                    Body::File(file) if file.content.is_owed() => file.published = None,
                    Body::Folder(folder) => folder.perhaps = false,
                    Body::File(_) => {}
                }
            }
            return Ok(());
        }
        changes.names.push((folder, self.node(ino)?.name().to_os_string()));
        let unowed = subtree.iter().filter(|ino| self.node(**ino).is_ok_and(|node| node.attributes_owed));
        changes.unowed.extend(unowed.filter_map(|ino| self.path(*ino)));
        for ino in subtree {
            self.detach(ino);
            if let Some(file) = self.node_mut(ino)?.file_mut() {
                file.gone = true;
            }
            if let Some(Node { body: Body::File(file), .. }) = self.reap(ino) {
                changes.dropped.extend(file.local.id());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::time::Duration;

    use super::*;
    use crate::model::attributes::Defaults;
    use crate::model::moment::Moment;

    fn entry(name: &str, kind: Kind, created: i64) -> Entry {
        Entry {
            kind,
            size: if kind == Kind::File { created as u64 } else { 0 },
            created: Some(Moment::from_seconds(created)),
            ..Entry::folder(name.to_owned())
        }
    }

    struct Stage {
        tree: Tree,
        start: Instant,
    }

    impl Stage {
        fn new() -> Self {
            let defaults = Defaults::with_umask(0o022, 0, 0);
            Self { tree: Tree::new(RemotePath::ROOT, defaults, Moment::default()), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn list(&mut self, asked: u64, entries: &[Entry]) -> Changes {
            self.tree.merge(Ino::ROOT, entries.to_vec(), self.at(asked)).unwrap()
        }

        fn find(&self, name: &str) -> Option<Ino> {
            self.tree.child(Ino::ROOT, OsStr::new(name))
        }
    }

    #[test]
    fn a_listing_adds_updates_and_removes() {
        let mut stage = Stage::new();
        let changes = stage.list(0, &[entry("f", Kind::File, 1), entry("d", Kind::Folder, 1)]);
        assert_eq!(changes.names, [], "nobody has to forget what is new");
        let file = stage.find("f").unwrap();
        let changes = stage.list(1, &[entry("f", Kind::File, 2)]);
        assert_eq!((stage.find("f"), stage.tree.file(file).unwrap().size), (Some(file), 2));
        assert_eq!((changes.inodes, changes.names), (vec![file], vec![(Ino::ROOT, "d".into())]));
    }

    #[test]
    fn what_is_only_here_makes_way_for_a_name_that_others_took_there() {
        let mut stage = Stage::new();
        stage.list(0, &[]);
        let remote = stage.tree.remote_name(Ino::ROOT, OsStr::new("readme"), None).unwrap();
        let attributes = stage.tree.defaults.new_entry(Shape::File, Moment::default());
        let body = Body::File(File::created(ContentId(7), false));
        let ours = stage.tree.insert(Ino::ROOT, "readme".into(), remote, attributes, body).unwrap();
        let changes = stage.list(1, &[entry("README", Kind::File, 1)]);
        assert_eq!(changes.renamed, [(ours, "readme".to_owned())]);
        assert_eq!(
            stage.tree.node(ours).unwrap().remote(),
            name::to_remote_twin(OsStr::new("readme")).unwrap()
        );
        assert!(stage.find("README").is_some_and(|theirs| theirs != ours));
        assert_eq!(stage.list(2, &[entry("README", Kind::File, 1)]).renamed, []);
    }

    #[test]
    fn what_is_owed_goes_where_its_name_is_stored_by_another_mount() {
        let mut stage = Stage::new();
        stage.list(0, &[]);
        let attributes = stage.tree.defaults.new_entry(Shape::File, Moment::default());
        let body = Body::File(File::created(ContentId(7), false));
        let ours = stage.tree.insert(Ino::ROOT, "readme".into(), "readme".into(), attributes, body).unwrap();
        let twin = name::to_remote_twin(OsStr::new("readme")).unwrap();
        let changes = stage.list(1, &[entry(&twin, Kind::File, 1)]);
        assert_eq!(changes.renamed, [(ours, "readme".to_owned())]);
        assert_eq!(stage.tree.node(ours).unwrap().remote(), twin);
        assert!(stage.tree.file(ours).unwrap().published.is_some(), "it replaces the other's");
    }

    #[test]
    fn what_was_removed_after_the_question_does_not_come_back() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("f", Kind::File, 1)]);
        let (ino, now) = (stage.find("f").unwrap(), stage.at(5));
        stage.tree.remove(ino, now);
        stage.list(4, &[entry("f", Kind::File, 1)]);
        assert_eq!(stage.find("f"), None);
        stage.list(6, &[entry("f", Kind::File, 3)]);
        assert!(stage.find("f").is_some());
    }

    #[test]
    fn what_was_published_after_the_question_is_not_called_gone() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("f", Kind::File, 1)]);
        let (ino, now) = (stage.find("f").unwrap(), stage.at(5));
        stage.tree.node_mut(ino).unwrap().touched = Some(now);
        stage.list(4, &[]);
        assert_eq!(stage.find("f"), Some(ino));
        stage.list(6, &[]);
        assert_eq!(stage.find("f"), None);
    }

    #[test]
    fn what_is_owed_stays_whatever_the_listing_says() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("f", Kind::File, 1), entry("d", Kind::Folder, 1)]);
        let (file, folder) = (stage.find("f").unwrap(), stage.find("d").unwrap());
        let writing = stage.tree.file_mut(file).unwrap().content.begin_write();
        stage.tree.file_mut(file).unwrap().content.end_write(writing);
        let body = Body::File(File::created(ContentId(7), false));
        let attributes = stage.tree.defaults.new_entry(Shape::File, Moment::default());
        stage.tree.insert(folder, "new".into(), "new".into(), attributes, body).unwrap();
        stage.list(1, &[]);
        assert_eq!((stage.find("f"), stage.find("d")), (Some(file), Some(folder)));
        assert_eq!(stage.tree.file(file).unwrap().published, None);
    }

    #[test]
    fn an_open_file_stays_with_its_version() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("f", Kind::File, 1)]);
        let file = stage.find("f").unwrap();
        stage.tree.file_mut(file).unwrap().handles = 1;
        let changes = stage.list(1, &[entry("f", Kind::File, 2)]);
        assert_eq!((changes.inodes, changes.kept), (vec![], vec![file]));
        stage.tree.file_mut(file).unwrap().handles = 0;
        assert_eq!(stage.list(2, &[entry("f", Kind::File, 2)]).inodes, [file]);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_hidden() {
        let mut stage = Stage::new();
        let changes = stage.list(0, &[entry("..", Kind::Folder, 1), entry("a/b", Kind::File, 1)]);
        assert_eq!(changes.hidden, ["..", "a/b"]);
        assert!(stage.tree.folder(Ino::ROOT).unwrap().entries.is_empty());
    }

    #[test]
    fn of_two_texts_for_one_name_the_known_one_stays() {
        let mut stage = Stage::new();
        let twin = name::to_remote_twin(OsStr::new("README")).unwrap();
        stage.list(0, &[entry(&twin, Kind::File, 1)]);
        let ino = stage.find("README").unwrap();
        let changes = stage.list(1, &[entry("README", Kind::File, 7), entry(&twin, Kind::File, 1)]);
        assert_eq!(
            (changes.hidden, stage.tree.node(ino).unwrap().remote().to_owned()),
            (vec!["README".into()], twin)
        );
        stage.list(2, &[entry("README", Kind::File, 7)]);
        let now = stage.find("README").unwrap();
        assert!(now != ino && stage.tree.file(now).unwrap().size == 7);
    }

    #[test]
    fn what_is_not_understood_is_neither_shown_nor_free_nor_gone() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("f", Kind::File, 1), entry("g", Kind::File, 1)]);
        let known = stage.tree.child(Ino::ROOT, OsStr::new("f")).unwrap();
        let odd = [Entry::unknown("f".into()), entry("g", Kind::File, 1), Entry::unknown("Été".into())];
        let changes = stage.list(1, &odd);
        assert_eq!(changes.unknown, ["f", "Été"]);
        assert_eq!(stage.tree.child(Ino::ROOT, OsStr::new("f")), Some(known), "what was known stays");
        assert_eq!(stage.tree.child(Ino::ROOT, OsStr::new("Été")), None);
        let name = OsStr::new("ete");
        assert_eq!(stage.tree.remote_name(Ino::ROOT, name, None).unwrap_err().errno, libc::EIO);
        assert_eq!(stage.tree.not_found(Ino::ROOT, name).errno, libc::EIO);
        assert_eq!(stage.tree.not_found(Ino::ROOT, OsStr::new("x")).errno, libc::ENOENT);
        assert!(!stage.tree.folder(Ino::ROOT).unwrap().is_empty());
        assert_eq!(stage.list(2, &odd).unknown, [""; 0], "told once");
        stage.list(3, &[entry("g", Kind::File, 1)]);
        assert_eq!(stage.tree.remote_name(Ino::ROOT, name, None).unwrap(), "ete");
    }

    #[test]
    fn a_file_that_became_a_folder_is_a_folder() {
        let mut stage = Stage::new();
        stage.list(0, &[entry("x", Kind::File, 1)]);
        stage.list(1, &[entry("x", Kind::Folder, 1)]);
        assert!(stage.tree.node(stage.find("x").unwrap()).unwrap().is_folder());
    }
}
