//! Whatever is printed, no secret is in it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tracing_subscriber::fmt::MakeWriter;

use super::super::{Client, ClientOptions, Credentials, Secret};
use super::*;
use serde_json::json;

const SIGNATURE: &str = "51617a7e";
const SESSION: &str = "5e5510n5e5510n";

/// Collects the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A server that fails in every way it can, with secrets in its mouth.
fn hostile(request: &Request) -> Reply {
    let signed = format!("{}/storage/o?X-Amz-Expires=60&X-Amz-Signature={SIGNATURE}", request.base);
    if request.is("POST", "/api/rest/v1/sessions") {
        return Reply::json(201, &json!({"id": SESSION}));
    }
    if request.target.contains("begin_upload") {
        let token = json!({"x-storage-token": SIGNATURE});
        return Reply::json(200, &json!([{"ref": "put-1", "upload_uri": signed, "headers": token}]));
    }
    if request.is("GET", "/api/rest/v1/files/") {
        let mut entry = file("d/a", 5);
        entry["download_uri"] = signed.into();
        return Reply::json(200, &entry);
    }
    match request.method.as_str() {
        "PUT" => Reply::lost(),
        "GET" if request.target.starts_with("/storage") => {
            Reply::xml(403, "AccessDenied", &format!("Request has expired: {signed}"))
        }
        _ => {
            let carried = ["x-filesapi-key", "x-filesapi-auth"].map(|name| request.headers.get(name));
            let echo = format!("cannot read {signed} for {carried:?}");
            Reply::error(422, "processing-failure/failed", &echo)
        }
    }
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let server = Server::start(hostile).await;
    let key = Credentials::ApiKey(Secret::from(KEY.to_owned()));
    let login = Credentials::Login { username: "ann".into(), password: Secret::from(PASSWORD.to_owned()) };
    let mut shown = String::new();
    for credentials in [key, login] {
        let network_timeout = Duration::from_secs(2);
        let options = ClientOptions { credentials, network_timeout, ..options(server.base()) };
        let client = Client::new(options.clone()).unwrap();
        let upload = client.begin_upload(&path("a"), Some(1)).await.unwrap();
        let download = client.open_download(&path("d/a")).await.unwrap();
        shown += &format!("{options:?} {client:?} {upload:?} {download:?} ");
        let errors = [
            client.put_part(&upload.first, Bytes::from_static(b"x")).await.unwrap_err(),
            client.fetch(&download, None).await.unwrap_err(),
            client.stat(&path("a")).await.unwrap_err(),
        ];
        for error in errors {
            shown += &format!("{error} {error:?} {} ", error.remedy());
        }
    }
    shown += &String::from_utf8_lossy(&log.0.lock().unwrap());
    assert!(shown.contains("GET /file_actions/metadata/a"), "the log was taken");
    for secret in [KEY, PASSWORD, SESSION, SIGNATURE] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
