//! The few calls of the API, in the form that its official clients use, without any second attempt.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::Outcome;

/// What a path in a URL cannot hold as it is.
const RESERVED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// One site and one folder on it. Clones share their connections.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
    folder: String,
}

/// Where a part goes.
pub struct Slot {
    pub reference: String,
    pub url: String,
}

impl Api {
    pub fn new(site: &str, key: &str, folder: &str) -> Outcome<Self> {
        // It fails where a provider was chosen before: that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().http1_only().tcp_nodelay(true).build()?;
        let base = format!("{site}/api/rest/v1");
        Ok(Self { client, base, key: key.to_owned(), folder: folder.to_owned() })
    }

    fn url(&self, route: &str, path: &str) -> String {
        let path = [&self.folder, path].map(|part| part.trim_matches('/')).join("/");
        format!("{}/{route}/{}", self.base, utf8_percent_encode(path.trim_end_matches('/'), RESERVED))
    }

    async fn post(&self, route: &str, path: &str, body: Value) -> Outcome<Value> {
        let request = self.client.post(self.url(route, path)).header("X-FilesAPI-Key", &self.key).json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// A place for part `number`; with `reference`, of an upload that was begun.
    pub async fn begin(
        &self,
        path: &str,
        size: usize,
        reference: Option<&str>,
        number: usize,
    ) -> Outcome<Slot> {
        let mut body = json!({"mkdir_parents": true, "part": number, "size": size});
        if let Some(reference) = reference {
            body = json!({"mkdir_parents": true, "part": number, "ref": reference});
        }
        let answer = self.post("file_actions/begin_upload", path, body).await?;
        let text = |name: &str| answer[0][name].as_str().map(str::to_owned).ok_or("no place for the part");
        Ok(Slot { reference: text("ref")?, url: text("upload_uri")? })
    }

    /// Sends a part; answers its ETag.
    pub async fn put(&self, url: &str, bytes: Bytes) -> Outcome<String> {
        let answer = self.client.put(url).body(bytes).send().await?.error_for_status()?;
        let etag = answer.headers().get("etag").ok_or("no ETag")?.to_str()?.trim_matches('"').to_owned();
        // Read to its end, so that the connection serves again.
        answer.bytes().await?;
        Ok(etag)
    }

    pub async fn complete(
        &self,
        path: &str,
        reference: &str,
        etags: &[(usize, String)],
        size: usize,
    ) -> Outcome<()> {
        let etags: Vec<_> =
            etags.iter().map(|(part, etag)| json!({"etag": etag, "part": part.to_string()})).collect();
        let body =
            json!({"action": "end", "ref": reference, "etags": etags, "size": size, "mkdir_parents": true});
        self.post("files", path, body).await?;
        Ok(())
    }

    pub async fn stat(&self, path: &str) -> Outcome<Value> {
        let request = self.client.get(self.url("file_actions/metadata", path));
        let request = request.header("X-FilesAPI-Key", &self.key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// A signed URL and the size of a file.
    pub async fn download(&self, path: &str) -> Outcome<(String, u64)> {
        let request = self.client.get(self.url("files", path)).header("X-FilesAPI-Key", &self.key);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let url = answer["download_uri"].as_str().ok_or("no download_uri")?.to_owned();
        Ok((url, answer["size"].as_u64().ok_or("no size")?))
    }

    /// A range of a file, thrown away; answers its length.
    pub async fn range(&self, url: &str, start: u64, end: u64) -> Outcome<u64> {
        let request = self.client.get(url).header("Range", format!("bytes={start}-{}", end - 1));
        let mut answer = request.send().await?.error_for_status()?;
        let mut got = 0;
        while let Some(piece) = answer.chunk().await? {
            got += piece.len() as u64;
        }
        if got != end - start { Err("a range came short".into()) } else { Ok(got) }
    }

    /// One page of a listing, and the cursor of the next.
    pub async fn page(&self, path: &str, cursor: Option<&str>) -> Outcome<(Vec<Value>, Option<String>)> {
        let mut request = self.client.get(self.url("folders", path)).query(&[("per_page", "1000")]);
        if let Some(cursor) = cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let answer = request.header("X-FilesAPI-Key", &self.key).send().await?.error_for_status()?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let next = header("X-Files-Cursor-Next").or_else(|| header("X-Files-Cursor"));
        let next = next.filter(|cursor| !cursor.is_empty());
        Ok((answer.json().await?, next))
    }
}
