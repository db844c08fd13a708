//! Sizes, times and masks as people type them.

use std::time::Duration;

/// Reads `4096`, `512M`, `10G`, `1TiB`: bytes, with factors of 1024.
///
/// # Errors
/// A text for the command line.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: a number with K, M, G or T is wanted, such as 10G");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let unit = unit.to_ascii_uppercase();
    let letter = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let shift = match letter {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// The least that a mount can work with: less is a unit that was forgotten.
const LEAST_CACHE: u64 = 1 << 20;

/// A size of the cache: as [`size`], and 1M at least.
///
/// # Errors
/// A text for the command line.
pub fn cache_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < LEAST_CACHE => {
            let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            Err(format!("{text:?} is less than 1M; did you mean {number}G?"))
        }
        bytes => Ok(bytes),
    }
}

/// Reads `60`, `60s`, `500ms`, `5m`, `2h`, `1d`; a number alone is seconds.
///
/// # Errors
/// A text for the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: a number with ms, s, m, h or d is wanted, such as 5m");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    // A century is longer than any wait, and short enough to be added to any clock.
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds <= 100 * 366 * 86400);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// The least time without progress after which an answer is given up: with less, there is none for any.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Reads a time that leaves enough for an answer.
///
/// # Errors
/// A text for the command line.
pub fn patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time < LEAST_PATIENCE => {
            Err(format!("{text:?} leaves no time for an answer: 1s is the least"))
        }
        time => Ok(time),
    }
}

/// Reads an octal mask, such as `022`.
///
/// # Errors
/// A text for the command line.
pub fn mask(text: &str) -> Result<u16, String> {
    match u16::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err(format!("{text:?} is no mask: three octal digits are wanted, such as 022")),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

/// Bytes for people: `1.5 GiB`.
pub fn show_size(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

/// Seconds for people: `1 min 30 s`.
pub fn show_time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("10G", 10 << 30), ("1k", 1024), ("2 MiB", 2 << 20), ("3TB", 3 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "10X", "99999999999T", "10é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cache_that_lacks_its_unit_is_not_taken() {
        assert_eq!((cache_size("1M"), cache_size("5G")), (Ok(1 << 20), Ok(5 << 30)));
        assert!(cache_size("5").unwrap_err().contains("did you mean 5G?"));
        assert!(cache_size("10K").unwrap_err().contains("did you mean 10G?"));
    }

    #[test]
    fn times_are_read() {
        for (text, millis) in
            [("60", 60_000), ("60s", 60_000), ("500ms", 500), ("5m", 300_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-5", "5y", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_in_the_units_that_fit() {
        assert_eq!(
            [59, 60, 3599, 3600, 90_000].map(show_time),
            ["59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 0 min"]
        );
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!((mask("022"), mask("0077"), mask("0")), (Ok(0o22), Ok(0o77), Ok(0)));
        assert!(mask("8").is_err() && mask("1000").is_err());
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        assert_eq!([0, 1023, 1536, 10 << 30].map(show_size), ["0 B", "1023 B", "1.5 KiB", "10.0 GiB"]);
    }
}
