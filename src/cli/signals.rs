//! Signals as something that is waited for, so that nobody has to look whether one came.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Signals that do not interrupt while this lives, and can be waited for. Those that were not waited for
/// take their usual effect afterwards.
#[derive(Debug)]
pub(super) struct Signals {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    /// Which.
    pub signal: i32,
    /// The terminal sent it, to all processes in the foreground.
    pub from_terminal: bool,
}

impl Signals {
    /// Keeps these signals for [`Self::wait`]. For a program with one thread.
    pub fn keep(signals: &[i32]) -> io::Result<Self> {
        let (mut set, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both sets are written before they are read: by sigemptyset, and by pthread_sigmask when
        // it succeeds.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            let set = set.assume_init();
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, before.as_mut_ptr()) {
                0 => Ok(Self { set, before: before.assume_init() }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Waits for one of them, `limit` at most.
    pub fn wait(&self, limit: Duration) -> Option<Came> {
        let limit = libc::timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: all three live through the call, and `info` is valid when zeroed.
        let signal = unsafe { libc::sigtimedwait(&self.set, info.as_mut_ptr(), &limit) };
        // SAFETY: zeroed, and perhaps written by the call.
        let code = unsafe { info.assume_init() }.si_code;
        (signal > 0).then_some(Came { signal, from_terminal: code == libc::SI_KERNEL })
    }

    /// The signals that were blocked before.
    pub fn before(&self) -> libc::sigset_t {
        self.before
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: `before` was written by pthread_sigmask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_waited_for_and_a_wait_ends() {
        // In a thread of its own: the mask is that of the thread.
        let waited = std::thread::spawn(|| {
            let signals = Signals::keep(&[libc::SIGUSR1]).unwrap();
            assert_eq!(signals.wait(Duration::ZERO), None);
            // SAFETY: the thread that is signalled is this one.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
            signals.wait(Duration::from_secs(30))
        });
        let came = Some(Came { signal: libc::SIGUSR1, from_terminal: false });
        assert_eq!(waited.join().unwrap(), came);
    }
}
