//! The emulator as a client meets it: every test speaks HTTP over loopback.
//!
//! Names of tests are the rows of the table in `docs/emulator.md`.

mod access;
mod documentation;
mod downloads;
mod durable;
mod folders;
mod misfortune;
mod moves;
mod naming;
mod unknowns;
mod uploads;

use std::collections::BTreeMap;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Emulator, Settings};

/// An emulator and a client of it.
struct Site {
    emulator: Emulator,
    client: Client,
    key: &'static str,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    bytes: Vec<u8>,
    json: Value,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let line = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(line).collect();
        let bytes = response.bytes().await.expect("a body").to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { status, headers, bytes, json }
    }

    /// Type of a refusal.
    fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Names in a listing.
    fn names(&self) -> Vec<&str> {
        self.json
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["display_name"].as_str())
            .collect()
    }
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { part_size_min: 4, checksum_delay_ms: 0, ..Settings::default() };
        change(&mut settings);
        // Several tests of one process install it; the first wins, and all want the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self {
            emulator: Emulator::start(settings).expect("a free port"),
            client: client.build().expect("a client"),
            key: "key",
        }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("{}/api/rest/v1/{path}", self.emulator.base_url());
        self.client.request(Method::from_bytes(method.as_bytes()).expect("a method"), url)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("x-filesapi-key", self.key);
        Answer::of(if body.is_null() { request } else { request.json(&body) }).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    async fn stat(&self, path: &str) -> Answer {
        self.get(&format!("file_actions/metadata/{path}")).await
    }

    async fn mkdir(&self, path: &str) -> Answer {
        self.call("POST", &format!("folders/{path}"), json!({})).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", &format!("files/{path}"), Value::Null).await
    }

    async fn relocate(&self, action: &str, from: &str, body: Value) -> Answer {
        self.call("POST", &format!("file_actions/{action}/{from}"), body).await
    }

    /// Begins an upload, or asks for a part of one; the answer's only element.
    async fn begin(&self, path: &str, body: Value) -> Value {
        let answer = self.call("POST", &format!("file_actions/begin_upload/{path}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json[0].clone()
    }

    async fn put_part(&self, slot: &Value, bytes: &[u8]) -> Answer {
        let url = slot["upload_uri"].as_str().expect("a URL");
        // The client leaves the length out for an empty body, which the storage refuses.
        Answer::of(self.client.put(url).header("content-length", bytes.len()).body(bytes.to_vec())).await
    }

    async fn complete(&self, path: &str, body: Value) -> Answer {
        self.call("POST", &format!("files/{path}"), body).await
    }

    /// Begin, parts, and what the completion has to bring.
    async fn send_parts(&self, path: &str, parts: &[&[u8]]) -> Value {
        let mut slot = self.begin(path, json!({"mkdir_parents": true})).await;
        let reference = slot["ref"].clone();
        let mut etags = Vec::new();
        for (part, bytes) in (1..).zip(parts) {
            if part > 1 {
                slot = self.begin(path, json!({"ref": reference, "part": part})).await;
            }
            let answer = self.put_part(&slot, bytes).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            etags.push(json!({"etag": answer.header("etag").map(|tag| tag.trim_matches('"')), "part": part}));
        }
        let size: usize = parts.iter().map(|part| part.len()).sum();
        json!({"action": "end", "ref": reference, "etags": etags, "size": size, "mkdir_parents": true})
    }

    async fn upload(&self, path: &str, parts: &[&[u8]]) -> Answer {
        let completion = self.send_parts(path, parts).await;
        self.complete(path, completion).await
    }

    async fn download_url(&self, path: &str) -> String {
        let answer = self.get(&format!("files/{path}")).await;
        answer.json["download_uri"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    }

    async fn fetch(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let request =
            headers.iter().fold(self.client.get(url), |all, (name, value)| all.header(*name, *value));
        Answer::of(request).await
    }
}

fn md5(bytes: &[u8]) -> String {
    super::hex::hex(&<md5::Md5 as md5::Digest>::digest(bytes))
}

/// The ETag of an object made of these parts.
fn composite(parts: &[&[u8]]) -> String {
    let sums: Vec<u8> = parts.iter().flat_map(<md5::Md5 as md5::Digest>::digest).collect();
    format!("\"{}-{}\"", md5(&sums), parts.len())
}
