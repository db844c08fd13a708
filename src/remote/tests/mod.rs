//! The client against a scripted server on loopback that answers as the real service does, and as
//! networks do.

mod calls;
mod crowds;
mod doubt;
mod downloads;
mod emulated;
mod folders;
mod moves;
mod refusals;
mod secrets;
mod server;
mod sessions;
mod shapes;
mod uploads;

use std::time::Duration;

use server::{Reply, Request, Server};

use super::{Client, ClientOptions, Credentials, Secret};
use crate::model::bandwidth::Bandwidth;
use crate::model::path::RemotePath;

const KEY: &str = "k3yk3yk3y";
const PASSWORD: &str = "hunter2hunter2";

fn options(base: url::Url) -> ClientOptions {
    ClientOptions {
        base,
        credentials: Credentials::ApiKey(Secret::from(KEY.to_owned())),
        network_timeout: Duration::from_secs(10),
        max_uploads: 4,
        max_downloads: 4,
        bandwidth_up: Bandwidth::default(),
        bandwidth_down: Bandwidth::default(),
        allow_http: false,
    }
}

/// A client with an API key, and the server that it talks to.
async fn stage(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> (Client, Server) {
    let server = Server::start(answer).await;
    (Client::new(options(server.base())).unwrap(), server)
}

/// Like [`stage`], for answers that come in order whatever is asked.
async fn script(replies: Vec<Reply>) -> (Client, Server) {
    let mut replies = replies.into_iter();
    stage(move |request| replies.next().unwrap_or_else(|| panic!("not in the script: {request:?}"))).await
}

/// The same with little patience: for what never gets better. Enough for some attempts on a machine that is busy.
async fn hurried(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> (Client, Server) {
    let server = Server::start(answer).await;
    let network_timeout = Duration::from_secs(2);
    (Client::new(ClientOptions { network_timeout, ..options(server.base()) }).unwrap(), server)
}

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// An entry as the service states it in 2025.
fn file(path: &str, size: u64) -> serde_json::Value {
    serde_json::json!({
        "path": path, "created_by_id": null, "created_by_api_key_id": 3_708_528, "custom_metadata": {},
        "display_name": path.rsplit('/').next(), "type": "file", "size": size,
        "created_at": "2025-05-23T17:31:05Z", "last_modified_by_api_key_id": 3_708_528,
        "mtime": "2025-05-23T17:31:05Z", "provided_mtime": "2010-11-17T20:34:58Z", "crc32": null,
        "md5": null, "sha1": null, "sha256": null, "mime_type": "text/plain", "region": "us-east-1",
        "permissions": "lrwd",
    })
}

fn folder(path: &str) -> serde_json::Value {
    serde_json::json!({
        "path": path, "custom_metadata": {}, "display_name": path.rsplit('/').next(), "type": "directory",
        "size": null, "created_at": "2024-11-13T18:16:58Z", "mtime": "2024-11-13T18:16:58Z",
        "provided_mtime": null, "permissions": "lrwd", "subfolders_locked?": false, "is_locked": false,
    })
}
