//! What a person reads at 3 a.m.: each failure has its own sentence and its own exit code.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use filescomfs::emulator::{Key, User};

use crate::close::write_and_close;
use crate::stage::{FOLDER, KEY, Stage, is_mounted, told};

/// A site with one key that may do everything below the root.
fn locked_site() -> Stage {
    Stage::with(|site| site.keys.push(Key { key: KEY.into(), ..Key::default() }))
}

/// Tries to mount; it must fail, with this code and these words.
fn refused(stage: &Stage, source: &str, key: &str, code: i32, words: &[&str]) {
    let point = stage.path("refused");
    fs::create_dir_all(&point).unwrap();
    let output = stage
        .filescomfs(["mount", "--network-timeout", "3s", "--cache-dir"])
        .arg(stage.path("refused-cache"))
        .arg(source)
        .arg(&point)
        .env("FILES_API_KEY", key)
        .output()
        .unwrap();
    assert_said(&output, code, words);
    assert!(!is_mounted(&point));
}

fn assert_said(output: &Output, code: i32, words: &[&str]) {
    let said = told(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains(KEY), "{said}");
}

#[test]
fn mounting_says_why_it_cannot() {
    let stage = locked_site();
    refused(&stage, &stage.source(), "wr0ngKey", 3, &["API key"]);
    refused(&stage, &format!("{}:/nowhere", stage.site.base_url()), KEY, 5, &["/nowhere", "create it"]);
    stage.site.put("a-file", b"x");
    refused(&stage, &format!("{}:/a-file", stage.site.base_url()), KEY, 5, &["/a-file", "is a file"]);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&stage, &format!("http://{dead}:/{FOLDER}"), KEY, 4, &["127.0.0.1"]);
    refused(&stage, "no-such-site.invalid", KEY, 4, &["no-such-site.invalid"]);
    refused(&stage, "http://files.example.com", KEY, 2, &["http"]);
}

#[test]
fn a_password_logs_in_and_an_expired_session_is_renewed() {
    let stage = Stage::with(|site| {
        site.users.push(User { name: "backup".into(), password: "s3cret".into(), ..User::default() });
    });
    let credentials = stage.path("credentials");
    fs::write(&credentials, "username=backup\npassword=s3cret\n").unwrap();
    let point = stage.path("refused");
    fs::create_dir(&point).unwrap();
    fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut command = stage.filescomfs(["mount", "--credentials"]);
    command.arg(&credentials).arg(stage.source()).arg(&point).env_remove("FILES_API_KEY");
    assert_said(&command.output().unwrap(), 2, &["chmod 600"]);
    assert!(!is_mounted(&point));
    fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mount = stage.mount_as(&credentials, &[]);
    write_and_close(&mount.path("a"), b"before").unwrap();
    stage.site.inject(filescomfs::emulator::Fault::on_any(filescomfs::emulator::Effect::ExpireSessions));
    write_and_close(&mount.path("b"), b"after").unwrap();
    assert_eq!(stage.site.waiting_faults(), [], "no session has ended");
    assert_eq!(stage.stored("b").unwrap(), b"after");
    assert_eq!(stage.requests("login"), 2, "renewed once");
    mount.umount();
}

#[test]
fn a_read_only_key_reads_and_every_change_says_what_is_missing() {
    let mut stage = Stage::with(|site| {
        site.keys.push(Key { key: KEY.into(), permissions: "lr".into(), ..Key::default() });
    });
    stage.site.put(&format!("{FOLDER}/f"), b"readable");
    let mount = stage.mount(&[]);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"readable");
    for (what, outcome) in [
        ("overwriting", write_and_close(&mount.path("f"), b"changed")),
        ("a new file", write_and_close(&mount.path("new"), b"x")),
        ("a folder", fs::create_dir(mount.path("d"))),
        ("a deletion", fs::remove_file(mount.path("f"))),
        ("a rename", fs::rename(mount.path("f"), mount.path("g"))),
    ] {
        let failure = outcome.expect_err("a read-only key changed something");
        assert_eq!(failure.raw_os_error(), Some(libc::EACCES), "{what}");
    }
    assert_eq!(mount.status()["owed"]["files"], 0, "nothing was begun that cannot end");
    assert_eq!(stage.stored("f").unwrap(), b"readable");
    drop(mount);
}

#[test]
fn a_key_that_is_revoked_in_the_middle_loses_nothing() {
    let mut stage = locked_site();
    let mount = stage.mount(&[]);
    fs::write(mount.path("before"), "x").unwrap();
    stage.site.change(|site| site.keys[0].disabled = true);
    let failed = write_and_close(&mount.path("after"), b"precious").unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::EACCES));
    assert_eq!(mount.status()["owed"]["files"], 1);
    assert_eq!(fs::read(mount.path("after")).unwrap(), b"precious");
    let log = mount.log();
    let told = log.lines().find(|line| line.contains("/backups/after is not on Files.com"));
    let told = told.unwrap_or_else(|| panic!("the log does not name the file:\n{log}"));
    assert!(told.contains("Check the API key") && told.contains("it is kept here"), "{log}");
    stage.site.change(|site| site.keys[0].disabled = false);
    mount.umount();
    assert_eq!(stage.stored("after").unwrap(), b"precious");
}

#[test]
fn test_connection_tells_the_common_failures_apart() {
    let stage = locked_site();
    let test = |source: &str, key: &str, more: &[&str]| {
        stage.filescomfs(["test", source]).args(more).env("FILES_API_KEY", key).output().unwrap()
    };
    let good = test(&stage.source(), KEY, &["--write"]);
    assert_said(&good, 0, &["MD5"]);
    assert_eq!(stage.stored_names(), [""; 0], "the probe file is gone");
    assert_said(&test(&stage.source(), "wr0ngKey", &[]), 3, &["key"]);
    assert_said(&test("no-such-site.invalid", KEY, &[]), 4, &["no-such-site.invalid"]);
    assert_said(&test(&format!("{}:/nowhere", stage.site.base_url()), KEY, &[]), 5, &["nowhere"]);
    stage.site.change(|site| site.keys[0].permissions = "lr".into());
    assert_said(&test(&stage.source(), KEY, &["--write"]), 6, &["permission"]);
    assert_said(&test(&stage.source(), KEY, &[]), 6, &["missing: write", "--read-only"]);
    assert_said(&test(&stage.source(), KEY, &["--read-only"]), 0, &["list, read"]);
    stage.site.change(|site| site.keys[0].permissions = "lrwd".into());
    assert_said(&test(&stage.source(), KEY, &["--write"]), 6, &["overwrite"]);
    stage.site.change(|site| {
        site.keys[0].permissions = "lrwod".into();
        (site.md5, site.crc32) = (false, false);
    });
    assert_said(&test(&stage.source(), KEY, &["--write"]), 0, &["File Integrity"]);
}

#[test]
fn what_is_tested_is_what_would_be_mounted() {
    let stage = locked_site();
    let (config, key) = (stage.path("config.toml"), stage.path("key"));
    let private = |path: &std::path::Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    private(&key, KEY);
    let test = |options: &str, more: &[&str]| {
        let site = stage.site.base_url();
        private(
            &config,
            &format!("[storage.vault]\nsite = \"{site}\"\nfolder = \"/{FOLDER}\"\noptions = \"{options}\"\n"),
        );
        let mut command = stage.filescomfs(["test", "vault", "--config"]);
        command.arg(&config).args(more).env_remove("FILES_API_KEY").output().unwrap()
    };
    let by_file = format!("api-key-file={}", key.display());
    assert_said(&test(&by_file, &[]), 0, &["list, read, write, delete"]);
    for (options, word) in
        [("colour=red", "colour"), ("cache-size=much", "cache-size"), ("close=never", "close")]
    {
        assert_said(&test(&format!("{by_file},{options}"), &[]), 2, &[word, "config.toml"]);
    }
    stage.site.change(|site| site.keys[0].permissions = "lr".into());
    assert_said(&test(&by_file, &[]), 6, &["missing: write"]);
    assert_said(&test(&format!("{by_file},ro"), &[]), 0, &["list, read"]);
    let missing = stage.path("missing");
    assert_said(&test(&format!("{by_file},ro"), &[missing.to_str().unwrap()]), 2, &["mkdir"]);
    let point = stage.path("point");
    fs::create_dir(&point).unwrap();
    fs::write(point.join("leaked"), "x").unwrap();
    let warned = test(&format!("{by_file},ro"), &[point.to_str().unwrap()]);
    assert_said(&warned, 0, &["FUSE", "leaked", "descriptors", "free"]);
}
