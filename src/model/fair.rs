//! Who is next, where more want to go than there is room for.
//!
//! By urgency first: a reader before a close, a close before the background. Within one urgency the flows,
//! each of which is one file, take turns: a file of a thousand parts has one turn in each round, and a small
//! file that comes later does not wait behind all of them (start-time fair queueing, with every request of
//! the same cost). Nobody is passed over for ever: after some turns of the more urgent, whoever has waited
//! longest is next.

use std::collections::{BTreeMap, HashMap};

/// Who waits for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// A program that reads, lists or looks.
    #[default]
    Reader,
    /// A program that waits in close for its proof.
    Close,
    /// Nobody.
    Background,
}

/// How many turns the more urgent take before one of those that they pass over.
const PATIENCE: u32 = 7;

/// The names of one file's requests.
pub type Flow = u64;

/// Things that wait for a turn.
#[derive(Debug)]
pub struct Fair<T> {
    classes: [Class<T>; 3],
    /// Counts arrivals.
    arrivals: u64,
    /// Turns since somebody less urgent had one, although one waited.
    passed_over: u32,
}

#[derive(Debug)]
struct Class<T> {
    /// By round, then by arrival.
    waiting: BTreeMap<(u64, u64), (Flow, T)>,
    /// The last round of each flow that waits, and how many of its requests do.
    flows: HashMap<Flow, (u64, usize)>,
    /// The round that is served.
    round: u64,
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), flows: HashMap::new(), round: 0 }
    }
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { classes: Default::default(), arrivals: 0, passed_over: 0 }
    }
}

impl<T> Fair<T> {
    /// `item` of `flow` waits from now on. One that `returns` had its turn before and could not use it: it
    /// goes ahead of those of its urgency.
    pub fn push(&mut self, urgency: Urgency, flow: Flow, returns: bool, item: T) {
        self.arrivals += 1;
        let class = &mut self.classes[urgency as usize];
        let known = class.flows.entry(flow).or_insert((class.round, 0));
        known.1 += 1;
        let round = if returns {
            0
        } else {
            known.0 = known.0.max(class.round) + 1;
            known.0
        };
        class.waiting.insert((round, self.arrivals), (flow, item));
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let urgent = self.classes.iter().position(|class| !class.waiting.is_empty())?;
        let others = self.classes[urgent + 1..].iter().any(|class| !class.waiting.is_empty());
        let chosen =
            if others && self.passed_over >= PATIENCE { self.longest_waiting(urgent) } else { urgent };
        self.passed_over = if others && chosen == urgent { self.passed_over + 1 } else { 0 };
        let class = &mut self.classes[chosen];
        let ((round, _), (flow, item)) = class.waiting.pop_first()?;
        class.round = class.round.max(round);
        if let Some((_, left)) = class.flows.get_mut(&flow) {
            *left -= 1;
            if *left == 0 {
                class.flows.remove(&flow);
            }
        }
        Some(item)
    }

    /// Of the classes behind `urgent`, the one whose next has waited longest.
    fn longest_waiting(&self, urgent: usize) -> usize {
        let fronts = self.classes.iter().enumerate().skip(urgent + 1);
        let fronts = fronts.filter_map(|(at, class)| Some((class.waiting.first_key_value()?.0.1, at)));
        fronts.min().map_or(urgent, |(_, at)| at)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.classes.iter().map(|class| class.waiting.len()).sum()
    }

    /// Does nobody wait?
    pub fn is_empty(&self) -> bool {
        self.classes.iter().all(|class| class.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Urgency::*;
    use super::*;
    use proptest::prelude::*;

    fn drain<T>(fair: &mut Fair<T>) -> Vec<T> {
        std::iter::from_fn(|| fair.pop()).collect()
    }

    #[test]
    fn a_small_file_does_not_wait_behind_all_parts_of_a_huge_one() {
        let mut fair = Fair::default();
        for part in 0..100 {
            fair.push(Background, 1, false, ("huge", part));
        }
        assert_eq!(fair.pop(), Some(("huge", 0)));
        for small in 2..12 {
            fair.push(Background, small, false, ("small", small));
        }
        let order = drain(&mut fair);
        let last = order.iter().rposition(|(name, _)| *name == "small").unwrap();
        assert!(last <= 11, "{order:?}");
        assert!(order[..=last].iter().any(|(name, _)| *name == "huge"), "the huge one has its turn, too");
    }

    #[test]
    fn a_huge_file_is_not_starved_by_small_ones_that_keep_coming() {
        let mut fair = Fair::default();
        fair.push(Background, 1, false, 1);
        for small in 2..6 {
            fair.push(Background, small, false, small);
        }
        let mut rounds = 0;
        for newcomer in 100.. {
            fair.push(Background, newcomer, false, newcomer);
            rounds += 1;
            if fair.pop() == Some(1) {
                break;
            }
        }
        assert!(rounds <= 6, "{rounds}");
    }

    #[test]
    fn readers_go_first_and_the_background_is_not_forgotten() {
        let mut fair = Fair::default();
        for n in 0..30 {
            fair.push(Background, n, false, Background);
            fair.push(Close, n, false, Close);
            fair.push(Reader, n, false, Reader);
        }
        let order = drain(&mut fair);
        assert_eq!(order[..7], [Reader; 7]);
        assert_eq!(order[7], Background, "it was there first");
        let readers = order[..34].iter().filter(|urgency| **urgency == Reader).count();
        assert_eq!(readers, 30);
    }

    #[test]
    fn who_returns_goes_ahead() {
        let mut fair = Fair::default();
        fair.push(Background, 1, false, "first");
        fair.push(Background, 2, true, "returned");
        assert_eq!(drain(&mut fair), ["returned", "first"]);
    }

    proptest! {
        #[test]
        fn everybody_has_a_turn_once_and_a_flow_keeps_its_order(
            pushes in prop::collection::vec((0_u8..3, 0_u64..5, any::<bool>()), 0..200),
        ) {
            let mut fair = Fair::default();
            let mut popped = Vec::new();
            for (n, (urgency, flow, pops)) in pushes.iter().enumerate() {
                let urgency = [Reader, Close, Background][*urgency as usize];
                fair.push(urgency, *flow, false, (urgency, *flow, n));
                if *pops {
                    popped.extend(fair.pop());
                }
            }
            popped.extend(drain(&mut fair));
            prop_assert!(fair.is_empty() && fair.classes.iter().all(|class| class.flows.is_empty()));
            prop_assert_eq!(popped.len(), pushes.len());
            for urgency in [Reader, Close, Background] {
                for flow in 0..5 {
                    let of: Vec<usize> = popped.iter().filter(|p| p.0 == urgency && p.1 == flow).map(|p| p.2).collect();
                    prop_assert!(of.is_sorted());
                }
            }
        }
    }
}
