//! Which names in a folder Files.com would take for one.

use std::collections::HashMap;

use super::comparison::Keys;
use super::ino::Ino;

/// The comparison keys of a folder's entries. Built when the first name is about to be added: most
/// folders of a mount are only ever read.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    latin: HashMap<String, Vec<Ino>>,
    collated: HashMap<Vec<u8>, Vec<Ino>>,
}

impl Siblings {
    /// Adds an entry under its remote name.
    pub fn insert(&mut self, name: &str, ino: Ino) {
        let keys = Keys::of(name);
        self.latin.entry(keys.latin).or_default().push(ino);
        self.collated.entry(keys.collated).or_default().push(ino);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, name: &str, ino: Ino) {
        let keys = Keys::of(name);
        take(&mut self.latin, &keys.latin, ino);
        take(&mut self.collated, &keys.collated, ino);
    }

    /// All entries that the service would confuse with `name`.
    pub fn clashes(&self, name: &str) -> impl Iterator<Item = Ino> {
        let keys = Keys::of(name);
        let latin = self.latin.get(&keys.latin).into_iter().flatten();
        let collated = self.collated.get(&keys.collated).into_iter().flatten();
        latin.chain(collated).copied()
    }
}

fn take<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Ino>>, key: &K, ino: Ino) {
    if let Some(entries) = map.get_mut(key) {
        entries.retain(|entry| *entry != ino);
        if entries.is_empty() {
            map.remove(key);
        }
    }
}
