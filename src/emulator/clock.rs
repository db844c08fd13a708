//! Time as the emulator tells it: the machine's clock plus an offset that tests turn.
//!
//! Everything that expires or appears later is decided by comparing with [`Time`] when it is asked for;
//! nothing waits. So a test sees a URL expire by turning the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::errors::ApiError;

/// Milliseconds since 1970, by the emulator's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Time(pub(super) i64);

impl Time {
    pub(super) fn now(offset_ms: i64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(offset_ms))
    }

    pub(super) fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub(super) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }

    pub(super) fn plus_seconds(self, seconds: u64) -> Self {
        self.plus_ms(seconds.saturating_mul(1000))
    }

    /// As the entities of files state it: whole seconds, `Z`.
    pub(super) fn rfc3339(self) -> String {
        rfc3339(self.seconds())
    }

    /// As sessions state it: with a local offset.
    pub(super) fn with_offset(self) -> String {
        let offset = Offset::from_hours(-4).unwrap_or(Offset::UTC);
        Timestamp::from_second(self.seconds())
            .map(|time| time.display_with_offset(offset).to_string())
            .unwrap_or_default()
    }

    /// As signed URLs state it.
    pub(super) fn amz(self) -> String {
        Timestamp::from_second(self.seconds())
            .map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
            .unwrap_or_default()
    }

    pub(super) fn from_amz(text: &str) -> Option<Self> {
        let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        let time = utc(civil)?;
        Some(Self(time.as_second().checked_mul(1000)?))
    }

    /// As HTTP headers state it.
    pub(super) fn http(self) -> String {
        let seconds = u64::try_from(self.seconds()).unwrap_or(0).min(253_402_300_799);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

pub(super) fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// A time that a client gives: any offset, any fraction; cut to seconds. Years before 1000 are refused,
/// as year 1 was in a recording.
pub(super) fn given(field: &str, text: &str) -> Result<i64, ApiError> {
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| utc(text.parse::<DateTime>().ok()?))
        .or_else(|| utc(text.parse::<Date>().ok()?.at(0, 0, 0, 0)))
        .filter(|time| Offset::UTC.to_datetime(*time).year() >= 1000)
        .ok_or_else(|| {
            ApiError::new("bad-request/datetime-parse", format!("{field} must contain valid date and time"))
        })?;
    // Before 1970 the fraction counts backwards: what is cut off is then the way to the next second.
    Ok(time.as_second() - i64::from(time.subsec_nanosecond() < 0))
}

fn utc(civil: DateTime) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(civil).ok()
}
