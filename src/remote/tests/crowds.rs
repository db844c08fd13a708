//! Many requests at once: how many, in which order, and how fast.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::super::{Completion, Sought, with_urgency};
use super::*;
use crate::emulator::{Emulator, Settings};
use crate::model::digest::{ETag, Md5};
use crate::model::fair::Urgency;

fn crowded(settings: Settings, change: impl FnOnce(&mut ClientOptions)) -> (Client, Emulator) {
    let emulator = Emulator::start(settings).unwrap();
    let mut options = options(super::super::base_url(&emulator.base_url()).unwrap());
    (options.max_uploads, options.max_downloads) = (64, 64);
    change(&mut options);
    (Client::new(options).unwrap(), emulator)
}

async fn upload(client: &Client, to: &str, bytes: &Bytes) {
    let to = path(to);
    let size = bytes.len() as u64;
    let upload = client.begin_upload(&to, Some(size)).await.unwrap();
    let etags = vec![(1, client.put_part(&upload.first, bytes.clone()).await.unwrap())];
    let metadata = Default::default();
    let completion = Completion { reference: upload.reference, etags, size, mtime: None, metadata };
    let md5 = Md5::of(bytes);
    let sought = Sought { size, md5, object: ETag::composite(&[md5]), replaces: None };
    client.complete_upload(&to, &completion, &sought).await.unwrap();
}

/// Uploads so many small files, so many at a time.
async fn upload_many(client: &Client, files: usize, at_a_time: usize) {
    let turns = Arc::new(tokio::sync::Semaphore::new(at_a_time));
    let mut uploads = JoinSet::new();
    for n in 0..files {
        let (client, turns) = (client.clone(), turns.clone());
        uploads.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            upload(&client, &format!("f{n}"), &Bytes::from(format!("bytes of {n}"))).await;
        });
    }
    while let Some(done) = uploads.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn where_fewer_requests_are_taken_at_a_time_their_number_comes_down_and_no_call_fails() {
    let settings =
        Settings { latency_ms: 5, concurrent_requests: Some(4), retry_after: None, ..Settings::default() };
    let (client, emulator) = crowded(settings, |_| {});
    upload_many(&client, 60, 48).await;
    assert_eq!(emulator.files().len(), 60);
    let calls = client.concurrency().calls;
    assert!(calls.limit <= 8, "{calls:?}");
}

#[tokio::test]
async fn where_the_rate_is_limited_everybody_pauses_as_long_as_one_was_told() {
    // So few that the number at a time grows once at most before the first one is refused.
    let settings = Settings { requests_per_second: Some(20.0), ..Settings::default() };
    let (client, emulator) = crowded(settings, |_| {});
    upload_many(&client, 30, 24).await;
    assert_eq!(emulator.files().len(), 30);
    assert!(client.concurrency().calls.limit < 16);
    // Whoever does not wait with the others is refused again and again.
    let refused = emulator.requests().iter().filter(|request| request.status == 429).count();
    assert!(refused <= 16 + 8 + 4 + 2 * 4, "{refused}");
}

#[tokio::test]
async fn where_nothing_limits_them_requests_become_more() {
    let settings = Settings { latency_ms: 60, storage_latency_ms: 60, ..Settings::default() };
    let (client, emulator) = crowded(settings, |_| {});
    // More bring more, as soon as this machine has a moment for them.
    let mut rounds = 0;
    while client.concurrency().calls.limit <= 16 {
        rounds += 1;
        assert!(rounds <= 20, "{:?}", client.concurrency().calls);
        upload_many(&client, 250, 128).await;
    }
    assert_eq!(emulator.files().len(), 250);
}

#[tokio::test]
async fn a_small_file_is_not_sent_behind_all_parts_of_a_huge_one() {
    let settings = Settings { storage_latency_ms: 10, part_size_min: 1, ..Settings::default() };
    let (client, emulator) = crowded(settings, |options| options.max_uploads = 2);
    let huge = client.begin_upload(&path("huge"), Some(60)).await.unwrap();
    let mut parts = JoinSet::new();
    for number in 1..=60 {
        let slot = client.begin_part(&path("huge"), &huge.reference, number).await.unwrap();
        let client = client.clone();
        parts.spawn(async move { client.put_part(&slot, Bytes::from_static(b"x")).await.unwrap() });
    }
    // All of them are in the queue before the small one is.
    while client.concurrency().uploads.waiting == 0 {
        tokio::task::yield_now().await;
    }
    let small = client.begin_upload(&path("small"), Some(1)).await.unwrap();
    client.put_part(&small.first, Bytes::from_static(b"y")).await.unwrap();
    while parts.join_next().await.is_some() {}
    let log = emulator.requests();
    let asked = log.iter().position(|r| r.kind == "begin_upload" && r.path == "small").unwrap();
    let sent = log.iter().position(|r| r.kind == "part" && r.path == "small").unwrap();
    assert!(sent - asked <= 8, "{} parts of the huge file went before", sent - asked);
    assert!(log.len() - sent > 20, "the huge file was not done by then");
}

#[tokio::test]
async fn a_reader_does_not_wait_behind_the_background() {
    let settings = Settings { latency_ms: 10, ..Settings::default() };
    let (client, emulator) = crowded(settings, |_| {});
    let mut behind = JoinSet::new();
    for n in 0..300 {
        let client = client.clone();
        behind.spawn(with_urgency(Urgency::Background, async move {
            client.stat(&path(&format!("f{n}"))).await.unwrap()
        }));
    }
    while client.concurrency().calls.waiting < 200 {
        tokio::task::yield_now().await;
    }
    assert!(client.list(&path("")).await.unwrap().is_empty());
    let before = emulator.requests().len();
    assert!(before < 150, "{before} others went first");
    while behind.join_next().await.is_some() {}
}

#[tokio::test]
async fn a_limit_of_bandwidth_counts_every_byte_and_is_not_taken_for_a_stall() {
    // A second between two pieces, where three quarters of a second without any are a stall.
    let (client, emulator) = crowded(Settings::default(), |options| {
        options.network_timeout = Duration::from_millis(1500);
        options.bandwidth_up = "4K".parse().unwrap();
        options.bandwidth_down = "4K".parse().unwrap();
    });
    let bytes = Bytes::from(vec![7; 8 << 10]);
    upload(&client, "slow", &bytes).await;
    assert_eq!(emulator.read("slow").unwrap(), bytes);
    assert_eq!(client.calls().by_kind["storage_put"], 1);
    let mut body = client.fetch(&client.open_download(&path("slow")).await.unwrap(), None).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = body.chunk().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, bytes);
    assert_eq!((client.0.up.passed(), client.0.down.passed()), (8 << 10, 8 << 10));
    assert_eq!(client.bandwidth(), (Some(4 << 10), Some(4 << 10)));
    let places = client.concurrency();
    assert_eq!((places.uploads.limit, places.downloads.limit), (1, 1), "a narrow line carries few");
}

#[tokio::test]
async fn connections_are_used_again_however_many_requests_go_at_once() {
    let (client, server) = stage(|_| Reply::json(200, &file("a", 1))).await;
    for _ in 0..20 {
        let mut round = JoinSet::new();
        for n in 0..12 {
            let client = client.clone();
            round.spawn(async move { client.stat(&path(&format!("f{n}"))).await.unwrap() });
        }
        while round.join_next().await.is_some() {}
    }
    assert_eq!(server.seen().len(), 240);
    // One that is being given back when the next round begins is made anew.
    assert!(server.connections() <= 24, "{}", server.connections());
}
