//! When the service asks for a pause, everybody pauses: otherwise those who were not asked yet run into the
//! same refusal, one after the other.

use std::time::{Duration, Instant};

/// The pause after a refusal that names none: the first one, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Until when nothing is to be begun. The clock is the caller's.
#[derive(Debug, Clone)]
pub struct Brake {
    /// No pause is longer: whoever comes is to ask before its own patience ends.
    longest: Duration,
    until: Option<Instant>,
    /// When the last pause that nobody named began.
    since: Option<Instant>,
    /// How many such pauses followed each other without a success in between.
    strain: u32,
}

impl Brake {
    /// No pause so far, and none longer than `longest`; whoever asks after that may be told to wait again.
    pub fn new(longest: Duration) -> Self {
        Self { longest, until: None, since: None, strain: 0 }
    }

    /// A request that began at `began` was refused as too much; `told` is the pause that the answer asks for.
    pub fn pressed(&mut self, began: Instant, now: Instant, told: Option<Duration>) {
        let pause = match told {
            Some(told) => told,
            // Those that were under way together are one refusal.
            None if self.since.is_some_and(|since| began < since) => return,
            None => {
                let pause = FIRST_PAUSE.saturating_mul(1 << self.strain.min(10)).min(LONGEST_PAUSE);
                self.strain += 1;
                self.since = Some(now);
                pause
            }
        };
        let until = now + pause.min(self.longest);
        self.until = Some(self.until.map_or(until, |other| other.max(until)));
    }

    /// A request that began at `began` was served.
    pub fn eased(&mut self, began: Instant) {
        if self.since.is_none_or(|since| began >= since) {
            self.strain = 0;
        }
    }

    /// When the pause ends, if there is one.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_that_was_asked_for_counts_for_all() {
        let start = Instant::now();
        let mut brake = Brake::new(Duration::from_secs(30));
        assert_eq!(brake.until(start), None);
        brake.pressed(start, start, Some(Duration::from_secs(8)));
        brake.pressed(start, start, Some(Duration::from_secs(1)));
        let end = start + Duration::from_secs(8);
        assert_eq!(brake.until(start), Some(end));
        assert_eq!(brake.until(end), None);
        brake.pressed(end, end, Some(Duration::from_secs(3600)));
        assert_eq!(brake.until(end), Some(end + Duration::from_secs(30)), "nobody waits an hour to ask");
    }

    #[test]
    fn a_refusal_without_a_word_pauses_longer_each_time_and_a_crowd_counts_once() {
        let start = Instant::now();
        let mut brake = Brake::new(Duration::from_secs(30));
        for _ in 0..9 {
            brake.pressed(start, start + Duration::from_millis(1), None);
        }
        assert_eq!(brake.until(start), Some(start + Duration::from_millis(101)));
        let second = start + Duration::from_millis(200);
        brake.pressed(second, second, None);
        assert_eq!(brake.until(second), Some(second + FIRST_PAUSE * 2));
        let third = start + Duration::from_secs(1);
        brake.eased(third);
        brake.pressed(third, third, None);
        assert_eq!(brake.until(third), Some(third + FIRST_PAUSE));
    }
}
