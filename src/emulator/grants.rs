//! Which objects can be downloaded now.
//!
//! A signed URL keeps its object alive, so that a download serves the version that its URL was made for
//! after the path was replaced or deleted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::clock::Time;
use super::object::Object;

/// Objects that living download URLs name, with the path they were asked for under.
#[derive(Debug, Default)]
pub(super) struct Grants {
    granted: HashMap<String, (Time, Arc<Object>, String)>,
    order: VecDeque<(Time, String)>,
}

impl Grants {
    pub(super) fn add(&mut self, object: Arc<Object>, path: &str, now: Time, life: u64) {
        while let Some((until, id)) = self.order.front()
            && now >= *until
        {
            if self.granted.get(id).is_some_and(|(latest, ..)| now >= *latest) {
                self.granted.remove(id);
            }
            self.order.pop_front();
        }
        // A second more than the URL lives: who comes too late is told so, not that nothing is there.
        let until = now.plus_seconds(life + 1);
        self.order.push_back((until, object.id.clone()));
        self.granted.insert(object.id.clone(), (until, object, path.to_owned()));
    }

    /// The object of this id, if a URL for it was made that has not expired.
    pub(super) fn get(&self, id: &str) -> Option<(&Arc<Object>, &str)> {
        self.granted.get(id).map(|(_, object, path)| (object, path.as_str()))
    }
}
