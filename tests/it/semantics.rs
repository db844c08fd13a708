//! What the manual shows of the program is what the program does.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use filescomfs::model::name;
use filescomfs::model::xattrs::{Expects, Xattrs};
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

#[test]
fn the_manual_shows_names_and_attributes_as_they_are_stored() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let manual = fs::read_to_string(manual).expect("docs/format.md");
    let names: [(&[u8], &str); 5] = [
        (b"README", "README"),
        (b"back\\slash", "back\\slash"),
        (b"end ", "end ` (a blank)"),
        (b"\xff", "\\xff` (one byte)"),
        ("already ␠".as_bytes(), "already ␠"),
    ];
    for (name, shown) in names {
        let stored = name::to_remote(OsStr::from_bytes(name)).unwrap();
        let cell = shown.strip_suffix(')').map_or(format!("{shown}`"), |shown| format!("{shown})"));
        let line = format!("| `{cell} | `{stored}` |");
        assert!(manual.contains(&line), "{line}");
    }
    let twin = name::to_remote_twin(OsStr::new("readme")).unwrap();
    assert!(manual.contains(&format!("| `readme`, beside `README` | `{twin}` |")), "{twin}");
    let mut xattrs = Xattrs::default();
    for (name, value) in [
        ("user.comment", &b"for all"[..]),
        ("user.icon", b"\x89PNG\r\n\x1a\n"),
        ("user.mime_type", b"text/plain"),
    ] {
        xattrs = xattrs.with(OsStr::new(name), value, Expects::Nothing, 0).unwrap();
    }
    for (key, value) in xattrs.to_metadata() {
        let line = format!("{key} = \"{value}\"");
        assert!(manual.contains(&line), "{line}");
    }
}
