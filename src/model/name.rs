//! Names: from POSIX to Files.com and back, and which names the service takes for the same.
//!
//! POSIX names are bytes; Files.com's are Unicode text, compared without case and without accents. The
//! map from the one to the other can be read back from a listing alone:
//!
//! * A name that the service stores as it is, and that collides with no sibling, is stored as it is.
//! * What the service refuses is escaped ([`super::escape`]).
//! * A name that the service takes for a different sibling's gets a suffix: `‛~` and ten digits of the
//!   name's own MD5. No other name can end like that, since `‛` itself is escaped.
//!
//! Which names the service takes for the same is said in [`super::comparison`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::digest::Md5;
use super::escape::{QUOTE, decode, encode};

/// The longest name that Linux hands to a filesystem, in bytes.
pub const LONGEST_NAME: usize = 255;
/// The longest name that the service is known to store, in characters, whatever their bytes.
const LONGEST_REMOTE: usize = 512;
/// Digits of a twin's suffix.
const TAG: usize = 10;

/// Why a name cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameRefused {
    /// More than [`LONGEST_NAME`] bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Escaped, it has more characters than the service stores.
    #[error("the name is too long for Files.com: more than 512 characters once it is escaped")]
    TooLongEscaped,
    /// `.`, `..`, empty, or with a slash or NUL.
    #[error("this is not the name of a file")]
    NotAName,
    /// Would have to be escaped, and the mount was told not to.
    #[error(
        "Files.com does not store this name as it is (a backslash, a control character, a blank at the end, \
         or not UTF-8), and names=refuse forbids to escape it"
    )]
    WouldBeEscaped,
}

/// The text under which Files.com stores the POSIX name `name`, if no sibling is in the way.
pub fn to_remote(name: &OsStr) -> Result<String, NameRefused> {
    let bytes = name.as_bytes();
    if bytes.len() > LONGEST_NAME {
        return Err(NameRefused::TooLong);
    }
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(NameRefused::NotAName);
    }
    within_limit(encode(bytes))
}

/// The text for a name that the service would take for a sibling's.
pub fn to_remote_twin(name: &OsStr) -> Result<String, NameRefused> {
    Ok(format!("{}{QUOTE}~{}", to_remote(name)?, tag(name.as_bytes()))).and_then(within_limit)
}

fn within_limit(remote: String) -> Result<String, NameRefused> {
    if remote.chars().count() > LONGEST_REMOTE { Err(NameRefused::TooLongEscaped) } else { Ok(remote) }
}

fn tag(name: &[u8]) -> String {
    let mut tag = Md5::of(name).to_string();
    tag.truncate(TAG);
    tag
}

/// The POSIX name of what Files.com lists as `remote`; `None` for a name that no POSIX folder can hold.
/// Such an entry stays invisible: it must never lead out of the mount.
///
/// A text that this map does not write (by another client) is its own name, letter by letter.
pub fn from_remote(remote: &str) -> Option<OsString> {
    let mapped = without_tag(remote).or_else(|| {
        let name = decode(remote);
        (encode(&name) == remote).then_some(name)
    });
    let name = mapped.filter(|name| is_harmless(name)).unwrap_or_else(|| remote.as_bytes().to_vec());
    is_harmless(&name).then(|| OsString::from_vec(name))
}

/// The name of a twin, if `remote` is one of ours.
fn without_tag(remote: &str) -> Option<Vec<u8>> {
    let (base, digits) = remote.rsplit_once(&format!("{QUOTE}~"))?;
    let name = decode(base);
    (encode(&name) == base && tag(&name) == digits).then_some(name)
}

fn is_harmless(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::comparison::Keys;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Keys::of(a), Keys::of(b));
        a.latin == b.latin || a.collated == b.collated
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(to_remote(OsStr::new("..")), Err(NameRefused::NotAName));
        assert_eq!(to_remote(OsStr::from_bytes(&[b'n'; 256])), Err(NameRefused::TooLong));
        assert_eq!(to_remote(OsStr::from_bytes(&[0xff; 255])), Err(NameRefused::TooLongEscaped));
        assert_eq!(
            to_remote(OsStr::new(" leading and (brackets) 日本")).unwrap(),
            " leading and (brackets) 日本"
        );
    }

    #[test]
    fn a_twin_is_readable_and_is_no_ones_double() {
        for (a, b) in
            [("README", "readme"), ("résumé", "resume"), ("ß", "ss"), ("か", "ガ"), ("x", "x\u{200b}")]
        {
            let (twin, other) =
                (to_remote_twin(OsStr::new(b)).unwrap(), to_remote_twin(OsStr::new(a)).unwrap());
            assert!(twin.starts_with(b));
            assert!(!same(&twin, a) && !same(&twin, b) && !same(&twin, &other), "{twin:?}");
            assert_eq!(from_remote(&twin), Some(b.into()));
        }
        let looks_like_one = OsStr::new("a‛~0cc175b9c0");
        assert_eq!(to_remote_twin(OsStr::new("a")).unwrap(), "a‛~0cc175b9c0");
        assert_eq!(to_remote(looks_like_one).unwrap(), "a‛‛~0cc175b9c0");
        assert_eq!(from_remote("a‛‛~0cc175b9c0").as_deref(), Some(looks_like_one));
    }

    #[test]
    fn a_text_of_another_client_is_its_own_name() {
        for text in ["lone ‛ quote", "a‛~0000000000", "．", "nul␀", "a／b", "‛fe"] {
            assert_eq!(from_remote(text), Some(text.into()));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_name_is_stored_as_one_text_and_comes_back(
            name in proptest::collection::vec(1u8.., 1..80), other in proptest::collection::vec(1u8.., 1..80),
        ) {
            let clean = |bytes: Vec<u8>| OsString::from_vec(bytes.into_iter().filter(|b| *b != b'/').collect());
            let (name, other) = (clean(name), clean(other));
            if let (Ok(plain), Ok(twin)) = (to_remote(&name), to_remote_twin(&name)) {
                proptest::prop_assert_eq!(from_remote(&plain), Some(name.clone()));
                proptest::prop_assert_eq!(from_remote(&twin), Some(name.clone()));
                if let (Ok(second), true) = (to_remote(&other), name != other) {
                    proptest::prop_assert!(second != plain && second != twin);
                }
            }
        }
    }

    #[test]
    fn a_listed_name_never_leads_out_of_its_folder() {
        for name in ["", ".", "..", "a/b", "../x", "nul\0", "‛2E‛2E/x"] {
            assert_eq!(from_remote(name), None, "{name:?}");
        }
        assert_eq!(from_remote("plain"), Some("plain".into()));
    }
}
