//! Limits of bandwidth as they are written: one rate, or rates by the time of day.
//!
//! The form is that of rclone's `--bwlimit` (<https://rclone.org/docs/#bwlimit>): `10M`, `off`, or
//! `08:00,512K 19:00,10M 23:00,off`, with `Mon-08:00,…` for one day of the week. For fstab, where a space
//! and a comma have a meaning of their own, `+` and `=` serve: `08:00=512K+19:00=10M+23:00=off`. A number
//! without a unit is refused: rclone means KiB by it, and everything else here means bytes.

use std::fmt;
use std::str::FromStr;

/// A limit that nobody can mean: a file would take days.
const SLOWEST: u64 = 1024;

const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What may pass, by the time of the week.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// From which minute of the week (Monday, 00:00 is 0) which rate counts; in order. Empty: no limit.
    entries: Vec<(u16, Option<u64>)>,
}

impl Bandwidth {
    /// Always the same: bytes a second, or no limit.
    pub fn always(rate: Option<u64>) -> Self {
        Self { entries: rate.map(|rate| (0, Some(rate))).into_iter().collect() }
    }

    /// Bytes a second at a minute of the week; `None` where nothing limits them.
    pub fn at(&self, minute: u16) -> Option<u64> {
        let now = self.entries.iter().rev().find(|(from, _)| *from <= minute);
        // Before the first one of the week, the last one of the week before goes on.
        now.or(self.entries.last())?.1
    }

    /// Is there never a limit?
    pub fn is_off(&self) -> bool {
        self.entries.iter().all(|(_, rate)| rate.is_none())
    }
}

/// Minute of the week of a day (Monday is 0), an hour and a minute.
pub fn minute_of_week(day: u16, hour: u16, minute: u16) -> u16 {
    day * DAY + hour * 60 + minute
}

/// Why a text is no limit, with what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BandwidthError(String);

impl FromStr for Bandwidth {
    type Err = BandwidthError;

    fn from_str(text: &str) -> Result<Self, BandwidthError> {
        let text = text.trim();
        if !text.contains(':') {
            return Ok(Self::always(rate(text)?));
        }
        let mut entries: Vec<(u16, Option<u64>)> = Vec::new();
        for entry in text.split([' ', '+']).filter(|entry| !entry.is_empty()) {
            let (when, what) = entry.split_once([',', '=']).ok_or_else(|| {
                wrong(format!("{entry:?} has no rate: TIME,RATE is wanted, such as 08:00,512K"))
            })?;
            let rate = rate(what)?;
            for minute in minutes(when)? {
                if entries.iter().any(|(other, _)| *other == minute) {
                    return Err(wrong(format!("two rates begin at {when}")));
                }
                entries.push((minute, rate));
            }
        }
        entries.sort_unstable_by_key(|(minute, _)| *minute);
        Ok(Self { entries })
    }
}

fn wrong(text: String) -> BandwidthError {
    BandwidthError(text)
}

/// `512K`, `1.5M`, `off`: bytes a second, with factors of 1024.
fn rate(text: &str) -> Result<Option<u64>, BandwidthError> {
    let no_rate = || {
        wrong(format!(
            "{text:?} is no rate: bytes a second with B, K, M or G are wanted, such as 512K or 10M, or off"
        ))
    };
    let upper = text.trim().to_ascii_uppercase();
    if upper == "OFF" || upper == "0" {
        return Ok(None);
    }
    let digits = upper.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let number: f64 = upper[..digits].parse().map_err(|_| no_rate())?;
    let factor = match upper[digits..].trim() {
        "B" => 1_u64,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "" => {
            return Err(wrong(format!("{text:?} has no unit: write {text}B for bytes a second, or {text}K")));
        }
        _ => return Err(no_rate()),
    };
    let bytes = number * factor as f64;
    match () {
        () if bytes == 0.0 => Ok(None),
        () if bytes < SLOWEST as f64 => Err(wrong(format!("{text:?} is too slow: 1K is the least"))),
        // A terabyte a second is no limit of any line.
        () if bytes > 1e12 => Err(no_rate()),
        () => Ok(Some(bytes.round() as u64)),
    }
}

/// `08:00`: of every day; `Mon-08:00`: of one.
fn minutes(text: &str) -> Result<Vec<u16>, BandwidthError> {
    let no_time = || wrong(format!("{text:?} is no time: 08:00 is wanted, or Mon-08:00"));
    let (day, time) = match text.split_once('-') {
        Some((day, time)) => {
            let day = day.to_ascii_lowercase();
            let known = |name: &&str| *name == day || name[..3] == day;
            (Some(DAYS.iter().position(known).ok_or_else(no_time)? as u16), time)
        }
        None => (None, text),
    };
    let number = |text: &str, below: u16| -> Result<u16, BandwidthError> {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| plain && *number < below).ok_or_else(no_time)
    };
    let (hour, minute) = time.split_once(':').ok_or_else(no_time)?;
    let (hour, minute) = (number(hour, 24)?, number(minute, 60)?);
    let days = day.map_or(0..7, |day| day..day + 1);
    Ok(days.map(|day| minute_of_week(day, hour, minute)).collect())
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: Option<u64>| rate.map_or_else(|| "off".to_owned(), |rate| format!("{rate}B"));
        match self.entries[..] {
            [] => f.write_str("off"),
            [(0, only)] => f.write_str(&rate(only)),
            _ => {
                for (at, (minute, limit)) in self.entries.iter().enumerate() {
                    let (day, minute) = (minute / DAY, minute % DAY);
                    let day = &DAYS[usize::from(day)][..3];
                    let space = if at == 0 { "" } else { " " };
                    write!(f, "{space}{day}-{:02}:{:02},{}", minute / 60, minute % 60, rate(*limit))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Bandwidth {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn one_rate_counts_always() {
        for (text, bytes) in [
            ("10M", Some(10 << 20)),
            ("512k", Some(512 << 10)),
            ("1.5MiB", Some(3 << 19)),
            ("4096B", Some(4096)),
            ("off", None),
            ("0", None),
        ] {
            assert_eq!((limit(text).at(0), limit(text).at(9999)), (bytes, bytes), "{text}");
        }
        assert!(limit("off").is_off() && !limit("1M").is_off());
    }

    #[test]
    fn a_table_counts_by_the_time_of_day_in_each_of_its_forms() {
        for text in [
            "08:00,512k 19:00,10M 23:00,off",
            "08:00=512K+19:00=10M+23:00=off",
            "23:00,0 8:00,512k 19:00,10m",
        ] {
            let table = limit(text);
            for day in 0..7 {
                let at = |hour, minute| table.at(minute_of_week(day, hour, minute));
                assert_eq!(
                    (at(7, 59), at(8, 0), at(18, 59)),
                    (None, Some(512 << 10), Some(512 << 10)),
                    "{text}"
                );
                assert_eq!(
                    (at(19, 0), at(22, 59), at(23, 0)),
                    (Some(10 << 20), Some(10 << 20), None),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_table_by_days_goes_on_over_the_end_of_the_week() {
        let table = limit("Mon-08:00,1M Friday-18:30,off 12:00,2M");
        assert_eq!(table.at(minute_of_week(0, 7, 0)), Some(2 << 20), "since Sunday");
        assert_eq!(table.at(minute_of_week(0, 9, 0)), Some(1 << 20));
        assert_eq!(table.at(minute_of_week(3, 9, 0)), Some(2 << 20));
        assert_eq!(table.at(minute_of_week(5, 9, 0)), None);
        assert_eq!(table.at(minute_of_week(5, 12, 0)), Some(2 << 20));
        assert_eq!(limit(&table.to_string()), table, "it can be read back");
    }

    #[test]
    fn nonsense_is_named() {
        for (text, named) in [
            ("", "no rate"),
            ("fast", "no rate"),
            ("-1M", "no rate"),
            ("1..5M", "no rate"),
            ("10X", "no rate"),
            ("99999999G", "no rate"),
            ("512", "no unit"),
            ("10B", "too slow"),
            ("08:00", "no rate"),
            ("08:00,", "no rate"),
            ("25:00,1M", "no time"),
            ("08:60,1M", "no time"),
            ("008:00,1M", "no time"),
            ("Xyz-08:00,1M", "no time"),
            ("08:00,1M 8:00,2M", "two rates"),
            ("08:00,1M,19:00,off", "no rate"),
        ] {
            let error = text.parse::<Bandwidth>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
