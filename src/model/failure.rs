//! What a caller is told when something cannot be done: a number for the program, a sentence for
//! the person.

use std::borrow::Cow;
use std::fmt;

/// An errno with the reason behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The number that the system call answers.
    pub errno: i32,
    /// One sentence: what was wanted, what happened, what to do next.
    pub message: Cow<'static, str>,
    /// What it has in common with others, such as what to do about it; nothing for what stands alone.
    pub kind: &'static str,
}

impl Failure {
    /// A failure with its reason.
    pub fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { errno, message: message.into(), kind: "" }
    }

    /// The everyday answers of a filesystem, which need no explanation.
    pub const fn plain(errno: i32) -> Self {
        Self { errno, message: Cow::Borrowed(""), kind: "" }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return write!(f, "{}", std::io::Error::from_raw_os_error(self.errno));
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// A local disk that failed: its own errno, since a full disk must read as one. A process that has no descriptor or
    /// memory left says so: whoever calls has not used up its own.
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Self::new(
                libc::ENFILE,
                format!(
                    "no file of the local disk can be opened just now ({error}); raise the limit of open files"
                ),
            ),
            Some(libc::ENOMEM) => Self::new(libc::ENOMEM, "this machine has no memory left just now"),
            errno => Self::new(errno.unwrap_or(libc::EIO), format!("the local disk failed: {error}")),
        }
    }
}
