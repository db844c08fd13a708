//! Descriptors of this process: as many as it may have, and another attempt where there was none left.

use std::io;
use std::time::Duration;

use super::trouble::Trouble;

/// Pauses between attempts: others come and go within that.
const PAUSES: [u64; 6] = [0, 1, 4, 16, 64, 128];

/// Takes as many as this process may have, and says how many that are.
pub fn take_all() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one value, which is ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 1024;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: setrlimit reads one value, which is ours.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

/// Opens something. Where the process or the machine is short of something, what is only kept is given back, and it is
/// tried again for a moment.
///
/// # Errors
/// The last answer.
pub fn open<T>(mut attempt: impl FnMut() -> io::Result<T>, give_back: impl Fn()) -> io::Result<T> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if Trouble::of_io(&error) == Trouble::Short => {
                give_back();
                std::thread::sleep(Duration::from_millis(pause));
            }
            settled => return settled,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_kept_is_given_back_before_anybody_is_refused() {
        let kept = Cell::new(3);
        let attempt = || match kept.get() {
            0 => Ok("opened"),
            _ => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        };
        assert_eq!(open(attempt, || kept.set(kept.get() - 1)).unwrap(), "opened");
    }

    #[test]
    fn what_the_disk_refuses_is_not_tried_again() {
        let attempts = Cell::new(0);
        let refused = open(
            || {
                attempts.set(attempts.get() + 1);
                Err::<(), _>(io::Error::from_raw_os_error(libc::EIO))
            },
            || panic!("nothing is short"),
        );
        assert_eq!((refused.unwrap_err().raw_os_error(), attempts.get()), (Some(libc::EIO), 1));
    }
}
