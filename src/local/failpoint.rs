//! Places where a test may end or hinder the program: one between each pair of steps that the disk or
//! Files.com must see in order.
//!
//! Only with debug assertions; elsewhere nothing of this is compiled in, and the calls vanish.
//!
//! * `FILESCOMFS_FAIL_AT=NAME[:NTH]` ends the process at the NTH passage of that point, the first by
//!   default, as SIGKILL does: nothing is flushed, nobody is told.
//! * `FILESCOMFS_BREAK_AT=NAME[:NTH]` makes the NTH and every later attempt fail as a bad disk does, at the
//!   points that ask for it ([`broken`]).

/// Every point, in the order of the life of a file. Tests walk over them.
pub const POINTS: [&str; 38] = [
    "store.created",
    "store.moved-to-spool",
    "durable.bytes",
    "durable.names",
    "close.sealed",
    "close.synced",
    "journal.before",
    "journal.written",
    "journal.after",
    "publish.begun",
    "publish.part",
    "publish.sent",
    "publish.completed",
    "publish.proven",
    "publish.cached",
    "publish.settled",
    "store.moved-to-cache",
    "store.removed",
    "make.there",
    "make.here",
    "rename.cleared",
    "rename.there",
    "rename.here",
    "remove.there",
    "remove.here",
    "folder.there",
    "step.begun",
    "step.there",
    "step.noted",
    "attributes.there",
    "errand.begun",
    "errand.done",
    "recover.journal-open",
    "recover.planned",
    "store.set-aside",
    "recover.aside",
    "recover.uncached",
    "recover.taken-up",
];

/// Passes a point; a test may have ordered that the process does not.
#[cfg(debug_assertions)]
pub fn reach(point: &'static str) {
    if armed::FAIL.is_hit(point, |passage, nth| passage == nth) {
        // SAFETY: ends this process; there is no memory to be careful with afterwards.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        // The signal may need a moment to reach this thread, which must not get any further.
        loop {
            std::thread::park();
        }
    }
}

/// Passes a point.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reach(_: &'static str) {}

/// EIO, where a test has ordered that the disk is bad.
///
/// # Errors
/// From the ordered passage on, always; else never.
#[cfg(debug_assertions)]
pub fn broken(point: &'static str) -> std::io::Result<()> {
    if armed::BREAK.is_hit(point, |passage, nth| passage >= nth) {
        return Err(std::io::Error::from_raw_os_error(libc::EIO));
    }
    Ok(())
}

/// Nothing is ordered in a release.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
#[inline]
pub fn broken(_: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(super) static FAIL: LazyLock<Order> = LazyLock::new(|| Order::of("FILESCOMFS_FAIL_AT"));
    pub(super) static BREAK: LazyLock<Order> = LazyLock::new(|| Order::of("FILESCOMFS_BREAK_AT"));

    /// What was ordered, and how often its point was passed.
    pub(super) struct Order {
        point: Option<String>,
        nth: u64,
        passed: AtomicU64,
    }

    impl Order {
        fn of(variable: &str) -> Self {
            let order = std::env::var(variable).ok();
            let (point, nth) =
                match order.as_deref().map(|order| order.split_once(':').unwrap_or((order, "1"))) {
                    Some((point, nth)) => (Some(point.to_owned()), nth.parse().unwrap_or(1)),
                    None => (None, 1),
                };
            Self { point, nth, passed: AtomicU64::new(0) }
        }

        pub(super) fn is_hit(&self, point: &str, is_due: impl Fn(u64, u64) -> bool) -> bool {
            debug_assert!(super::POINTS.contains(&point), "{point} is not in the list of points");
            self.point.as_deref() == Some(point)
                && is_due(self.passed.fetch_add(1, Ordering::SeqCst) + 1, self.nth)
        }
    }
}
