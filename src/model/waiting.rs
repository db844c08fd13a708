//! What waits for steps to be taken.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Things that wait, each for one step. Found by the thing and by the step: thousands may wait for one.
#[derive(Debug)]
pub struct Waiting<K> {
    steps: HashMap<K, u64>,
    keys: HashMap<u64, BTreeSet<K>>,
}

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Self { steps: HashMap::new(), keys: HashMap::new() }
    }
}

impl<K: Copy + Ord + Hash> Waiting<K> {
    /// `key` waits for `step` from now on, whatever it waited for before.
    pub fn put(&mut self, key: K, step: u64) {
        if let Some(before) = self.steps.insert(key, step)
            && let Some(others) = self.keys.get_mut(&before)
        {
            others.remove(&key);
        }
        self.keys.entry(step).or_default().insert(key);
    }

    /// `step` has ended: what waited for it waits no more.
    pub fn take(&mut self, step: u64) -> BTreeSet<K> {
        let keys = self.keys.remove(&step).unwrap_or_default();
        for key in &keys {
            self.steps.remove(key);
        }
        keys
    }

    /// The step that `key` waits for.
    pub fn step(&self, key: K) -> Option<u64> {
        self.steps.get(&key).copied()
    }

    /// Everything that waits, with its step.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.steps.iter().map(|(key, step)| (*key, *step))
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_one_step_and_goes_with_it() {
        let mut waiting = Waiting::default();
        waiting.put("a", 1);
        waiting.put("b", 1);
        waiting.put("a", 2);
        assert_eq!((waiting.step("a"), waiting.step("b"), waiting.step("c")), (Some(2), Some(1), None));
        assert_eq!(waiting.take(1), BTreeSet::from(["b"]));
        assert_eq!(waiting.take(1), BTreeSet::new());
        assert_eq!(waiting.iter().collect::<Vec<_>>(), [("a", 2)]);
        assert_eq!(waiting.take(2), BTreeSet::from(["a"]));
        assert!(waiting.is_empty());
    }
}
