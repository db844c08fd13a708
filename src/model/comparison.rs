//! What Files.com compares in place of a name.
//!
//! Two comparison rules are published and the live one is not known, so two names collide when either
//! says so. Rule A: NFKC, accents off Latin letters, lower case, no white space at the end. Rule B: the
//! collation `utf8mb4_0900_ai_ci`, that is the Unicode collation 9.0 at primary strength, one character
//! after the other: it knows no contraction, and a mark never changes the letter before it.
//!
//! What must stay true of rule B: the key of a name is the keys of its characters, one after the other, and
//! each character has the key of the text that the published table puts in its place. From both it
//! follows for every name, of whatever characters: what the table takes for the same has the same key
//! here. The collation of our library is newer and takes more for the same (letters that Unicode 9 did not
//! know); that costs a text of its own, never a file.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use icu_collator::options::{AlternateHandling, CollatorOptions, Strength};
use icu_collator::{Collator, CollatorBorrowed};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

use super::ligatures::letters;

/// What Files.com compares in place of a name. Names with either key in common are one name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Key under rule A.
    pub latin: String,
    /// Key under rule B.
    pub collated: Vec<u8>,
}

impl Keys {
    /// The keys of one name (not of a path).
    pub fn of(name: &str) -> Self {
        Self { latin: latin_key(name), collated: collated_key(name) }
    }
}

static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    let mut options = CollatorOptions::default();
    options.strength = Some(Strength::Primary);
    options.alternate_handling = Some(AlternateHandling::NonIgnorable);
    Collator::try_new(Default::default(), options).expect("the root collation is compiled in")
});

/// Weights of the ASCII characters, of which most names consist.
static ASCII: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..128u8).map(|c| look_up(c.into())).collect());

/// Rule B.
fn collated_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() * 3);
    for c in name.chars() {
        if c.is_ascii() {
            add(&mut key, &ASCII[c as usize]);
            continue;
        }
        let whole = look_up(c);
        if whole.is_empty() {
            continue;
        }
        let parts = parts(c);
        if parts.len() > 1 {
            for part in parts {
                add(&mut key, &part);
            }
        } else {
            add(&mut key, &whole);
        }
    }
    key
}

/// Marks that the library takes for the plain ones, and Files.com does not. They are in many names.
const QUOTATION_MARKS: &str = "‘’‚‛“”„‟";

/// Adds the weight of one letter, so that the letters can be told apart again.
fn add(key: &mut Vec<u8>, weight: &[u8]) {
    if !weight.is_empty() {
        key.push(weight.len() as u8);
        key.extend(weight);
    }
}

/// The weight of a character that stands alone; empty for one that counts for nothing.
fn look_up(c: char) -> Vec<u8> {
    let mut weight = Vec::new();
    if QUOTATION_MARKS.contains(c) {
        // No weight of the library begins like that.
        weight.push(u8::MAX);
        weight.extend(c.encode_utf8(&mut [0; 4]).bytes());
        return weight;
    }
    let Ok(()) = COLLATOR.write_sort_key_to(c.encode_utf8(&mut [0; 4]), &mut weight);
    weight
}

/// The weights of the letters that `c` is made of, without those that count for nothing.
fn parts(c: char) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    if let Some(letters) = letters(c) {
        parts.extend(letters.chars().map(look_up));
    } else if HANGUL.contains(&c) {
        parts.extend(jamo(c).map(look_up));
    } else {
        for c in c.nfkc() {
            let inner: Vec<_> = match letters(c) {
                Some(letters) => letters.chars().map(look_up).collect(),
                None => c.nfd().map(look_up).filter(|weight| !weight.is_empty()).collect(),
            };
            // One letter and its marks have a weight of their own: й is not и.
            if inner.len() > 1 { parts.extend(inner) } else { parts.push(look_up(c)) }
        }
    }
    parts.retain(|weight| !weight.is_empty());
    parts
}

/// Syllables of Hangul. The last twelve are assigned to nothing, and taken apart all the same by the published
/// table.
const HANGUL: RangeInclusive<char> = '\u{ac00}'..='\u{d7af}';

/// The two or three letters of a syllable of Hangul, by the arithmetic of the Unicode standard.
fn jamo(syllable: char) -> impl Iterator<Item = char> {
    let n = syllable as u32 - *HANGUL.start() as u32;
    let (first, vowel, last) = (n / 588, n % 588 / 28, n % 28);
    let last = (last > 0).then_some(0x11a7 + last);
    [Some(0x1100 + first), Some(0x1161 + vowel), last].into_iter().flatten().filter_map(char::from_u32)
}

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

    #[test]
    fn blanks_at_the_end_count_under_one_rule_only() {
        for tail in [" ", "\t", "\n", "\r"] {
            let (short, long) = (Keys::of("a"), Keys::of(&format!("a{tail}")));
            assert!(short.latin == long.latin && short.collated != long.collated, "{tail:?}");
        }
    }

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Keys::of(a), Keys::of(b));
        a.latin == b.latin || a.collated == b.collated
    }

    #[test]
    fn names_that_either_rule_takes_for_one_collide() {
        for (a, b) in [
            ("README", "readme"),
            ("résumé", "resume"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("a.txt", "a.txt\u{200b}"),
            ("a.txt", "a\u{ad}.txt"),
            ("x\u{1}", "x"),
            ("q\u{301}", "q"),
            ("か", "ガ"),
            ("あ", "ァ"),
            ("は", "パ"),
            ("report ", "report"),
            ("x\u{a0}", "x "),
            ("Œuvre", "oeuvre"),
            ("İ", "i"),
            ("Þ", "þ"),
            ("ς", "Σ"),
            ("ſ", "s"),
            ("ﬁ①²½", "fi121⁄2"),
            ("가", "\u{1100}\u{1161}"),
            // No mark changes the letter before it, and nothing that counts for nothing comes between two.
            ("и\u{306}", "и"),
            ("เ\u{200b}ก", "เก"),
            ("ⓛ·", "l·"),
            ("ﯪ", "ئا"),
            ("🆒", "cool"),
        ] {
            assert!(same(a, b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn names_that_differ_under_both_rules_do_not_collide() {
        for (a, b) in [
            ("a", "b"),
            ("a.txt", "a-txt"),
            ("ı", "i"),
            ("x1", "x2"),
            ("a b", "ab"),
            ("þ", "th"),
            ("й", "и"),
            ("it's", "it’s"),
            ("\"a\"", "“a”"),
            ("¨", " "),
            ("가", "나"),
        ] {
            assert!(!same(a, b), "{a:?} and {b:?}");
        }
    }
}
