//! The errno table of docs/semantics.md is the table of the program.

use std::fs;
use std::path::Path;

use filescomfs::remote::KINDS;

#[test]
fn the_manual_prints_the_table_of_errors_as_it_is() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let manual = fs::read_to_string(manual).expect("docs/semantics.md");
    let printed: Vec<(String, String, String)> = manual
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [kind, errno, remedy] = cells[..] else { return None };
            let errno = errno.strip_prefix('`')?.strip_suffix('`')?;
            errno.starts_with('E').then(|| (kind.to_owned(), errno.to_owned(), remedy.to_owned()))
        })
        .collect();
    let expected: Vec<(String, String, String)> = KINDS
        .iter()
        .map(|row| (format!("{:?}", row.kind), row.errno_name.to_owned(), row.remedy.to_owned()))
        .collect();
    assert_eq!(printed, expected, "docs/semantics.md and the table of errors differ");
}
