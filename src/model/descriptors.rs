//! How many open files a process may have, and what they are for.
//!
//! Some are always open (the kernel's door, journal, receipts, sockets). The rest is shared out, so that all kinds at their
//! most still leave some for what comes and goes: a folder that is read, a file that is opened beyond those that are
//! kept.

/// What is always open, and what commands on the control socket take.
const ALWAYS: usize = 40;
/// So much is shared out even where the limit leaves less.
const LEAST: usize = 24;

/// The shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Files of spool and cache that are kept open for the next call.
    pub kept: usize,
    /// Empty files that are made in advance.
    pub spares: usize,
    /// Connections of each kind: requests to the API, uploads, downloads.
    pub connections: usize,
    /// Pieces of work on the local disk at the same time, each with a file of its own.
    pub on_disk: usize,
}

impl Shares {
    /// Of a process that may have `limit` files open.
    pub fn of(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rest = limit.saturating_sub(ALWAYS).max(LEAST);
        Self {
            kept: (rest / 4).min(256),
            spares: (rest / 16).min(64),
            connections: (rest / 8).min(1024),
            on_disk: (rest / 8).min(512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_at_their_most_leave_some_for_what_comes_and_goes() {
        for limit in [64, 100, 128, 256, 1024, 4096, 1 << 20, u64::MAX] {
            let Shares { kept, spares, connections, on_disk } = Shares::of(limit);
            assert!(kept > 0 && spares > 0 && connections > 0 && on_disk > 0, "{limit}");
            let all = ALWAYS + kept + spares + 3 * connections + on_disk;
            assert!((all as u64) < limit, "{limit}: {all}");
        }
    }

    #[test]
    fn with_many_descriptors_nothing_is_less_than_it_would_be_without_a_limit() {
        assert_eq!(Shares::of(1 << 20), Shares { kept: 256, spares: 64, connections: 1024, on_disk: 512 });
    }
}
