//! `docs/emulator.md` against the code: what the page names exists, and what exists is on the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::{Effect, Settings};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    file("docs/emulator.md")
}

/// Texts between backquotes.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The section under a heading, up to the next heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading:?}"));
    rest.split("\n#").next().unwrap_or(rest)
}

/// Rows of the tables of a section, without their heads, as cells.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = section(page, heading).lines().filter(|line| line.starts_with('|'));
    let cells = |line: &'a str| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>();
    let rows: Vec<_> = lines.skip(2).map(cells).collect();
    assert!(rows.len() > 5, "{heading} has {} rows", rows.len());
    rows
}

const SCRIPTS: [&str; 4] = ["python_sdk.py", "rclone.py", "javascript_sdk.cjs", "interoperation.py"];

/// Is this the name of a test, and does the test exist? `None` for what names no test.
fn test(name: &str) -> Option<bool> {
    if let Some((script, check)) = name.split_once(": ")
        && SCRIPTS.contains(&script)
    {
        let text = file(&format!("tests/clients/{script}"));
        return Some(
            text.contains(&format!("check(\"{check}\")")) || text.contains(&format!("check('{check}'")),
        );
    }
    let words: Vec<&str> = name.split("::").collect();
    let sources = match words[..] {
        ["filescomfs", ..] => return None,
        ["it", module, _] => vec![format!("tests/it/{module}.rs")],
        ["remote", module, _] => {
            vec![format!("src/remote/tests/{module}.rs"), format!("src/remote/{module}.rs")]
        }
        ["model", module, _] => vec![format!("src/model/{module}.rs")],
        [module, _] => vec![format!("src/emulator/tests/{module}.rs"), format!("src/emulator/{module}.rs")],
        _ => return None,
    };
    let head = format!("fn {}()", words.last()?);
    let is_here = |source: &String| {
        let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)) else {
            return false;
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        lines.windows(2).any(|pair| pair[0].ends_with("test]") && pair[1].contains(&head))
    };
    Some(sources.iter().any(is_here))
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = page();
    let named: Vec<&str> = code(&page).into_iter().filter(|name| test(name).is_some()).collect();
    assert!(named.len() > 150, "only {} names were found", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|name| test(name) == Some(false)).collect();
    assert_eq!(missing, [""; 0], "tests that do not exist");
}

#[test]
fn every_row_names_a_test() {
    let page = page();
    for heading in [
        "## Faults",
        "### What the user of a mount sees of them",
        "### Endpoints",
        "### Quirks",
        "### Unknown, and the choices made",
    ] {
        for row in rows(&page, heading) {
            let tests =
                row.iter().flat_map(|cell| code(cell)).filter(|name| test(name) == Some(true)).count();
            assert!(tests > 0, "{heading}: no test in {row:?}");
        }
    }
}

#[test]
fn every_quirk_has_its_row() {
    let page = page();
    let numbers: BTreeSet<u32> = rows(&page, "### Quirks")
        .iter()
        .flat_map(|row| row[0].split(", ").map(|number| number.parse().expect("a number")))
        .collect();
    assert_eq!(numbers, (1..=44).collect());
    for row in rows(&page, "### Unknown, and the choices made") {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell in {row:?}");
    }
}

#[test]
fn every_fault_and_every_setting_is_on_the_page_under_its_name() {
    let page = page();
    let error = serde_json::from_str::<Effect>("\"no such effect\"").unwrap_err().to_string();
    let (_, expected) = error.split_once("expected one of").expect("serde names what it knows");
    let faults = section(&page, "## Faults");
    for effect in code(expected) {
        assert!(faults.contains(&format!("\"{effect}\"")), "{effect} is not among the faults");
    }
    let settings = serde_json::to_value(Settings::default()).unwrap();
    let settings = settings.as_object().unwrap();
    for row in rows(&page, "### Unknown, and the choices made") {
        for name in code(row[3]) {
            assert!(settings.contains_key(name), "{name} is no setting");
        }
    }
    let listed: BTreeSet<&str> = code(section(&page, "### Settings")).into_iter().collect();
    let missing: Vec<_> = settings.keys().filter(|name| !listed.contains(name.as_str())).collect();
    assert_eq!(missing, [""; 0], "settings that the page does not name");
    for kind in super::super::orders::KINDS {
        assert!(section(&page, "## Faults").contains(&format!("`{kind}`")), "{kind}");
    }
}
