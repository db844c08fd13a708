//! How fast things go: bytes and files of the last ten seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(10);
/// What happens this close together is one sample.
const GRAIN: Duration = Duration::from_millis(250);
/// A burst that has only begun counts as this long: one file is no rate.
const SHORTEST: Duration = Duration::from_secs(1);

/// Per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// Bytes that arrived.
    pub bytes: f64,
    /// Files that were verified.
    pub files: f64,
}

impl Rate {
    /// Seconds until this much is done at this rate; `None` while that cannot be told.
    pub fn eta(self, bytes: u64, files: u64) -> Option<u64> {
        let time = |left: u64, rate: f64| match left {
            0 => Some(0.0),
            _ => (rate > 0.0).then(|| left as f64 / rate),
        };
        let (bytes, files) = (time(bytes, self.bytes), time(files, self.files));
        // The slower of the two; a file of many parts has bytes long before it is a file.
        let slower = match (bytes, files) {
            (Some(a), Some(b)) => a.max(b),
            (Some(a), None) if a > 0.0 => a,
            (None, Some(b)) if b > 0.0 => b,
            _ => return None,
        };
        Some(slower.ceil() as u64)
    }
}

/// Counts. The clock is the caller's.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Instant, u64, u64)>,
    /// When it began after nothing had happened for a while.
    since: Option<Instant>,
}

impl Meter {
    /// So much happened at `now`.
    pub fn note(&mut self, now: Instant, bytes: u64, files: u64) {
        self.forget(now);
        if self.samples.is_empty() {
            self.since = Some(now);
        }
        match self.samples.back_mut() {
            Some((at, b, f)) if now.saturating_duration_since(*at) < GRAIN => {
                (*b, *f) = (*b + bytes, *f + files);
            }
            _ => self.samples.push_back((now, bytes, files)),
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.samples.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The rate of the last ten seconds, or of the time since it began.
    pub fn rate(&self, now: Instant) -> Rate {
        let recent = |at: &Instant| now.saturating_duration_since(*at) <= WINDOW;
        let (bytes, files) = self
            .samples
            .iter()
            .filter(|(at, ..)| recent(at))
            .fold((0, 0), |(b, f), (_, bytes, files)| (b + bytes, f + files));
        let since = self.since.map_or(WINDOW, |since| now.saturating_duration_since(since));
        let seconds = since.clamp(SHORTEST, WINDOW).as_secs_f64();
        Rate { bytes: bytes as f64 / seconds, files: files as f64 / seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.rate(start), Rate::default());
        for second in 0..30 {
            meter.note(after(start, f64::from(second)), 100, 2);
        }
        let rate = meter.rate(after(start, 29.5));
        assert_eq!((rate.bytes, rate.files), (100.0, 2.0));
        assert_eq!(meter.rate(after(start, 60.0)), Rate::default(), "long ago");
    }

    #[test]
    fn a_burst_that_began_just_now_is_not_spread_over_ten_seconds() {
        let start = Instant::now();
        let mut meter = Meter::default();
        meter.note(start, 1000, 1);
        meter.note(start, 1000, 1);
        assert_eq!(meter.rate(after(start, 2.0)), Rate { bytes: 1000.0, files: 1.0 });
        assert_eq!(meter.rate(start), Rate { bytes: 2000.0, files: 2.0 });
        assert_eq!(meter.samples.len(), 1, "samples are merged");
    }

    #[test]
    fn the_slower_of_bytes_and_files_says_when_it_ends() {
        let rate = Rate { bytes: 100.0, files: 2.0 };
        assert_eq!((rate.eta(1000, 4), rate.eta(100, 100)), (Some(10), Some(50)));
        assert_eq!(rate.eta(0, 0), Some(0));
        assert_eq!(Rate { bytes: 100.0, files: 0.0 }.eta(1000, 1), Some(10), "one large file");
        assert_eq!(Rate::default().eta(1, 1), None);
        assert_eq!(Rate { bytes: 0.0, files: 1.0 }.eta(0, 3), Some(3), "empty files");
    }
}
