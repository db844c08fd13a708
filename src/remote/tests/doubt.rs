//! Changes whose answer is an error, or says nothing, although they were made; and the same where they were not.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::super::{Client, Completion, Copying, Deleted, ErrorKind, Sought};
use super::*;
use crate::emulator::{Effect, Emulator, Fault, Settings};
use crate::model::digest::{ETag, Md5};
use crate::model::moment::Moment;
use crate::model::proof::Fingerprint;
use serde_json::json;

const CHANGES: [&str; 6] = ["mkdir", "move", "copy", "delete", "patch", "complete"];

/// Every answer that tells nothing of what became of a change.
fn answers() -> Vec<Effect> {
    let page = |status: u16, body: &str, content_type: &str| Effect::Answer {
        status,
        headers: vec![("Content-Type".into(), content_type.into())],
        body: body.into(),
    };
    let mut answers = vec![
        Effect::Reset,
        Effect::Error { kind: "rate-limited/too-many-requests".into(), status: None, retry_after: None },
        Effect::Error {
            kind: "service-unavailable/migration-in-progress".into(),
            status: None,
            retry_after: None,
        },
        page(200, "<html>Welcome to the hotel</html>", "text/html"),
        page(200, "{}", "application/json"),
        page(200, "", "application/json"),
    ];
    answers.extend([429, 500, 502, 503, 504].map(|status| Effect::Proxy { status }));
    answers
}

fn site() -> (Client, Emulator) {
    let emulator = Emulator::start(Settings::default()).unwrap();
    let base = super::super::base_url(&emulator.base_url()).unwrap();
    (Client::new(options(base)).unwrap(), emulator)
}

/// Makes one change of the kind, and sees that it was made, once, whatever was answered.
async fn change(client: &Client, site: &Emulator, kind: &str) {
    site.put("d/f", b"bytes");
    let (from, to) = (path("d/f"), path("d/t"));
    let files = || site.files().into_keys().collect::<Vec<_>>();
    match kind {
        "mkdir" => assert!(client.create_folder(&path("d/new"), None).await.unwrap().is_some()),
        "move" => {
            client.rename(&from, &to, false).await.unwrap();
            assert_eq!(files(), ["d/t"]);
        }
        "copy" => {
            client.copy(&from, &to).await.unwrap();
            assert_eq!(files(), ["d/f", "d/t"]);
        }
        "delete" => {
            assert_eq!(client.delete(&from, None).await.unwrap(), Deleted::Gone);
            assert_eq!(files(), [""; 0]);
        }
        "patch" => {
            let time = Moment::from_seconds(9);
            let metadata = [("k".to_owned(), "v".to_owned())].into();
            let entry = client.set_attributes(&from, Some(time), Some(&metadata)).await.unwrap();
            assert_eq!((entry.provided, entry.metadata), (Some(time), metadata));
        }
        _ => {
            let (bytes, md5) = (Bytes::from_static(b"new"), Md5::of(b"new"));
            let upload = client.begin_upload(&from, Some(3)).await.unwrap();
            let etag = client.put_part(&upload.first, bytes).await.unwrap();
            let completion = Completion {
                reference: upload.reference,
                etags: vec![(1, etag)],
                size: 3,
                mtime: None,
                metadata: Default::default(),
            };
            let sought = Sought { size: 3, md5, object: ETag::composite(&[md5]), replaces: None };
            let entry = client.complete_upload(&from, &completion, &sought).await.unwrap();
            assert_eq!((entry.size, site.read("d/f").unwrap()), (3, b"new".to_vec()));
        }
    }
}

#[tokio::test]
async fn a_change_that_was_made_is_a_success_whatever_was_answered_and_is_not_made_twice() {
    for kind in CHANGES {
        for answer in answers() {
            let (client, site) = site();
            site.inject(Fault::on(kind, answer.clone()).after_effect());
            change(&client, &site, kind).await;
            assert_eq!(site.waiting_faults(), [], "{kind} {answer:?}");
            let asked = site.requests().iter().filter(|request| request.kind == kind).count();
            assert_eq!(asked, 1, "{kind} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_change_that_was_not_made_is_asked_for_again_whatever_was_answered() {
    for kind in CHANGES {
        for answer in answers() {
            let (client, site) = site();
            site.inject(Fault::on(kind, answer.clone()).times(2));
            change(&client, &site, kind).await;
            let asked = site.requests().iter().filter(|request| request.kind == kind).count();
            assert_eq!(asked, 3, "{kind} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_folder_whose_move_is_under_way_when_it_is_asked_for_again_was_moved() {
    let (client, site) = site();
    site.change(|settings| settings.migration_delay_ms = 700);
    for answer in [Effect::Reset, Effect::Proxy { status: 503 }] {
        site.put("old/deep/f", b"bytes");
        site.inject(Fault::on("move", answer.clone()).after_effect());
        client.rename(&path("old"), &path("new"), false).await.unwrap();
        assert_eq!(site.files().into_keys().collect::<Vec<_>>(), ["new/deep/f"], "{answer:?}");
        site.change(|settings| settings.migration_delay_ms = 0);
        client.delete(&path("new/deep/f"), None).await.unwrap();
        client.delete(&path("new/deep"), None).await.unwrap();
        client.delete(&path("new"), None).await.unwrap();
        site.change(|settings| settings.migration_delay_ms = 700);
    }
}

#[tokio::test]
async fn what_somebody_else_made_since_is_neither_ours_nor_deleted() {
    let deleted = |version: Fingerprint, seen: serde_json::Value| async move {
        let (client, server) = script(vec![Reply::lost(), Reply::json(200, &seen), Reply::not_found()]).await;
        (client.delete(&path("a"), Some(&version)).await.unwrap(), server.seen().len())
    };
    let entry = file("a", 1);
    let version = Fingerprint {
        size: 1,
        created: super::super::wire::from_api_time("2025-05-23T17:31:05Z"),
        changed: None,
        md5: Some(Md5::of(b"x")),
        crc32: None,
    };
    assert_eq!(deleted(version, entry.clone()).await, (Deleted::Gone, 3), "the same version");
    let mut newer = entry.clone();
    newer["created_at"] = json!("2025-05-23T17:31:06Z");
    assert_eq!(deleted(version, newer).await, (Deleted::Replaced, 2));
    let mut other = entry;
    other["md5"] = json!(Md5::of(b"y").to_string());
    assert_eq!(deleted(version, other).await, (Deleted::Replaced, 2));
}

#[tokio::test]
async fn a_copy_that_no_answer_tells_of_is_one_perhaps() {
    let (client, _server) = script(vec![Reply::lost(), Reply::json(200, &file("b", 1))]).await;
    assert_eq!(client.copy(&path("a"), &path("b")).await.unwrap(), Copying::Perhaps);
    let (client, _server) = script(vec![Reply::json(201, &json!({"status": "completed"}))]).await;
    assert_eq!(client.copy(&path("a"), &path("b")).await.unwrap(), Copying::Made);
}

#[tokio::test]
async fn what_never_gets_better_is_told_by_what_stood_in_its_way() {
    let busy = Reply::error(429, "rate-limited/too-many-requests", "Slow down.");
    let refuse =
        move |request: &Request| if request.method == "GET" { Reply::not_found() } else { busy.clone() };
    let (client, _server) = hurried(refuse).await;
    let error = client.create_folder(&path("a"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    let (client, _server) = hurried(|_| Reply::lost()).await;
    let error = client.create_folder(&path("a"), None).await.unwrap_err();
    assert!(error.is_in_doubt(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Network, "nobody is there: {error}");
}

#[tokio::test]
async fn a_wait_that_the_service_asks_for_is_kept_before_a_change_is_asked_for_again() {
    let (client, _server) = script(vec![
        Reply::error(503, "service-unavailable/uploads-unavailable", "Later.").header("Retry-After", "1"),
        Reply::not_found(),
        Reply::json(201, &folder("a")),
    ])
    .await;
    let start = SystemTime::now();
    client.create_folder(&path("a"), None).await.unwrap();
    assert!(start.elapsed().unwrap() >= Duration::from_secs(1));
}
