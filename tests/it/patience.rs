//! Time that counts: a stopwatch that stands while the machine has other work.
//!
//! How long something takes says nothing where eight others want the same two processors. So what must come, and
//! what must not hang, is timed by the seconds in which nobody had to wait for a processor or for the disk: the
//! kernel counts those in which somebody did (`/proc/pressure`). A test that hangs ends all the same, only later:
//! of the time in which others wait, a twentieth counts.

use std::fs;
use std::time::{Duration, Instant};

/// Of the time in which somebody waits for the machine, one part in so many counts.
const SHARE: u32 = 20;

/// See the head of this file.
pub struct Stopwatch {
    began: Instant,
    pressure: Duration,
}

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Self {
        Self { began: Instant::now(), pressure: pressure() }
    }

    /// What counts of the time since the start. Where the kernel tells nothing, all of it.
    pub fn elapsed(&self) -> Duration {
        counted(self.began.elapsed(), pressure().saturating_sub(self.pressure))
    }
}

/// What counts of `elapsed`, of which somebody waited for `pressure`.
fn counted(elapsed: Duration, pressure: Duration) -> Duration {
    elapsed.saturating_sub(pressure).max(elapsed / SHARE)
}

/// For how long, since the machine was started, somebody waited for a processor, or for a disk.
fn pressure() -> Duration {
    ["cpu", "io"]
        .iter()
        .filter_map(|what| waited(&fs::read_to_string(format!("/proc/pressure/{what}")).ok()?))
        .sum()
}

/// The microseconds of the line that begins with `some`.
fn waited(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.rsplit_once("total=")?.1.parse().ok().map(Duration::from_micros)
}

#[test]
fn the_stopwatch_stands_while_somebody_waits_for_the_machine_and_never_wholly() {
    let told =
        "some avg10=9.10 avg60=2.00 avg300=0.10 total=1500000\nfull avg10=0 avg60=0 avg300=0 total=7\n";
    assert_eq!(waited(told), Some(Duration::from_millis(1500)));
    let seconds = Duration::from_secs;
    assert_eq!(counted(seconds(40), seconds(30)), seconds(10));
    assert_eq!(counted(seconds(40), seconds(0)), seconds(40));
    // Processor and disk are counted apart, so that both together may exceed the time.
    assert_eq!(counted(seconds(40), seconds(50)), seconds(2));
}
