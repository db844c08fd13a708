//! A point in time, as POSIX keeps it and as the API takes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970; the nanoseconds count forward, also before 1970.
// Four times in every entry of the mount: aligned to eight bytes, a quarter of each would be padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C, packed(4))]
pub struct Moment {
    /// Whole seconds since 1970-01-01 UTC, negative before.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Moment {
    /// The whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }
}

impl std::fmt::Display for Moment {
    /// RFC 3339 in UTC; outside the years that it can write, the seconds since 1970.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::new(self.seconds, self.nanos as i32) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "@{}", { self.seconds }),
        }
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self { seconds: after.as_secs() as i64, nanos: after.subsec_nanos() },
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => Self::from_seconds(-(before.as_secs() as i64)),
                    nanos => Self { seconds: -(before.as_secs() as i64) - 1, nanos: 1_000_000_000 - nanos },
                }
            }
        }
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> Self {
        let whole = Duration::from_secs(moment.seconds.unsigned_abs());
        let start =
            if moment.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        start
            .and_then(|start| start.checked_add(Duration::from_nanos(moment.nanos.into())))
            .unwrap_or(UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_fraction() {
        for moment in [
            Moment { seconds: -2, nanos: 750_000_000 },
            Moment::from_seconds(-1),
            Moment { seconds: 1_700_000_000, nanos: 1 },
        ] {
            assert_eq!(Moment::from(SystemTime::from(moment)), moment);
        }
    }
}
