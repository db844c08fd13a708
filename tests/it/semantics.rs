//! What the manual shows of the program is what the program does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use filescomfs::model::name;
use filescomfs::model::xattrs::{Expects, Xattrs};
use filescomfs::remote::KINDS;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words one blank apart, however the lines are broken.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds the tests of the files below `folder`, each as `module::name`; `mod` and `tests` are no part of a module.
fn collect_tests(folder: &Path, module: &str, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = match name {
            "mod" | "tests" => module.to_owned(),
            _ if module.is_empty() => name.to_owned(),
            _ => format!("{module}::{name}"),
        };
        if path.is_dir() {
            collect_tests(&path, &module, tests);
        } else if path.extension() == Some(OsStr::new("rs")) {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for pair in lines.windows(2).filter(|pair| pair[0].ends_with("test]")) {
                let head = pair[1].trim_start_matches("async ").strip_prefix("fn ");
                let named = head.and_then(|head| head.split('(').next());
                tests.extend(named.map(|test| format!("{module}::{test}")));
            }
        }
    }
}

#[test]
fn every_promise_is_in_the_manual_and_has_a_test() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    collect_tests(&source.join("tests/it"), "it", &mut tests);
    collect_tests(&source.join("src"), "", &mut tests);
    let (semantics, configuration) = (page("semantics.md"), page("configuration.md"));
    let manual = format!("{} {}", in_one_line(&semantics), in_one_line(&configuration));
    let (mut section, mut rows, mut wrong) = (String::new(), Vec::new(), Vec::new());
    for line in page("promises.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        }
        let Some((words, named)) = line.strip_prefix("| ").and_then(|line| line.rsplit_once(" | ")) else {
            continue;
        };
        if words == "promise" || words == "---" {
            continue;
        }
        rows.push(section.clone());
        if !manual.contains(words) {
            wrong.push(format!("the manual does not say: {words}"));
        }
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("no test is named for: {words}"));
        }
        wrong.extend(
            named
                .iter()
                .filter(|test| !tests.contains(**test))
                .map(|test| format!("there is no test {test}")),
        );
    }
    assert_eq!(wrong, [""; 0]);
    // What the manual speaks of has promises. Its last section lists what is not promised.
    let headings = semantics.lines().filter_map(|line| line.strip_prefix("## "));
    for heading in headings.filter(|heading| *heading != "Limits of today").chain(["Configuration"]) {
        assert!(rows.iter().filter(|section| *section == heading).count() >= 3, "{heading} has no promises");
    }
}

#[test]
fn no_crate_wants_a_newer_rust_than_the_one_that_is_asked_for() {
    // Of what other systems need, nothing was fetched.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &here])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("what cargo knows, as JSON");
    let version = |package: &serde_json::Value| -> Option<Vec<u32>> {
        let numbers = package["rust_version"].as_str()?.split('.').chain(["0"]).take(3);
        numbers.map(|number| number.parse().ok()).collect()
    };
    let packages = told["packages"].as_array().unwrap();
    let own = packages.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap();
    let asked_for = version(own).expect("Cargo.toml names the oldest Rust");
    let newer: Vec<_> =
        packages.iter().filter(|package| version(package).is_some_and(|it| it > asked_for)).collect();
    let names: Vec<String> =
        newer.iter().map(|package| format!("{} {}", package["name"], package["rust_version"])).collect();
    assert_eq!(names, [""; 0], "they want more than Rust {asked_for:?}");
}

#[test]
fn the_manual_prints_the_table_of_errors_as_it_is() {
    let manual = page("semantics.md");
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
    let manual = page("format.md");
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
