//! Names: which are the same, and which are refused.
//!
//! Names are stored as first given and compared by a key. Under the newer rule the key is a sort key of
//! the Unicode collation at primary strength, so its order is also the order of a listing.

use std::sync::LazyLock;

use icu_collator::options::{AlternateHandling, CollatorOptions, Strength};
use icu_collator::{Collator, CollatorBorrowed};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

use super::errors::ApiError;
use super::settings::NameRule;

/// What is compared in place of a name.
pub(super) type Key = Vec<u8>;

/// Longest path, in characters.
const LONGEST_PATH: usize = 5000;

static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    let mut options = CollatorOptions::default();
    options.strength = Some(Strength::Primary);
    options.alternate_handling = Some(AlternateHandling::NonIgnorable);
    #[expect(clippy::expect_used, reason = "data of the root collation are part of the program")]
    Collator::try_new(Default::default(), options).expect("the root collation is compiled in")
});

/// The key of one name.
pub(super) fn key(rule: NameRule, name: &str) -> Key {
    match rule {
        NameRule::Latin => latin(name).into_bytes(),
        NameRule::Collation => {
            let mut key = Vec::with_capacity(name.len() + 8);
            // The published table makes eth a plain d; the collation of this library does not.
            let Ok(()) = if name.contains(['ð', 'Ð']) {
                COLLATOR.write_sort_key_to(&name.replace(['ð', 'Ð'], "d"), &mut key)
            } else {
                COLLATOR.write_sort_key_to(name, &mut key)
            };
            key
        }
    }
}

/// The components of a path, however many slashes stand at its ends or between.
pub(super) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Is `path` the folder `folder` or below it?
pub(super) fn is_within(rule: NameRule, path: &str, folder: &str) -> bool {
    let mut inner = components(path);
    components(folder).all(|outer| inner.next().is_some_and(|part| key(rule, part) == key(rule, outer)))
}

/// May something be created under this path? Lookups need no such check: what cannot be there is not found.
pub(super) fn check(path: &str, is_folder: bool, longest: usize) -> Result<(), ApiError> {
    if path.chars().count() > LONGEST_PATH {
        return Err(ApiError::new("processing-failure/path-too-long", "The path is too long."));
    }
    let count = components(path).count();
    for (at, name) in components(path).enumerate() {
        if name.contains(['\\', '\0']) {
            return Err(ApiError::new("processing-failure/invalid-filename", "The name is not valid."));
        }
        if name == "." || name == ".." {
            return Err(ApiError::new("bad-request/invalid-path", "The path is not valid."));
        }
        if name.chars().count() > longest {
            return Err(ApiError::new("processing-failure/filename-too-long", "The name is too long."));
        }
        // The pages name space, tab, LF and CR; whether other blanks of Unicode count, nobody outside knows.
        if (is_folder || at + 1 < count) && name.ends_with(char::is_whitespace) {
            return Err(ApiError::new(
                "bad-request/path-cannot-have-trailing-whitespace",
                "Folder names cannot end in whitespace.",
            ));
        }
    }
    Ok(())
}

/// `a.txt`, 2 → `a_2.txt`: where an upload goes that may not replace.
pub(super) fn numbered(name: &str, number: u32) -> String {
    match name.rfind('.') {
        Some(dot) if dot > 0 => format!("{}_{number}{}", &name[..dot], &name[dot..]),
        _ => format!("{name}_{number}"),
    }
}

/// The older rule.
fn latin(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.nfkc() {
        match c {
            'Æ' | 'æ' => key.push_str("ae"),
            'Œ' | 'œ' => key.push_str("oe"),
            'ß' => key.push_str("ss"),
            'Ð' | 'ð' | 'Đ' | 'đ' => key.push('d'),
            'Ø' | 'ø' => key.push('o'),
            'Ħ' | 'ħ' => key.push('h'),
            'Ł' | 'ł' => key.push('l'),
            '\u{c0}'..='\u{17e}' => {
                let mut first = None;
                decompose_canonical(c, |part| {
                    first.get_or_insert(part);
                });
                key.extend(first.unwrap_or(c).to_lowercase());
            }
            _ => key.extend(c.to_lowercase()),
        }
    }
    key.truncate(key.trim_end().len());
    key
}
