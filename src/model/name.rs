//! Names: from POSIX to Files.com and back, and which names the service takes for the same.
//!
//! POSIX names are bytes; Files.com's are Unicode text, compared without case and without accents.
//! A name that the service would refuse, change or confuse with a sibling is refused here, before a
//! byte travels: one file is never written over another whose name differs.
//!
//! Two comparison rules are published and the live one is not known, so two names collide when
//! either says so. Rule A: NFKC, accents off Latin letters, lower case, no white space at the end.
//! Rule B: the collation `utf8mb4_0900_ai_ci`, that is the Unicode collation at primary strength.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

use icu_collator::options::{AlternateHandling, CollatorOptions, Strength};
use icu_collator::{Collator, CollatorBorrowed};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

/// The longest name that Linux hands to a filesystem, in bytes.
pub const LONGEST_NAME: usize = 255;

/// Why a name cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameRefused {
    /// More than [`LONGEST_NAME`] bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Not UTF-8: the API carries names as text.
    #[error("the name is not UTF-8, and Files.com stores names as text")]
    NotText,
    /// `.`, `..`, empty, or with a slash or NUL.
    #[error("this is not the name of a file")]
    NotAName,
    /// A backslash, a control character, or white space at the end.
    #[error("Files.com refuses names with a backslash, a control character or white space at the end")]
    Forbidden,
}

/// The name under which Files.com stores the POSIX name `name`: today, the same text or a refusal.
pub fn to_remote(name: &OsStr) -> Result<String, NameRefused> {
    let bytes = name.as_bytes();
    if bytes.len() > LONGEST_NAME {
        return Err(NameRefused::TooLong);
    }
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(NameRefused::NotAName);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NameRefused::NotText)?;
    if text.chars().any(|c| c == '\\' || c.is_control()) || text.ends_with(char::is_whitespace) {
        return Err(NameRefused::Forbidden);
    }
    Ok(text.to_owned())
}

/// The POSIX name of what Files.com lists as `name`; `None` for a name that no POSIX folder can hold.
/// Such an entry stays invisible: it must never lead out of the mount.
pub fn from_remote(name: &str) -> Option<OsString> {
    let harmless = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name != "."
        && name != ".."
        && !name.contains(['/', '\0']);
    harmless.then(|| OsString::from(name))
}

/// What Files.com compares in place of a name. Names with either key in common are one name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Key under rule A.
    pub latin: String,
    /// Key under rule B: a sort key of the Unicode collation.
    pub collated: Vec<u8>,
}

impl Keys {
    /// The keys of one name (not of a path).
    pub fn of(name: &str) -> Self {
        let mut collated = Vec::new();
        let Ok(()) = COLLATOR.write_sort_key_to(name, &mut collated);
        Self { latin: latin_key(name), collated }
    }
}

static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    let mut options = CollatorOptions::default();
    options.strength = Some(Strength::Primary);
    options.alternate_handling = Some(AlternateHandling::NonIgnorable);
    Collator::try_new(Default::default(), options).expect("the root collation is compiled in")
});

/// Rule A: NFKC, then plain letters for Latin ones, then lower case, then no white space at the end.
fn latin_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.nfkc() {
        match plain_letters(c) {
            Some(letters) => key.push_str(letters),
            None => key.extend(without_accent(c).to_lowercase()),
        }
    }
    key.truncate(key.trim_end().len());
    key
}

/// The letters of rule A's table that no decomposition gives, already in lower case.
fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'Æ' | 'æ' => "ae",
        'Œ' | 'œ' => "oe",
        'ß' => "ss",
        'Ð' | 'ð' | 'Đ' | 'đ' => "d",
        'Ø' | 'ø' => "o",
        'Ħ' | 'ħ' => "h",
        'Ł' | 'ł' => "l",
        _ => return None,
    })
}

/// The base letter of a Latin letter between U+00C0 and U+017E that has a canonical decomposition.
fn without_accent(c: char) -> char {
    if !('\u{c0}'..='\u{17e}').contains(&c) {
        return c;
    }
    let mut base = None;
    decompose_canonical(c, |part| {
        base.get_or_insert(part);
    });
    base.unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Keys::of(a), Keys::of(b));
        a.latin == b.latin || a.collated == b.collated
    }

    #[test]
    fn names_that_the_service_takes_for_one_collide() {
        for (a, b) in [
            ("README", "readme"),
            ("résumé", "resume"),
            ("Straße", "strasse"),
            ("FÎŁĘÑÂMÉ.TXT", "filename.txt"),
            ("a.txt", "a.txt\u{200b}"),
            ("q\u{301}", "q"),
            ("か", "ガ"),
            ("report ", "report"),
            ("Œuvre", "oeuvre"),
        ] {
            assert!(same(a, b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn names_that_differ_for_the_service_do_not_collide() {
        for (a, b) in [("a", "b"), ("a.txt", "a-txt"), ("ı", "i"), ("x1", "x2"), ("a b", "ab"), ("þ", "th")]
        {
            assert!(!same(a, b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn a_name_that_would_change_on_the_way_is_refused() {
        use NameRefused::*;
        let table: &[(&[u8], NameRefused)] = &[
            (b"a\\b", Forbidden),
            (b"tail ", Forbidden),
            (b"bell\x07", Forbidden),
            (b"\xff", NotText),
            (b"..", NotAName),
            (&[b'n'; 256], TooLong),
        ];
        for (name, why) in table {
            assert_eq!(to_remote(OsStr::from_bytes(name)), Err(*why), "{name:?}");
        }
        assert_eq!(
            to_remote(OsStr::new(" leading and (brackets) 日本")).unwrap(),
            " leading and (brackets) 日本"
        );
    }

    #[test]
    fn a_listed_name_never_leads_out_of_its_folder() {
        for name in ["", ".", "..", "a/b", "../x", "nul\0"] {
            assert_eq!(from_remote(name), None, "{name:?}");
        }
        assert_eq!(from_remote("plain"), Some("plain".into()));
    }
}
