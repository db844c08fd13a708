//! Extended attributes of users (`user.*`), and how they travel in `custom_metadata`.
//!
//! All those of one file are one text, `1 3 NAME=VALUE NAME:VALUE …`: the version of the format, the number
//! of keys that it is spread over, and a word for each attribute. Names stand without `user.`, percent-encoded;
//! so do values after `=`, while those after `:` are base64: whichever is shorter. The text stands under
//! [`XATTR_KEY`], and where it is longer than a value may be, goes on under `filescomfs.xattr.2` and so on. A
//! series that cannot be read is left alone, like a key of somebody else.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::attributes::{LONGEST_VALUE, MOST_KEYS};
use super::failure::Failure;

/// The first key in `custom_metadata`; those that follow are numbered from 2.
pub const XATTR_KEY: &str = "filescomfs.xattr";
/// What the mount tells of a file goes by these names: nobody sets them, and none is stored.
pub const RESERVED: &str = "user.filescomfs.";
const VERSION: &str = "1";
const NAMESPACE: &[u8] = b"user.";
/// What stands for itself in a name.
const IN_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stands for itself in a value.
const IN_VALUE: &AsciiSet =
    &IN_NAME.remove(b'/').remove(b':').remove(b',').remove(b'+').remove(b'@').remove(b'=').remove(b';');

/// What a caller of setxattr(2) expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// Nothing: the attribute may be there or not.
    Nothing,
    /// That it is not there (XATTR_CREATE).
    Absence,
    /// That it is there (XATTR_REPLACE).
    Presence,
}

/// The extended attributes of one file or folder, by their names without `user.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xattrs(BTreeMap<OsString, Vec<u8>>);

impl Xattrs {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of an attribute, by its full name.
    pub fn get(&self, name: &OsStr) -> Option<&[u8]> {
        self.0.get(own_part(name).ok()?).map(Vec::as_slice)
    }

    /// Full names, each with a NUL behind it, as listxattr(2) answers them.
    pub fn list(&self) -> Vec<u8> {
        let names = self.0.keys().map(|name| [NAMESPACE, name.as_bytes(), b"\0"].concat());
        names.collect::<Vec<_>>().concat()
    }

    /// The same with one attribute set. `others` is the number of keys that others have in the metadata.
    ///
    /// # Errors
    /// ENOTSUP outside `user.`, EPERM for what is reserved, EEXIST and ENODATA as expected; E2BIG for a value
    /// that never fits, ENOSPC for one that does not fit beside what is there.
    pub fn with(&self, name: &OsStr, value: &[u8], expects: Expects, others: usize) -> Result<Self, Failure> {
        let name = own_part(name)?;
        match (expects, self.0.contains_key(name)) {
            (Expects::Absence, true) => return Err(Failure::plain(libc::EEXIST)),
            (Expects::Presence, false) => return Err(Failure::plain(libc::ENODATA)),
            _ => {}
        }
        let entry = (name.to_owned(), value.to_vec());
        if !Self(BTreeMap::from([entry.clone()])).fits(0) {
            return Err(Failure::new(
                libc::E2BIG,
                "Files.com keeps no more than 32 values of 1024 characters",
            ));
        }
        let mut all = self.clone();
        all.0.extend([entry]);
        if !all.fits(others) {
            return Err(Failure::new(
                libc::ENOSPC,
                "the file's metadata on Files.com is full; remove other attributes",
            ));
        }
        Ok(all)
    }

    /// The same without one attribute.
    ///
    /// # Errors
    /// ENODATA where there is none of that name; else as [`Self::with`].
    pub fn without(&self, name: &OsStr) -> Result<Self, Failure> {
        let mut all = self.clone();
        all.0.remove(own_part(name)?).ok_or(Failure::plain(libc::ENODATA))?;
        Ok(all)
    }

    /// Is there room for all of it, beside the attributes' own key and `others` keys of others?
    pub fn fits(&self, others: usize) -> bool {
        self.to_metadata().len() + 1 + others <= MOST_KEYS
    }

    /// One word for each attribute.
    pub fn to_text(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(name, value)| word(name, value)).collect();
        words.join(" ")
    }

    /// Reads what [`Self::to_text`] has written.
    pub fn from_text(text: &str) -> Option<Self> {
        text.split(' ').filter(|word| !word.is_empty()).map(read_word).collect::<Option<_>>().map(Self)
    }

    /// The keys that bring the attributes back: none for none.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        if self.is_empty() {
            return BTreeMap::new();
        }
        let words = self.to_text();
        // How many digits the count has decides how much room there is for the rest.
        let mut pieces = cut(&format!("{VERSION} 1 {words}"));
        while !pieces[0].starts_with(&format!("{VERSION} {} ", pieces.len())) {
            pieces = cut(&format!("{VERSION} {} {words}", pieces.len()));
        }
        (1..).map(key).zip(pieces).collect()
    }

    /// Takes the attributes out of an entry's metadata. What cannot be read stays there; what goes by a name of the
    /// mount's own was put there by somebody else, and is none.
    pub fn take_from(metadata: &mut BTreeMap<String, String>) -> Self {
        let Some((mut attributes, count)) = read(metadata) else { return Self::default() };
        attributes.0.retain(|name, _| !is_reserved(name));
        for number in 1..=count {
            metadata.remove(&key(number));
        }
        attributes
    }
}

/// The part of a name behind `user.`.
fn own_part(name: &OsStr) -> Result<&OsStr, Failure> {
    let bytes = name.as_bytes();
    let Some(own) = bytes.strip_prefix(NAMESPACE) else { return Err(Failure::plain(libc::ENOTSUP)) };
    if own.is_empty() {
        return Err(Failure::plain(libc::EINVAL));
    }
    if is_reserved(OsStr::from_bytes(own)) {
        return Err(Failure::new(libc::EPERM, "names under user.filescomfs. belong to the mount"));
    }
    Ok(OsStr::from_bytes(own))
}

/// Is this a name, without `user.`, that the mount itself answers?
fn is_reserved(own: &OsStr) -> bool {
    [NAMESPACE, own.as_bytes()].concat().starts_with(RESERVED.as_bytes())
}

/// The key of the piece with this number.
fn key(number: usize) -> String {
    if number == 1 { XATTR_KEY.to_owned() } else { format!("{XATTR_KEY}.{number}") }
}

fn word(name: &OsStr, value: &[u8]) -> String {
    let name = percent_encode(name.as_bytes(), IN_NAME);
    let (plain, packed) = (percent_encode(value, IN_VALUE).to_string(), BASE64.encode(value));
    if plain.len() <= packed.len() { format!("{name}={plain}") } else { format!("{name}:{packed}") }
}

fn read_word(word: &str) -> Option<(OsString, Vec<u8>)> {
    let at = word.find(['=', ':'])?;
    let (name, value) = (&word[..at], &word[at + 1..]);
    let value = match word.as_bytes()[at] {
        b'=' => percent_decode_str(value).collect(),
        _ => BASE64.decode(value).ok()?,
    };
    let name: Vec<u8> = percent_decode_str(name).collect();
    (!name.is_empty() && !name.contains(&0)).then(|| (OsString::from_vec(name), value))
}

/// Pieces that are no longer than a value may be, none with a blank at an end: nobody knows whether those
/// would be kept. The text is ASCII.
fn cut(mut text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    while text.len() > LONGEST_VALUE {
        let blank = |at: usize| text.as_bytes().get(at) == Some(&b' ');
        // A word has two characters at least, so one of three places is good.
        let at = (LONGEST_VALUE - 2..=LONGEST_VALUE).rev().find(|at| !blank(*at) && !blank(*at - 1));
        let (piece, rest) = text.split_at(at.unwrap_or(LONGEST_VALUE));
        pieces.push(piece.to_owned());
        text = rest;
    }
    pieces.push(text.to_owned());
    pieces
}

fn read(metadata: &BTreeMap<String, String>) -> Option<(Xattrs, usize)> {
    let first = metadata.get(XATTR_KEY)?.strip_prefix(VERSION)?.strip_prefix(' ')?;
    let (count, first) = first.split_once(' ').unwrap_or((first, ""));
    let count: usize = count.parse().ok().filter(|count| (1..=MOST_KEYS).contains(count))?;
    let mut text = first.to_owned();
    for number in 2..=count {
        text.push_str(metadata.get(&key(number))?);
    }
    Some((Xattrs::from_text(&text)?, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(all: &Xattrs, name: &str, value: &[u8]) -> Result<Xattrs, i32> {
        all.with(OsStr::new(name), value, Expects::Nothing, 0).map_err(|failure| failure.errno)
    }

    #[test]
    fn a_text_can_be_read_by_people_and_bytes_take_little_room() {
        let all = set(&Xattrs::default(), "user.mime_type", b"text/plain").unwrap();
        let all = set(&all, "user.comment", "50 % für uns".as_bytes()).unwrap();
        let all = set(&all, "user.a=b c", &[0, 255, 1, 2, 250]).unwrap();
        let text = "1 1 a%3Db%20c:AP8BAvo comment:NTAgJSBmw7xyIHVucw mime_type=text/plain";
        assert_eq!(all.to_metadata(), BTreeMap::from([(XATTR_KEY.to_owned(), text.to_owned())]));
        assert_eq!(all.list(), b"user.a=b c\0user.comment\0user.mime_type\0");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_cut() {
        let none = Xattrs::default();
        assert_eq!(set(&none, "user.big", &[b'x'; 40_000]), Err(libc::E2BIG));
        let large = set(&none, "user.large", &[b'x'; 30_000]).unwrap();
        assert_eq!(set(&large, "user.more", &[b'y'; 3_000]), Err(libc::ENOSPC));
        let crowded = none.with(OsStr::new("user.a"), &[b'x'; 5_000], Expects::Nothing, 27);
        assert_eq!(crowded.map_err(|failure| failure.errno), Err(libc::ENOSPC), "others have keys too");
    }

    #[test]
    fn names_of_the_mount_itself_are_not_read_from_the_metadata_of_others() {
        let text = "1 1 filescomfs.state=verified filescomfs.md5=x filescomfs=kept comment=hello";
        let mut metadata = BTreeMap::from([(XATTR_KEY.to_owned(), text.to_owned())]);
        let read = Xattrs::take_from(&mut metadata);
        assert_eq!(read.list(), b"user.comment\0user.filescomfs\0");
        assert!(metadata.is_empty());
    }

    #[test]
    fn names_that_are_not_ours_are_refused() {
        let none = Xattrs::default();
        for (name, errno) in [
            ("security.selinux", libc::ENOTSUP),
            ("system.posix_acl_access", libc::ENOTSUP),
            ("trusted.x", libc::ENOTSUP),
            ("user.", libc::EINVAL),
            ("user.filescomfs.state", libc::EPERM),
        ] {
            assert_eq!(set(&none, name, b"x"), Err(errno), "{name}");
        }
    }

    #[test]
    fn what_is_expected_to_be_there_or_not_is_looked_at() {
        let none = Xattrs::default();
        let expect = |all: &Xattrs, expects| {
            all.with(OsStr::new("user.a"), b"x", expects, 0).map_err(|failure| failure.errno)
        };
        assert_eq!(expect(&none, Expects::Presence), Err(libc::ENODATA));
        let one = expect(&none, Expects::Absence).unwrap();
        assert_eq!(expect(&one, Expects::Absence), Err(libc::EEXIST));
        assert_eq!(expect(&one, Expects::Presence), Ok(one.clone()));
        assert_eq!(one.without(OsStr::new("user.a")), Ok(none.clone()));
        assert!(none.without(OsStr::new("user.a")).is_err_and(|failure| failure.errno == libc::ENODATA));
    }

    #[test]
    fn a_series_that_cannot_be_read_stays_where_it_is() {
        for value in ["", "1", "1 0 a=b", "1 2 a=b", "2 1 a=b", "1 1 ab", "1 1 a:*", "1 99 a=b", "1 1 =x"] {
            let before = BTreeMap::from([(XATTR_KEY.to_owned(), value.to_owned())]);
            let mut metadata = before.clone();
            assert!(Xattrs::take_from(&mut metadata).is_empty());
            assert_eq!(metadata, before, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn names_and_values_come_back_as_they_went_in(
            wanted in prop::collection::btree_map(
                prop::collection::vec(1u8..=255, 1..250), prop::collection::vec(any::<u8>(), 0..1500), 0..12),
        ) {
            let wanted: BTreeMap<OsString, Vec<u8>> =
                wanted.into_iter().map(|(name, value)| (OsString::from_vec(name), value)).collect();
            let all = Xattrs(wanted);
            let mut metadata = all.to_metadata();
            let is_kept = |text: &String| text.len() <= LONGEST_VALUE && text.trim() == text && text.is_ascii();
            prop_assert!(metadata.values().all(is_kept));
            metadata.insert("another's".into(), "value".into());
            prop_assert_eq!(Xattrs::from_text(&all.to_text()), Some(all.clone()));
            prop_assert_eq!(Xattrs::take_from(&mut metadata), all);
            prop_assert_eq!(metadata.len(), 1);
        }
    }
}
