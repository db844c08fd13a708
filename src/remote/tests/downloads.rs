//! Downloads: signed URLs, ranges, bodies that lie.

use std::ops::Range;

use futures_util::FutureExt;

use super::super::{Body, Download, Error, ErrorKind};
use super::*;
use crate::model::digest::ETag;
use serde_json::Value;

const ETAG: &str = "1f10b9f0c89ab4910091c8cb836b2b21-1";

fn with_url(request: &Request, size: u64, life: u32) -> Value {
    let mut answer = file("d/a", size);
    answer["download_uri"] =
        format!("{}/storage/o?X-Amz-Expires={life}&X-Amz-Signature=5161", request.base).into();
    answer
}

/// Opens a file of five bytes at a server that then answers the storage's part from `gets`.
async fn opened(gets: Vec<Reply>) -> (Client, Server, Download) {
    let mut gets = gets.into_iter();
    let (client, server) = stage(move |request| match request.target.starts_with("/storage") {
        true => gets.next().unwrap(),
        false => Reply::json(200, &with_url(request, 5, 60)),
    })
    .await;
    let download = client.open_download(&path("d/a")).await.unwrap();
    (client, server, download)
}

fn ranged(body: &[u8], range: &str) -> Reply {
    Reply::bytes(206, body, ETAG).header("Content-Range", range)
}

async fn all(mut body: Body) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.chunk().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_whole_file_is_fetched_without_credentials() {
    let (client, server, download) = opened(vec![Reply::bytes(200, b"hello", ETAG)]).await;
    assert!(!download.is_expired());
    let body = client.fetch(&download, None).await.unwrap();
    assert_eq!((body.length, body.total, body.etag.clone()), (5, Some(5), Some(ETag::parse(ETAG))));
    assert_eq!(all(body).await.unwrap(), b"hello");
    assert_eq!(server.asked()[0], "GET /api/rest/v1/files/d/a");
    assert!(!server.seen()[1].headers.contains_key("x-filesapi-key"));
    assert!(!server.seen()[1].headers.contains_key("range"));
}

#[tokio::test]
async fn ranges_are_of_one_version() {
    let (client, server, download) = opened(vec![
        ranged(b"he", "bytes 0-1/5"),
        ranged(b"llo", "bytes 2-4/*"),
        Reply::bytes(206, b"x", "other").header("Content-Range", "bytes 0-0/5"),
        Reply::xml(412, "PreconditionFailed", "At least one of the pre-conditions did not hold"),
    ])
    .await;
    let first = client.fetch(&download, Some(0..2)).await.unwrap();
    assert_eq!((first.length, first.total), (2, Some(5)));
    assert_eq!(all(first).await.unwrap(), b"he");
    assert_eq!(all(client.fetch(&download, Some(2..5)).await.unwrap()).await.unwrap(), b"llo");
    let seen = server.seen();
    assert_eq!((&seen[1].headers["range"][..], seen[1].headers.get("if-match")), ("bytes=0-1", None));
    assert_eq!(seen[2].headers["if-match"], format!("\"{ETAG}\""));
    for _ in 0..2 {
        let error = client.fetch(&download, Some(0..1)).await.unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::VersionChanged, libc::ESTALE));
    }
}

#[tokio::test]
async fn a_download_goes_on_under_a_fresh_url_with_the_same_version() {
    let (client, server, download) = opened(vec![ranged(b"h", "bytes 0-0/5")]).await;
    client.fetch(&download.pinned_to(&ETag::parse(ETAG)), Some(0..1)).await.unwrap();
    assert_eq!(server.seen()[1].headers["if-match"], format!("\"{ETAG}\""));
}

#[tokio::test]
async fn an_answer_to_another_range_is_not_believed() {
    let table: [(Reply, Range<u64>, ErrorKind); 6] = [
        (Reply::bytes(200, b"hello", ETAG), 0..2, ErrorKind::Protocol),
        (ranged(b"he", "bytes 1-2/5"), 0..2, ErrorKind::Protocol),
        (ranged(b"he", "bytes */5"), 0..2, ErrorKind::Protocol),
        (Reply::bytes(206, b"he", ETAG), 0..2, ErrorKind::Protocol),
        (ranged(b"o", "bytes 4-4/5"), 4..6, ErrorKind::VersionChanged),
        (Reply::xml(416, "InvalidRange", "No."), 9..10, ErrorKind::VersionChanged),
    ];
    for (reply, range, kind) in table {
        let (client, _server, download) = opened(vec![reply.clone()]).await;
        let error = client.fetch(&download, Some(range)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reply:?}");
    }
}

#[tokio::test]
async fn storage_without_ranges_serves_where_everything_is_meant() {
    let (client, _server, download) = opened(vec![Reply::bytes(200, b"hello", ETAG)]).await;
    assert_eq!(all(client.fetch(&download, Some(0..5)).await.unwrap()).await.unwrap(), b"hello");
}

#[tokio::test]
async fn whoever_stops_waiting_for_bytes_that_a_limit_holds_back_finds_them_later() {
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let served = bytes.clone();
    let server = Server::start(move |request| match request.target.starts_with("/storage") {
        true => Reply::bytes(200, &served, ETAG),
        false => Reply::json(200, &with_url(request, served.len() as u64, 60)),
    })
    .await;
    let bandwidth_down = Bandwidth::always(Some(1 << 20));
    let client = Client::new(ClientOptions { bandwidth_down, ..options(server.base()) }).unwrap();
    let download = client.open_download(&path("d/a")).await.unwrap();
    let mut body = client.fetch(&download, None).await.unwrap();
    let (mut came, mut gave_up) = (Vec::new(), 0);
    loop {
        match tokio::time::timeout(Duration::from_millis(1), body.chunk()).await {
            Ok(piece) => match piece.unwrap() {
                Some(piece) => came.extend_from_slice(&piece),
                None => break,
            },
            Err(_) => gave_up += 1,
        }
    }
    assert!(gave_up > 0, "nothing was held back: this test says nothing");
    assert!(came == bytes, "{} of {} bytes", came.len(), bytes.len());
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_and_never_a_short_file() {
    let (client, _server, download) =
        opened(vec![Reply::bytes(200, b"hello", ETAG).cut_after(2), ranged(b"he", "bytes 0-2/5")]).await;
    let cut = client.fetch(&download, None).await.unwrap();
    assert_eq!(all(cut).await.unwrap_err().kind(), ErrorKind::Network);
    let short = client.fetch(&download, Some(0..3)).await.unwrap();
    assert_eq!(all(short).await.unwrap_err().kind(), ErrorKind::Network);
}

#[tokio::test]
async fn a_body_that_brings_too_much_is_an_error() {
    let (client, _server, download) = opened(vec![ranged(b"hello", "bytes 0-1/5")]).await;
    let body = client.fetch(&download, Some(0..2)).await.unwrap();
    assert_eq!(all(body).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_body_that_stands_still_is_a_timeout() {
    let (client, _server) = hurried(|request| match request.target.starts_with("/storage") {
        true => Reply::bytes(200, b"hello", ETAG).stall_after(1),
        false => Reply::json(200, &with_url(request, 5, 60)),
    })
    .await;
    let download = client.open_download(&path("d/a")).await.unwrap();
    let body = client.fetch(&download, None).await.unwrap();
    assert_eq!(all(body).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn transient_failures_before_the_first_byte_are_repeated() {
    let (client, server, download) = opened(vec![
        Reply::xml(503, "SlowDown", "Reduce your request rate."),
        Reply::lost(),
        Reply::bytes(200, b"hello", ETAG),
    ])
    .await;
    assert_eq!(all(client.fetch(&download, None).await.unwrap()).await.unwrap(), b"hello");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_url_that_has_run_out_is_told_with_and_without_asking() {
    let (client, _server, download) =
        opened(vec![Reply::xml(403, "AccessDenied", "Request has expired")]).await;
    assert_eq!(client.fetch(&download, None).await.unwrap_err().kind(), ErrorKind::UrlExpired);
    let (client, server) = stage(|request| Reply::json(200, &with_url(request, 5, 0))).await;
    let download = client.open_download(&path("d/a")).await.unwrap();
    assert_eq!(client.fetch(&download, None).await.unwrap_err().kind(), ErrorKind::UrlExpired);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_web_application_in_place_of_a_file_is_an_error() {
    let page = Reply::new(200, "text/html", "<html>").header("X-Files-Frontend-App", "1");
    let (client, _server, download) = opened(vec![page]).await;
    assert_eq!(client.fetch(&download, None).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn the_etag_of_an_object_costs_one_byte_or_none() {
    for (size, reply) in [(5, ranged(b"h", "bytes 0-0/5")), (0, Reply::bytes(200, b"", ETAG))] {
        let (client, server) = stage(move |request| match request.target.starts_with("/storage") {
            true => reply.clone(),
            false => Reply::json(200, &with_url(request, size, 60)),
        })
        .await;
        assert_eq!(client.object(&path("d/a")).await.unwrap().1, Some(ETag::parse(ETAG)));
        assert_eq!(server.seen()[1].headers.contains_key("range"), size > 0);
    }
}

#[tokio::test]
async fn an_etag_of_encrypted_bytes_is_no_digest() {
    let table = [("AES256", true), ("aws:kms", false), ("aws:kms:dsse", false)];
    for (encryption, is_digest) in table {
        let reply = Reply::bytes(200, b"hello", ETAG).header("x-amz-server-side-encryption", encryption);
        let (client, _server, download) = opened(vec![reply]).await;
        let body = client.fetch(&download, None).await.unwrap();
        let etag = body.etag.clone().unwrap();
        assert_eq!(matches!(etag, ETag::Composite { .. }), is_digest, "{encryption}");
        assert_eq!(etag.to_string(), ETAG, "sent back as it came");
    }
}

#[tokio::test]
async fn transfers_wait_for_a_free_slot() {
    let gets = (0..5).map(|_| Reply::bytes(200, b"hello", ETAG)).collect();
    let (client, _server, download) = opened(gets).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(client.fetch(&download, None).await.unwrap());
    }
    let mut fifth = Box::pin(client.fetch(&download, None));
    assert!((&mut fifth).now_or_never().is_none());
    drop(held.pop());
    assert_eq!(all(fifth.await.unwrap()).await.unwrap(), b"hello");
}
