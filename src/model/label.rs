//! The names of an entry: the one that the mount shows, and the text that Files.com stores.
//!
//! They are the same text for almost all entries, so it is kept once, and shared with the folder that the
//! entry is in.

use std::borrow::Borrow;
use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::sync::Arc;

/// A POSIX name that several may hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<OsStr>);

impl Deref for Name {
    type Target = OsStr;

    fn deref(&self) -> &OsStr {
        &self.0
    }
}

impl Borrow<OsStr> for Name {
    fn borrow(&self) -> &OsStr {
        &self.0
    }
}

impl From<&OsStr> for Name {
    fn from(name: &OsStr) -> Self {
        Self(name.into())
    }
}

impl From<OsString> for Name {
    fn from(name: OsString) -> Self {
        Self(name.into())
    }
}

/// Under which names an entry goes.
#[derive(Debug, Clone)]
pub struct Label {
    name: Name,
    /// `None`: the same text.
    remote: Option<Box<Text>>,
}

/// Boxed twice, since it is seldom there at all.
#[derive(Debug, Clone)]
struct Text(Box<str>);

impl Label {
    /// A POSIX name, and its text on Files.com.
    pub fn new(name: Name, remote: &str) -> Self {
        let is_other = name.to_str() != Some(remote);
        Self { name, remote: is_other.then(|| Box::new(Text(remote.into()))) }
    }

    /// The POSIX name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The text on Files.com.
    pub fn remote(&self) -> &str {
        // A name that is no text has a text of its own.
        self.remote.as_ref().map(|text| &*text.0).or(self.name.to_str()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn both_names_come_back_whether_they_are_one_text_or_two() {
        for (name, remote) in
            [(&b"f"[..], "f"), (b"README", "README~twin"), (b"b\xff", "b\u{201b}FF"), (b"", "")]
        {
            let label = Label::new(OsStr::from_bytes(name).into(), remote);
            assert_eq!((label.name().as_bytes(), label.remote()), (name, remote));
        }
    }
}
