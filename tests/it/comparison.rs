//! The comparison of names against the table that an official client of Files.com carries.

use std::collections::BTreeMap;
use std::fs;

use filescomfs::model::comparison::Keys;

/// `scripts/test-clients` installs that client and says where its table is.
const TABLE: &str = "COMPARISON_TABLE";

/// The key of a name is those of its characters, one after the other. So what is shown here for every
/// character that the table maps holds for every name.
#[test]
#[ignore = "needs the table of an official client: scripts/test-clients runs it"]
fn whatever_the_published_table_takes_for_the_same_collides() {
    let table = std::env::var_os(TABLE).unwrap_or_else(|| panic!("{TABLE} names no file"));
    let table: serde_json::Value = serde_json::from_slice(&fs::read(table).unwrap()).unwrap();
    assert_eq!(table["collation"], "utf8mb4_0900_ai_ci");
    let mapped: BTreeMap<char, &str> = table["mapping"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(hex, text)| (u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).unwrap(), text))
        .map(|(c, text)| (c, text.as_str().unwrap()))
        .collect();
    assert!(mapped.len() > 20_000, "only {} characters", mapped.len());
    let collated = |text: &str| Keys::of(text).collated;
    let mut different = Vec::new();
    for (c, text) in mapped.iter().filter(|(c, _)| **c != '\0') {
        let (mut parted, before) = (String::from(*c), collated(text));
        if collated(&parted) != before {
            different.push(format!("U+{:04X} is not {text:?}", *c as u32));
        }
        parted.insert(0, 'x');
        assert_eq!(collated(&parted), [collated("x"), before].concat(), "U+{:04X} behind an x", *c as u32);
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
