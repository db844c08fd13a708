//! Names in folders, with another client about: no file is ever stored over another's, and every name comes
//! back from a listing alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::attributes::{Defaults, Shape};
use super::comparison::Keys;
use super::entry::{Entry, Kind};
use super::ino::{ContentId, Ino};
use super::moment::Moment;
use super::name::from_remote;
use super::node::{Body, File, Folder, OnSite};
use super::path::RemotePath;
use super::rename::{Move, There};
use super::tree::Tree;

/// Names of which Files.com takes many for one.
const NAMES: &[&str] = &[
    "readme",
    "README",
    "ReadMe",
    "réadme",
    "readme ",
    "readme\u{200b}",
    "re\u{301}adme",
    "README\\",
    "readme␠",
    "readme‛~3905d7917f",
    "ß",
    "ss",
    "SS",
    "か",
    "ガ",
    "x",
    "X",
    "x\u{1}",
];

fn tree() -> Tree {
    Tree::new(RemotePath::ROOT, Defaults::with_umask(0o022, 0, 0), Moment::default())
}

fn text(name: &str) -> &OsStr {
    OsStr::new(name)
}

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Here a file is made, not yet sent.
    Make(usize),
    /// Here a folder is made, on Files.com at once.
    MakeFolder(usize),
    /// What is owed is completed, after a listing.
    Publish(usize),
    Rename(usize, usize),
    Remove(usize),
    /// Another client stores a file under that very text, or takes it away.
    Theirs(usize),
    TheyRemove(usize),
    List,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => name.clone().prop_map(Step::Make),
        1 => name.clone().prop_map(Step::MakeFolder),
        3 => name.clone().prop_map(Step::Publish),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => name.clone().prop_map(Step::Remove),
        2 => name.clone().prop_map(Step::Theirs),
        1 => name.prop_map(Step::TheyRemove),
        1 => Just(Step::List),
    ]
}

/// The rule that the site goes by, which nobody knows.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Latin,
    Collated,
}

/// Files.com: texts, and whose name each of them holds.
struct Site {
    rule: Rule,
    holds: BTreeMap<String, (OsString, Kind)>,
}

impl Site {
    fn same(&self, a: &str, b: &str) -> bool {
        let (a, b) = (Keys::of(a), Keys::of(b));
        match self.rule {
            Rule::Latin => a.latin == b.latin,
            Rule::Collated => a.collated == b.collated,
        }
    }

    fn found(&self, remote: &str) -> Option<String> {
        self.holds.keys().find(|other| self.same(other, remote)).cloned()
    }

    /// Something of ours arrives: only over what is ours by that very name.
    fn take(&mut self, remote: &str, name: &OsStr, kind: Kind) {
        if let Some(found) = self.found(remote) {
            assert_eq!(
                (found.as_str(), &*self.holds[&found].0),
                (remote, name),
                "stored over another's name"
            );
        }
        self.holds.insert(remote.to_owned(), (name.to_owned(), kind));
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |(remote, (_, kind)): (&String, &(OsString, Kind))| Entry {
            kind: *kind,
            ..Entry::folder(remote.clone())
        };
        self.holds.iter().map(entry).collect()
    }
}

struct Stage {
    tree: Tree,
    site: Site,
    start: Instant,
    time: u64,
}

impl Stage {
    fn now(&mut self) -> Instant {
        self.time += 1;
        self.start + Duration::from_secs(self.time)
    }

    fn find(&self, n: usize) -> Option<Ino> {
        self.tree.child(Ino::ROOT, text(NAMES[n]))
    }

    fn list(&mut self) {
        let now = self.now();
        self.tree.merge(Ino::ROOT, self.site.entries(), now).unwrap();
    }

    fn add(&mut self, n: usize, body: Body) -> Ino {
        let name = text(NAMES[n]);
        let remote = self.tree.remote_name(Ino::ROOT, name, None).unwrap();
        let attributes = self.tree.defaults.new_entry(Shape::File, Moment::default());
        self.tree.insert(Ino::ROOT, name.to_owned(), remote, attributes, body).unwrap()
    }

    fn publish(&mut self, ino: Ino) {
        let node = self.tree.node(ino).unwrap();
        let (remote, name) = (node.remote().to_owned(), node.name().to_os_string());
        self.site.take(&remote, &name, Kind::File);
        let version = self.site.entries()[0].fingerprint();
        let file = self.tree.file_mut(ino).unwrap();
        file.content = super::content::Content::clean();
        file.published = Some(version);
    }

    fn rename(&mut self, from: usize, to: usize) {
        let (name, new) = (text(NAMES[from]), text(NAMES[to]));
        let Ok(plan) = self.tree.plan_rename((Ino::ROOT, name), (Ino::ROOT, new), false) else { return };
        match &plan.there {
            There::Same => return,
            There::Nothing => {}
            There::Move(Move { from, to, .. }) => {
                let (kind, target) =
                    (self.site.holds.remove(from.as_str()).unwrap().1, self.site.found(to.as_str()));
                assert!(target.is_none_or(|target| target == to.as_str()), "moved over another's name");
                self.site.holds.insert(to.as_str().to_owned(), (new.to_owned(), kind));
            }
        }
        let now = self.now();
        self.tree.relink(plan.source, Ino::ROOT, new, &plan.remote, now).unwrap();
    }

    fn step(&mut self, step: Step) {
        // Every step of ours believes a fresh listing. What comes between the two is another matter:
        // nobody can tell two machines apart that make `README` and `readme` at the same moment.
        if !matches!(step, Step::Theirs(_) | Step::TheyRemove(_)) {
            self.list();
        }
        match step {
            Step::Make(n) if self.find(n).is_none() => {
                self.add(n, Body::File(File::created(ContentId(1), false)));
            }
            Step::MakeFolder(n) if self.find(n).is_none() => {
                let ino = self.add(n, Body::from(Folder { published: true, ..Folder::default() }));
                let node = self.tree.node(ino).unwrap();
                self.site.take(node.remote(), node.name(), Kind::Folder);
            }
            Step::Publish(n) => {
                let ino = self
                    .find(n)
                    .filter(|ino| self.tree.file(*ino).is_ok_and(|file| file.published.is_none()));
                if let Some(ino) = ino {
                    self.publish(ino);
                }
            }
            Step::Rename(from, to) => self.rename(from, to),
            Step::Remove(n) => {
                let Some(ino) = self.find(n) else { return };
                let node = self.tree.node(ino).unwrap();
                if node.on_site() == OnSite::Yes {
                    let gone = self.site.holds.remove(node.remote());
                    assert_eq!(
                        gone.map(|(name, _)| name).as_deref(),
                        Some(text(NAMES[n])),
                        "another's was deleted"
                    );
                }
                let now = self.now();
                self.tree.remove(ino, now);
            }
            Step::Theirs(n) => {
                let remote = NAMES[n];
                let name = from_remote(remote).unwrap();
                // A second text for a name of ours is hidden where the first is known, and the log names it;
                // which of the two a mount knows first is its own history.
                let is_second = self.site.holds.values().any(|(other, _)| *other == name);
                if !remote.contains('\\') && !is_second && self.site.found(remote).is_none() {
                    self.site.holds.insert(remote.to_owned(), (name, Kind::File));
                }
            }
            Step::TheyRemove(n) => drop(self.site.holds.remove(NAMES[n])),
            Step::Make(_) | Step::MakeFolder(_) | Step::List => {}
        }
    }

    /// What another mount would see is what this one sees, less what is owed.
    fn check(&mut self) {
        self.list();
        let mut other = tree();
        other.merge(Ino::ROOT, self.site.entries(), self.start).unwrap();
        let names = |tree: &Tree, published: bool| -> BTreeMap<OsString, String> {
            let folder = tree.folder(Ino::ROOT).unwrap();
            let nodes = folder.entries.values().map(|ino| tree.node(*ino).unwrap());
            let nodes = nodes.filter(|node| !published || node.on_site() == OnSite::Yes);
            nodes.map(|node| (node.name().to_os_string(), node.remote().to_owned())).collect()
        };
        let (ours, theirs) = (names(&self.tree, true), names(&other, false));
        assert_eq!(ours, theirs);
        for (name, remote) in &ours {
            assert_eq!(&self.site.holds[remote].0, name);
        }
        // Nothing of what is owed waits to be stored over what is there.
        for (name, remote) in names(&self.tree, false) {
            let there = self.site.found(&remote);
            assert!(
                there.is_none_or(|there| there == remote && self.site.holds[&there].0 == name),
                "{name:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_file_is_stored_over_another_whoever_comes_first(
        steps in prop::collection::vec(step(), 1..40), latin in any::<bool>(),
    ) {
        let rule = if latin { Rule::Latin } else { Rule::Collated };
        let site = Site { rule, holds: BTreeMap::new() };
        let mut stage = Stage { tree: tree(), site, start: Instant::now(), time: 0 };
        for step in steps {
            stage.step(step);
        }
        stage.check();
    }
}
