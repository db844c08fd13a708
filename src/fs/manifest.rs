//! What is verified now: the files under a path whose version on Files.com has a receipt.
//!
//! The folders are walked in the order of their names, and asked for again where their listings are
//! older than the mount allows. An answer is a page, and the next one goes on behind it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::Filesystem;
use super::core::Core;
use super::scope::Scope;
use super::standing::there;
use crate::model::attributes::Shape;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::path::RemotePath;
use crate::model::receipt::Receipt;

/// Files of one page.
const PAGE: usize = 10_000;
/// Folders that are listed at the same time.
const AHEAD: usize = 8;

/// A file with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Its path below what was asked for, by its names on Files.com; for a file itself, its name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// MD5 of the bytes that left, in hexadecimal.
    pub md5: String,
    /// What the proof rests on.
    pub basis: String,
    /// When it was proven.
    pub uploaded: String,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Files that are verified.
    pub files: Vec<Proven>,
    /// Files that are only weakly verified.
    pub weak: Vec<Proven>,
    /// How many files of this page Files.com has without a receipt.
    pub unproven: u64,
    /// How many symbolic links there are: no sum can be checked through one.
    pub links: u64,
    /// How many files of this page are owed.
    pub owed: u64,
    /// How many files of this page are open for writing, and owed for that reason alone.
    #[serde(default)]
    pub open: u64,
    /// Files of this page of which Files.com states another MD5 than that of the bytes that left for them.
    #[serde(default)]
    pub contradicted: Vec<String>,
    /// Where the next page begins; `None` for the last.
    pub next: Option<String>,
}

enum Item {
    Folder(Ino, RemotePath),
    File(RemotePath, Found),
}

enum Found {
    Owed,
    Open,
    Link,
    Unproven,
    Contradicted,
    Proven(Box<Receipt>),
}

impl Filesystem {
    /// A page of what is verified under `scope`, behind the path `after`.
    pub async fn manifest(&self, scope: &Scope, after: &str) -> Result<Page, Failure> {
        self.find_way(scope).await?;
        let after = RemotePath::parse(after)
            .ok_or_else(|| Failure::new(libc::EINVAL, format!("{after:?} is no path of a page before")))?;
        let (top, is_folder) = {
            let core = self.core();
            let top = scope.look(&core)?.top();
            (top, core.tree.node(top)?.is_folder())
        };
        let mut todo = match is_folder {
            true => vec![Item::Folder(top, RemotePath::ROOT)],
            false => vec![self.alone(top).await?],
        };
        let mut page = Page::default();
        let mut seen = 0;
        while let Some(item) = todo.pop() {
            match item {
                Item::Folder(ino, path) => {
                    todo.extend(self.items(ino, &path, &after).await?.into_iter().rev())
                }
                Item::File(path, found) => {
                    page.take(&path, found);
                    seen += 1;
                    if seen == PAGE {
                        page.next = Some(path.as_str().to_owned());
                        break;
                    }
                }
            }
        }
        Ok(page)
    }

    async fn alone(&self, ino: Ino) -> Result<Item, Failure> {
        let folder = self.core().tree.node(ino)?.parent;
        if let Some(folder) = folder {
            self.await_stated(folder).await?;
            self.owe_contradicted(folder).await?;
        }
        let path = self.path(ino)?;
        let receipt = self.receipts.at(&path).await?;
        let core = self.core();
        let name = RemotePath::ROOT.join(path.name());
        Ok(Item::File(name, judge(&core, ino, receipt)))
    }

    /// Lists a folder, and is not content with how it was before the network went down: what others did
    /// since would be called verified.
    async fn list_surely(&self, folder: Ino) -> Result<(), Failure> {
        let asked = Instant::now();
        self.list(folder).await?;
        let now = Instant::now();
        let core = self.core();
        let age = self.rules.dir_ttl + (now - asked) + Duration::from_millis(1);
        if core.is_fresh(folder, age, now)? {
            return Ok(());
        }
        let path = core.tree.path(folder).map_or_else(String::new, |path| path.to_string());
        Err(Failure::new(libc::EIO, format!("{path} cannot be listed now: Files.com cannot be reached")))
    }

    /// What is in a folder, in order, as far as it is not before `after`.
    async fn items(&self, folder: Ino, path: &RemotePath, after: &RemotePath) -> Result<Vec<Item>, Failure> {
        self.list_surely(folder).await?;
        self.await_stated(folder).await?;
        self.owe_contradicted(folder).await?;
        let here = self.path(folder)?;
        let receipts = self.receipts.in_folder(&here).await?;
        let mut receipts: HashMap<String, Receipt> =
            receipts.into_iter().map(|receipt| (receipt.path.name().to_owned(), receipt)).collect();
        let items = {
            let core = self.core();
            let mut items = Vec::new();
            for ino in core.tree.folder(folder)?.entries.values() {
                let node = core.tree.node(*ino)?;
                let path = path.join(node.remote());
                let is_over = match node.is_folder() {
                    true => is_before(&path, after) && after.below(&path).is_none(),
                    false => path == *after || is_before(&path, after),
                };
                match node.is_folder() {
                    _ if is_over => {}
                    true => items.push(Item::Folder(*ino, path)),
                    false => {
                        let receipt = receipts.remove(node.remote());
                        items.push(Item::File(path, judge(&core, *ino, receipt)));
                    }
                }
            }
            items.sort_by(|a, b| a.path().name().cmp(b.path().name()));
            items
        };
        let folders = items.iter().filter_map(|item| match item {
            Item::Folder(ino, _) => Some(*ino),
            Item::File(..) => None,
        });
        let ahead = futures_util::stream::iter(folders.collect::<Vec<_>>());
        // What fails here fails again, and is told, when it is the folder's turn.
        ahead.for_each_concurrent(AHEAD, |folder| async move { drop(self.list(folder).await) }).await;
        Ok(items)
    }
}

impl Item {
    fn path(&self) -> &RemotePath {
        match self {
            Self::Folder(_, path) | Self::File(path, _) => path,
        }
    }
}

/// In the order of a walk, which is by names and not by letters: `a/z` comes before `a-b`.
fn is_before(path: &RemotePath, other: &RemotePath) -> bool {
    path.components().lt(other.components())
}

fn judge(core: &Core, ino: Ino, receipt: Option<Receipt>) -> Found {
    let Some(there) = there(core, ino) else {
        return if core.is_only_open(ino) { Found::Open } else { Found::Owed };
    };
    if core.tree.node(ino).is_ok_and(|node| node.shape() == Shape::Link) {
        return Found::Link;
    }
    let receipt = receipt.filter(|receipt| receipt.path == there.path);
    let is_contradicted = receipt.as_ref().is_some_and(|receipt| receipt.is_contradicted_by(&there.version));
    if is_contradicted || core.tree.file(ino).is_ok_and(|file| file.contradicted.is_some()) {
        return Found::Contradicted;
    }
    let receipt = receipt.filter(|receipt| receipt.is_of(&there.version));
    receipt.map_or(Found::Unproven, |receipt| Found::Proven(Box::new(receipt)))
}

impl Page {
    fn take(&mut self, path: &RemotePath, found: Found) {
        match found {
            Found::Owed => self.owed += 1,
            Found::Open => self.open += 1,
            Found::Link => self.links += 1,
            Found::Unproven => self.unproven += 1,
            Found::Contradicted => self.contradicted.push(path.as_str().to_owned()),
            Found::Proven(receipt) => {
                let list = if receipt.basis.is_weak() { &mut self.weak } else { &mut self.files };
                list.push(Proven {
                    path: path.as_str().to_owned(),
                    size: receipt.size,
                    md5: receipt.md5.to_string(),
                    basis: receipt.basis.name().to_owned(),
                    uploaded: receipt.uploaded.to_string(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_walk() {
        let at = |text| RemotePath::parse(text).unwrap();
        assert!(is_before(&at("a/z"), &at("a-b")) && !is_before(&at("a-b"), &at("a/z")));
        assert!(is_before(&at("a"), &at("a/b")) && !is_before(&at("a"), &at("a")));
    }
}
