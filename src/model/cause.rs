//! What keeps everything from being sent: one state for each cause, however many files wait for it.

use std::time::{Duration, Instant};

use super::moment::Moment;

/// Why nothing of a kind can be done at the moment, whatever file it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Files.com cannot be reached, or answers that it cannot serve.
    Outage,
    /// It does not accept the key.
    Key,
    /// It has no room left for this account.
    Quota,
}

impl Cause {
    /// One word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Key => "key",
            Self::Quota => "quota",
        }
    }

    /// What is so.
    pub fn is(self) -> &'static str {
        match self {
            Self::Outage => "Files.com cannot be reached",
            Self::Key => "Files.com does not accept the key",
            Self::Quota => "Files.com has no room left",
        }
    }

    /// What is so once it is over.
    pub fn was(self) -> &'static str {
        match self {
            Self::Outage => "Files.com can be reached again",
            Self::Key => "Files.com accepts the key again",
            Self::Quota => "Files.com has room again",
        }
    }

    /// Is every question in vain? Without room, only what is sent is refused.
    pub fn stops_everything(self) -> bool {
        matches!(self, Self::Outage | Self::Key)
    }
}

/// A cause that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which.
    pub cause: Cause,
    /// Since when, for those who count,
    pub since: Instant,
    /// and for those who read.
    pub at: Moment,
    /// What Files.com said, or did not say, with the remedy.
    pub why: String,
}

/// The causes that are there at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Causes(Vec<Open>);

impl Causes {
    /// A cause is there; true if that is new.
    pub fn open(&mut self, open: Open) -> bool {
        let is_new = self.get(open.cause).is_none();
        if is_new {
            self.0.push(open);
        }
        is_new
    }

    /// It is gone: how long it was there, if it was.
    pub fn close(&mut self, cause: Cause, now: Instant) -> Option<Duration> {
        let place = self.0.iter().position(|open| open.cause == cause)?;
        Some(now.saturating_duration_since(self.0.swap_remove(place).since))
    }

    /// One of them, if it is there.
    pub fn get(&self, cause: Cause) -> Option<&Open> {
        self.0.iter().find(|open| open.cause == cause)
    }

    /// All that are there.
    pub fn iter(&self) -> impl Iterator<Item = &Open> {
        self.0.iter()
    }

    /// The one for which every question is in vain, if there is one.
    pub fn stops_everything(&self) -> Option<&Open> {
        self.0.iter().find(|open| open.cause.stops_everything())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_there_once_from_the_first_who_met_it_until_somebody_gets_through() {
        let start = Instant::now();
        let open = |cause, seconds, why: &str| Open {
            cause,
            since: start + Duration::from_secs(seconds),
            at: Moment::from_seconds(0),
            why: why.to_owned(),
        };
        let mut causes = Causes::default();
        assert!(causes.open(open(Cause::Quota, 0, "full")));
        assert!(causes.stops_everything().is_none(), "it can be read from, and cleared");
        assert!(causes.open(open(Cause::Key, 1, "first")));
        assert!(!causes.open(open(Cause::Key, 5, "second")));
        assert_eq!(causes.stops_everything().unwrap().why, "first");
        let end = start + Duration::from_secs(9);
        assert_eq!(causes.close(Cause::Key, end), Some(Duration::from_secs(8)));
        assert_eq!(causes.close(Cause::Key, end), None);
        assert_eq!(causes.iter().map(|open| open.cause).collect::<Vec<_>>(), [Cause::Quota]);
    }
}
