//! `filescom-emulator` as somebody meets it who tests another client: the program and plain HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::stage::{built_emulator, kill, run, told};

const KEY: &str = "KEY";

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request, with no library in between. `url` begins with `http://`.
pub fn call(method: &str, url: &str, key: &str, body: &str) -> Answer {
    let (address, target) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} /{target} HTTP/1.1\r\nHost: {address}\r\nX-FilesAPI-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// The program, until the test ends.
struct Alone {
    process: Child,
    base: String,
    log: std::path::PathBuf,
}

impl Alone {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let log = dir.join("log");
        let mut process = Command::new(built_emulator())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(fs::File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let mut base = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut base).unwrap();
        assert!(base.starts_with("http://127.0.0.1:"), "{base:?}");
        Self { process, base: base.trim().to_owned(), log }
    }

    fn api(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        call(method, &format!("{}/api/rest/v1/{path}", self.base), KEY, &body)
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        call(method, &format!("{}{path}", self.base), "", body)
    }

    /// SIGTERM; it must end in order.
    fn end(mut self) {
        kill(self.process.id() as i32, libc::SIGTERM);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_page_tells_every_flag_and_every_admin_route() {
    let help = run(Command::new(built_emulator()).arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/emulator.md")).unwrap();
    let flags: Vec<&str> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(flags.len() > 15, "{help}");
    for flag in flags {
        let flag = flag.trim_end_matches([',', ':', '.', ']']);
        assert!(["--help", "--version"].contains(&flag) || page.contains(flag), "{flag} is not on the page");
    }
    let dir = tempfile::tempdir().unwrap();
    let emulator = Alone::start(dir.path(), &[]);
    let shown = emulator.admin("GET", "/", "").body;
    for route in
        shown.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("/admin/")))
    {
        assert!(page.contains(route), "{route} is not on the page");
    }
    emulator.end();
}

#[test]
fn a_stranger_uploads_downloads_and_looks_behind_the_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("site");
    let arguments =
        ["--api-key", KEY, "--api-key", "READER,permissions=lr", "--data", data.to_str().unwrap(), "--log"];
    let emulator = Alone::start(dir.path(), &arguments);
    assert_eq!(call("GET", &format!("{}/api/rest/v1/folders/", emulator.base), "wrong", "").status, 401);
    let slot =
        emulator.api("POST", "file_actions/begin_upload/docs/a.txt", &json!({"mkdir_parents": true})).json();
    let part = call("PUT", slot[0]["upload_uri"].as_str().unwrap(), "", "hello");
    assert!(part.head.contains("5d41402abc4b2a76b9719d911017c592"), "{}", part.head);
    let end = json!({"action": "end", "ref": slot[0]["ref"]});
    assert_eq!(emulator.api("POST", "files/docs/a.txt", &end).status, 201);
    let entry = emulator.api("GET", "files/docs/a.txt", &Value::Null).json();
    let fetched = call("GET", entry["download_uri"].as_str().unwrap(), "", "");
    assert_eq!((fetched.status, fetched.body.as_str()), (200, "hello"));

    let files = emulator.admin("GET", "/admin/files", "").json();
    assert_eq!(files["docs/a.txt"]["md5"], "5d41402abc4b2a76b9719d911017c592");
    let kinds: Vec<Value> = emulator
        .admin("GET", "/admin/requests", "")
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["kind"].clone())
        .collect();
    assert_eq!(json!(kinds), json!(["list", "begin_upload", "part", "complete", "download", "fetch"]));
    let stats = emulator.admin("GET", "/admin/stats", "").json();
    assert_eq!(
        (&stats["bytes_uploaded"], &stats["bytes_downloaded"], &stats["refused"]),
        (&json!(5), &json!(5), &json!(1))
    );
    let log = fs::read_to_string(&emulator.log).unwrap();
    assert!(log.contains("complete POST \"docs/a.txt\" 201"), "{log}");
    assert!(!log.contains(KEY), "no key in the log: {log}");

    let fault = r#"{"kind": "list", "what": {"error": {"kind": "rate-limited/too-many-requests", "retry_after": "1"}}}"#;
    assert_eq!(emulator.admin("POST", "/admin/faults", fault).status, 200);
    assert_eq!(emulator.api("GET", "folders/docs", &Value::Null).status, 429);
    assert_eq!(emulator.admin("GET", "/admin/faults", "").body, "[]\n");
    let url = entry["download_uri"].as_str().unwrap();
    emulator.admin("POST", "/admin/clock", r#"{"advance_ms": 61000}"#);
    assert_eq!(call("GET", url, "", "").status, 403, "an hour in a moment");
    let told = emulator.admin("POST", "/admin/settings", r#"{"per_pgae": 1}"#);
    assert!(
        told.status == 422 && told.body.contains("per_pgae") && told.body.contains("`per_page`"),
        "{}",
        told.body
    );
    emulator.end();

    let again = Alone::start(dir.path(), &arguments);
    let entry = again.api("GET", "files/docs/a.txt", &Value::Null).json();
    assert_eq!(
        call("GET", entry["download_uri"].as_str().unwrap(), "", "").body,
        "hello",
        "the folder has kept it"
    );
    again.end();
}

#[test]
fn what_cannot_be_meant_is_told_at_the_start() {
    for (arguments, words) in [
        (["--checksums", "sha1"], "md5, crc32 or none"),
        (["--api-key", "k,colour=red"], "does not know colour=red"),
        (["--user", "nobody"], "NAME:PASSWORD"),
        (["--settings", "{\"per_pgae\": 1}"], "per_pgae"),
        (["--settings", "per_page=1"], "not a JSON object"),
        (["--listen", "nowhere"], "does not start"),
        (["--data", "/dev/null/site"], "/dev/null/site"),
    ] {
        let output = Command::new(built_emulator()).args(arguments).output().unwrap();
        let said = told(&output);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
