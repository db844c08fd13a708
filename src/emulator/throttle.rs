//! The width of the pipe, and how many requests fit through the door.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the line goes on while nobody takes what it brings: what buffers of sockets hold.
const BUFFERED: Duration = Duration::from_millis(10);

/// Bytes per second that all transfers of one direction share.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// When the last of those that were let in has passed.
    free: Mutex<Option<Instant>>,
    passed: AtomicU64,
}

impl Pipe {
    /// Waits until `bytes` have passed at `bits` per second, in the order of arrival.
    pub(super) async fn pass(&self, bytes: usize, bits: Option<u64>) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        let Some(bits) = bits.filter(|bits| *bits > 0) else { return };
        let cost = Duration::from_secs_f64(bytes as f64 * 8.0 / bits as f64);
        let until = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(BUFFERED).unwrap_or(now);
            let until = free.map_or(now, |free| free.max(earliest)) + cost;
            *free = Some(until);
            until
        };
        // Timers are coarse: what is due within a millisecond passes now and is paid for by the next.
        let wait = until.saturating_duration_since(Instant::now());
        if wait > Duration::from_millis(1) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Bytes that went through so far. A download that its client gave up counts only as far as it came.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

/// A token bucket that holds one second's worth.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<Option<(Instant, f64)>>);

impl Door {
    /// May one more request enter at `rate` per second?
    pub(super) fn enter(&self, rate: Option<f64>) -> bool {
        let Some(rate) = rate else { return true };
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (then, tokens) = bucket.unwrap_or((now, rate.max(1.0)));
        let tokens = (tokens + now.duration_since(then).as_secs_f64() * rate).min(rate.max(1.0));
        let open = tokens >= 1.0;
        *bucket = Some((now, if open { tokens - 1.0 } else { tokens }));
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_wakes_late_loses_no_more_than_the_buffers_hold() {
        let pipe = Pipe::default();
        let began = Instant::now();
        // A megabyte at a gigabit is eight milliseconds.
        pipe.pass(1_000_000, Some(1_000_000_000)).await;
        let free = || pipe.free.lock().unwrap().unwrap().duration_since(began);
        assert!(free() >= Duration::from_millis(8));
        std::thread::sleep(Duration::from_millis(200));
        let before = Instant::now();
        pipe.pass(1_000, Some(1_000_000_000)).await;
        let after = Instant::now();
        // Counted from a moment between the two, whichever this thread had.
        let cost = Duration::from_secs_f64(1_000.0 * 8.0 / 1e9);
        let since = pipe.free.lock().unwrap().unwrap() - cost;
        assert!(since <= after - BUFFERED, "the line went on");
        assert!(since >= before - BUFFERED, "but not for as long");
    }
}
