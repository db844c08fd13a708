//! One direction of the line to the storage, and what `bwlimit-up` or `bwlimit-down` lets pass.
//!
//! The bodies of transfers count; requests to the API do not, which are small, and whose delay would delay
//! everything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::bandwidth::{Bandwidth, minute_of_week};
use crate::model::bucket::Bucket;
use crate::model::meter::Meter;

/// How often the time of day is asked for.
const LOOK: Duration = Duration::from_secs(1);

/// A transfer slower than this (bytes a second) is at risk: the other end may take it for dead. Fewer at a
/// time are faster each.
const SLOWEST_TRANSFER: u64 = 64 << 10;
/// Bytes that are let pass at a time, where the line is limited: few enough that a transfer never stands
/// still for long.
const SMALLEST_PIECE: u64 = 4 << 10;
const LARGEST_PIECE: u64 = 256 << 10;

/// A direction of the line.
#[derive(Debug)]
pub(super) struct Line {
    name: &'static str,
    limits: Bandwidth,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bucket: Bucket,
    rate: Option<u64>,
    looked: Option<Instant>,
    passed: u64,
    meter: Meter,
}

impl Line {
    pub fn new(name: &'static str, limits: Bandwidth) -> Self {
        Self { name, limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !self.limits.is_off() && state.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK) {
            let rate = self.limits.at(this_minute());
            if state.looked.is_some() && rate != state.rate {
                let text = rate.map_or_else(|| "off".to_owned(), |rate| format!("{rate} bytes a second"));
                tracing::info!("the limit of bandwidth for {} is {text} now", self.name);
            }
            (state.rate, state.looked) = (rate, Some(now));
        }
        state
    }

    /// Bytes a second that may pass now; `None` where nothing limits them.
    pub fn rate(&self) -> Option<u64> {
        self.state().rate
    }

    /// Transfers at a time that the limit leaves enough for.
    pub fn transfers(&self) -> Option<usize> {
        Some(usize::try_from((self.rate()? / SLOWEST_TRANSFER).max(1)).unwrap_or(usize::MAX))
    }

    /// How many bytes to hand over at a time.
    pub fn piece(&self) -> usize {
        let piece = self.rate().map_or(LARGEST_PIECE, |rate| rate / 16);
        piece.clamp(SMALLEST_PIECE, LARGEST_PIECE) as usize
    }

    /// How long to wait before `bytes` more may pass, which then do.
    pub fn sell(&self, bytes: usize) -> Duration {
        let mut state = self.state();
        state.passed += bytes as u64;
        let Some(rate) = state.rate else { return Duration::ZERO };
        state.bucket.take(Instant::now().into_std(), bytes as u64, rate)
    }

    /// So many bytes passed at this moment.
    pub fn left(&self, bytes: u64) {
        self.state().meter.note(std::time::Instant::now(), bytes, 0);
    }

    /// Bytes a second that passed lately.
    pub fn speed(&self) -> f64 {
        self.state().meter.rate(std::time::Instant::now()).bytes
    }

    /// Bytes that were let pass until now.
    #[cfg(test)]
    pub fn passed(&self) -> u64 {
        self.state().passed
    }
}

/// The minute of the week by the clock on the wall.
fn this_minute() -> u16 {
    let now = jiff::ZonedDateTime::now();
    let day = now.weekday().to_monday_zero_offset() as u16;
    minute_of_week(day, now.hour() as u16, now.minute() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: Option<u64>) -> Line {
        Line::new("a test", Bandwidth::always(rate))
    }

    #[test]
    fn many_transfers_together_are_as_fast_as_the_limit() {
        let line = line(Some(1 << 20));
        let began = Instant::now();
        let waits: Vec<Duration> = (0..8 * 16).map(|_| line.sell(line.piece())).collect();
        // 8 MiB at 1 MiB a second, less the tenth of a second that a line has saved which was idle before.
        assert_eq!(line.passed(), 8 << 20);
        let last = waits.last().unwrap().as_secs_f64();
        assert!(last < 7.91 && last + began.elapsed().as_secs_f64() > 7.89, "{last}");
    }

    #[test]
    fn a_line_without_a_limit_does_not_wait() {
        let line = line(None);
        assert_eq!((line.sell(1 << 30), line.rate(), line.transfers()), (Duration::ZERO, None, None));
    }

    #[test]
    fn a_narrow_line_carries_few_transfers_in_small_pieces() {
        let of = |rate| (line(Some(rate)).transfers().unwrap(), line(Some(rate)).piece());
        assert_eq!(of(1024), (1, 4 << 10));
        assert_eq!(of(1 << 20), (16, 64 << 10));
        assert_eq!(of(1 << 30), (16384, 256 << 10));
    }
}
