//! `status --json`: every field that the manual names is there, none is there that it does not name, and what they say
//! is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use filescomfs::emulator::{Effect, Fault};
use serde_json::{Value, json};

use crate::close::write_and_close;
use crate::stage::{FOLDER, Stage, noise, wait_until};

/// Texts between backquotes.
fn code(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table of fields: the names in the first column, and those in the second.
fn rows() -> Vec<(BTreeSet<String>, BTreeSet<String>)> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let manual = fs::read_to_string(manual).expect("docs/configuration.md");
    let (_, section) = manual.split_once("\n## status --json\n").expect("a section about status --json");
    let lines =
        section.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            let (names, meaning) = (cells.next().unwrap(), cells.next().unwrap());
            (code(names), code(meaning))
        })
        .collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn the_manual_names_every_field_of_the_status_and_no_other() {
    let mut stage = Stage::new();
    let mount = stage.mount(&["--close", "journaled"]);
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }).times(0));
    write_and_close(&mount.path("f"), b"bytes").unwrap();
    wait_until("it is being sent", || stage.site.held() == 1);
    let status = mount.status();
    let rows = rows();
    let named: BTreeSet<String> = rows.iter().flat_map(|(names, _)| names.clone()).collect();
    assert_eq!(named, keys(&status));
    let fields_of = |name: &str| {
        let (_, fields) = rows.iter().find(|(names, _)| names.contains(name)).unwrap();
        fields.clone()
    };
    for name in ["owed", "rate", "cache", "bandwidth"] {
        assert_eq!(fields_of(name), keys(&status[name]), "{name}");
    }
    assert_eq!(fields_of("uploading"), keys(&status["uploading"][0]));
    let lanes: BTreeSet<String> =
        keys(&status["concurrency"]).union(&keys(&status["concurrency"]["calls"])).cloned().collect();
    assert_eq!(fields_of("concurrency"), lanes);
    for lane in ["uploads", "downloads", "files"] {
        assert_eq!(keys(&status["concurrency"][lane]), keys(&status["concurrency"]["calls"]), "{lane}");
    }
    stage.site.clear_faults();
    mount.umount();
}

#[test]
fn what_the_status_says_is_so() {
    let mut stage = Stage::new();
    stage.site.put(&format!("{FOLDER}/cached"), &noise(1, 50_000));
    let mount = stage.mount(&["--close", "journaled", "--cache-size", "64M"]);
    let status = mount.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["mountpoint"], mount.point.to_str().unwrap());
    assert!(status["site"].as_str().unwrap().contains("127.0.0.1"), "{status}");
    assert_eq!((&status["folder"], &status["close"]), (&json!(format!("/{FOLDER}")), &json!("journaled")));
    assert_eq!(status["pid"], mount.pid);
    for (field, value) in [
        ("eta_seconds", json!(0)),
        ("reachable", json!(true)),
        ("read_only", json!(null)),
        ("uploading", json!([])),
        ("held", json!([])),
        ("errors", json!([])),
        ("damaged_journals", json!([])),
        ("verified", json!(0)),
        ("weak", json!(0)),
        ("retries", json!(0)),
        ("bandwidth", json!({ "up": null, "down": null })),
    ] {
        assert_eq!(status[field], value, "{field}: {status}");
    }
    assert!(status["clock_skew_seconds"].as_i64().unwrap().abs() < 60, "{status}");

    // Something is on its way, and something failed.
    stage.site.inject(Fault::on("part", Effect::Hold { until: 0 }).path("held back").times(0));
    let refused =
        Effect::Error { kind: "processing-failure/file-locked".into(), status: None, retry_after: None };
    stage.site.inject(Fault::on("begin_upload", refused).path("locked").times(0));
    write_and_close(&mount.path("held back"), &noise(2, 20_000)).unwrap();
    write_and_close(&mount.path("locked"), &noise(3, 10_000)).unwrap();
    wait_until("one is sent and the other refused", || {
        stage.site.held() == 1 && mount.status()["errors"][0]["path"].is_string()
    });
    assert!(fs::read(mount.path("cached")).unwrap() == noise(1, 50_000));
    let status = mount.status();
    assert_eq!((&status["owed"]["files"], &status["owed"]["bytes"]), (&json!(2), &json!(30_000)), "{status}");
    assert!(
        status["owed"]["oldest_seconds"].is_u64() && status["owed"]["next_retry_seconds"].is_u64(),
        "{status}"
    );
    assert_eq!(status["uploading"][0]["path"], format!("/{FOLDER}/held back"));
    assert_eq!(status["uploading"][0]["size"], 20_000);
    assert_eq!(status["errors"][0]["path"], format!("/{FOLDER}/locked"));
    assert!(status["errors"][0]["message"].as_str().unwrap().contains("lock"), "{status}");
    let cache = &status["cache"];
    assert_eq!(
        (&cache["limit"], &cache["writers_waiting"], &cache["owed"]),
        (&json!(64 << 20), &json!(0), &json!(30_000))
    );
    assert!(cache["used"].as_u64() >= Some(50_000) && cache["spool"].as_u64() >= Some(30_000), "{status}");
    assert_eq!(status["concurrency"]["uploads"]["under_way"], 1, "{status}");
    assert_eq!(status["concurrency"]["pause_seconds"], json!(null), "{status}");
    assert!(status["api_calls"]["begin_upload"].as_u64().is_some_and(|count| count >= 2), "{status}");

    stage.site.clear_faults();
    let done = stage.filescomfs(["sync"]).arg(&mount.point).output().unwrap();
    assert!(done.status.success());
    let status = mount.status();
    assert_eq!((&status["verified"], &status["owed"]["files"]), (&json!(2), &json!(0)), "{status}");
    assert_eq!(
        (&status["owed"]["oldest_seconds"], &status["eta_seconds"]),
        (&json!(null), &json!(0)),
        "{status}"
    );
    mount.umount();
}

#[test]
fn the_end_of_a_key_and_a_clock_that_is_wrong_are_told() {
    let mut stage = Stage::with(|site| {
        let expires_at = Some(4_000_000_000);
        site.keys.push(filescomfs::emulator::Key {
            key: crate::stage::KEY.into(),
            expires_at,
            ..Default::default()
        });
        site.clock_offset_ms = 3_600_000;
    });
    let mount = stage.mount(&[]);
    let status = mount.status();
    assert!(status["key_expires_at"].as_str().unwrap().starts_with("2096-10-02"), "{status}");
    assert!((3500..3700).contains(&status["clock_skew_seconds"].as_i64().unwrap()), "{status}");
    mount.umount();
}
