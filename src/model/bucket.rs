//! A line of limited width: who wants to send is told how long to wait first.
//!
//! Time is sold ahead, in the order of those who ask: each takes what its bytes cost, and waits until what
//! was sold before is over. What was not sold stays good for a short while, so that a pause of the program
//! costs nothing, and is lost then, so that there are no bursts.

use std::time::{Duration, Instant};

/// How far back unused time is still good.
const BURST: Duration = Duration::from_millis(100);

/// The line. The clock is the caller's.
#[derive(Debug, Clone, Default)]
pub struct Bucket {
    /// Until when it is taken.
    taken: Option<Instant>,
}

impl Bucket {
    /// How long to wait before `bytes` may be sent at `rate` bytes a second; they are sent then.
    pub fn take(&mut self, now: Instant, bytes: u64, rate: u64) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let end = self.taken.map_or(earliest, |taken| taken.max(earliest)) + cost;
        self.taken = Some(end);
        end.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn many_who_ask_at_once_are_served_one_after_the_other() {
        let now = Instant::now();
        let mut bucket = Bucket::default();
        let waits: Vec<u128> = (0..4).map(|_| bucket.take(now, 1000, 1000).as_millis()).collect();
        assert_eq!(waits, [900, 1900, 2900, 3900]);
        let later = now + Duration::from_secs(60);
        assert_eq!(bucket.take(later, 1000, 1000).as_millis(), 900, "a long pause is no credit");
    }

    proptest! {
        /// Whoever waits as told never sends more than the rate and one burst allow.
        #[test]
        fn no_more_passes_than_the_rate_allows(
            rate in 1024_u64..10_000_000,
            steps in prop::collection::vec((1_u64..300_000, 0_u64..400), 1..100),
        ) {
            let start = Instant::now();
            let (mut bucket, mut now, mut sent) = (Bucket::default(), start, 0);
            for (bytes, pause) in steps {
                now += Duration::from_millis(pause);
                now += bucket.take(now, bytes, rate);
                sent += bytes;
                let allowed = (now.duration_since(start) + BURST).as_secs_f64() * rate as f64;
                prop_assert!(sent as f64 <= allowed + 1.0, "{sent} of {allowed}");
            }
        }
    }
}
