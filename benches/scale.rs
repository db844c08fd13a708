//! How much memory known entries take, and how looks at what is owed grow with what is known.
//!
//! ```console
//! $ cargo run --release --example scale -- 1000000
//! ```
//!
//! Memory is the growth of this process's resident size; times are told as the ratio of a quarter of the
//! entries to all of them.

#![allow(clippy::print_stdout)] // What it measures.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use filescomfs::model::attributes::{Defaults, Shape};
use filescomfs::model::digest::Md5;
use filescomfs::model::entry::{Entry, Kind, Permissions};
use filescomfs::model::ino::{ContentId, Ino};
use filescomfs::model::moment::Moment;
use filescomfs::model::node::{Body, File};
use filescomfs::model::path::RemotePath;
use filescomfs::model::tree::Tree;

/// Files of one folder.
const FILES: usize = 1000;
/// One file in so many is owed.
const OWED: usize = 100;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let (mut looks, mut trees) = (Vec::new(), Vec::new());
    for entries in [wanted / 4, wanted] {
        let before = resident();
        let mut tree = build(entries);
        let bytes = (resident() - before) / entries as u64;
        looks.push(look(&mut tree, entries / OWED));
        // Kept: what it gives back would be taken for the next one.
        trees.push(tree);
        println!(
            "{entries} entries: {bytes} bytes each; a look at {} owed ones: {:?}",
            entries / OWED,
            looks.last()
        );
    }
    let (few, many) = (looks[0].as_secs_f64(), looks[1].as_secs_f64());
    println!("four times as many: {:.1} times as long", many / few);
}

/// Folders of files that Files.com lists, as a walk through a mount finds them.
fn build(entries: usize) -> Tree {
    let mut tree = Tree::new(RemotePath::ROOT, Defaults::with_umask(0o022, 0, 0), Moment::default());
    let folders = (0..entries.div_ceil(FILES)).map(|n| Entry::folder(format!("folder-{n:06}"))).collect();
    tree.merge(Ino::ROOT, folders, Instant::now()).expect("the root is a folder");
    let folders: Vec<Ino> = tree.subtree(Ino::ROOT).into_iter().skip(1).collect();
    for (n, folder) in folders.into_iter().enumerate() {
        let files = (0..FILES).map(|file| entry(n * FILES + file)).collect();
        tree.merge(folder, files, Instant::now()).expect("it was listed as a folder");
    }
    tree
}

fn entry(n: usize) -> Entry {
    let name = format!("photo-{n:010}.jpg");
    let moment = Some(Moment::from_seconds(1_700_000_000 + n as i64));
    Entry {
        md5: Some(Md5::of(name.as_bytes())),
        name,
        kind: Kind::File,
        size: n as u64,
        created: moment,
        changed: moment,
        provided: moment,
        crc32: None,
        permissions: Permissions::ALL,
        metadata: BTreeMap::new(),
    }
}

/// New files are owed, one after the other, and each is looked for among all that are.
fn look(tree: &mut Tree, owed: usize) -> Duration {
    let folder = tree.child(Ino::ROOT, OsStr::new("folder-000000")).expect("it was listed");
    let attributes = tree.defaults.new_entry(Shape::File, Moment::default());
    for n in 0..owed {
        let (name, body) = (format!("new-{n}"), Body::File(File::created(ContentId(n as u64), false)));
        tree.insert(folder, name.clone().into(), name, attributes, body).expect("the folder is there");
    }
    let since = Instant::now();
    for _ in 0..10 {
        assert_eq!(tree.owed().count(), owed);
    }
    since.elapsed() / 10
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
