//! The client against the emulator, which was written by others from the same facts: if they agree,
//! they agree about the service.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Client, Completion, Credentials, ErrorKind, Secret, Sought};
use super::*;
use crate::emulator::{Effect, Emulator, Fault, Key, PermissionSet, Settings, User};
use crate::model::digest::{ETag, Md5};
use crate::model::entry::{Entry, Kind};
use crate::model::moment::Moment;

fn emulated(settings: Settings) -> (Client, Emulator) {
    let emulator = Emulator::start(settings).unwrap();
    let base = super::super::base_url(&emulator.base_url()).unwrap();
    (Client::new(options(base)).unwrap(), emulator)
}

/// Uploads a file of these parts.
async fn upload(client: &Client, to: &str, parts: &[Bytes]) -> Entry {
    let to = path(to);
    let size = parts.iter().map(|part| part.len() as u64).sum();
    let upload = client.begin_upload(&to, Some(size)).await.unwrap();
    let mut etags = vec![(1, client.put_part(&upload.first, parts[0].clone()).await.unwrap())];
    for (number, part) in (2..).zip(&parts[1..]) {
        let slot = client.begin_part(&to, &upload.reference, number).await.unwrap();
        etags.push((number, client.put_part(&slot, part.clone()).await.unwrap()));
    }
    let completion = Completion {
        reference: upload.reference,
        etags,
        size,
        mtime: Some(Moment::from_seconds(1_700_000_000)),
        metadata: BTreeMap::from([("filescomfs".to_owned(), "1 mode=600".to_owned())]),
    };
    let md5s: Vec<Md5> = parts.iter().map(|part| Md5::of(part)).collect();
    let (object, md5) = (ETag::composite(&md5s), Md5::of(&parts.concat()));
    let sought = Sought { size, md5, object, replaces: None };
    client.complete_upload(&to, &completion, &sought).await.unwrap()
}

async fn download(client: &Client, from: &str) -> Vec<u8> {
    let download = client.open_download(&path(from)).await.unwrap();
    let mut body = client.fetch(&download, None).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = body.chunk().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test]
async fn what_goes_up_comes_down() {
    let (client, emulator) = emulated(Settings::default());
    let parts = [Bytes::from(vec![7; 5 << 20]), Bytes::from_static(b"the rest")];
    let entry = upload(&client, "deep/down/a (1) ü.bin", &parts).await;
    assert_eq!((entry.name.as_str(), entry.size), ("a (1) ü.bin", (5 << 20) + 8));
    assert_eq!(entry.provided, Some(Moment::from_seconds(1_700_000_000)));
    assert_eq!(entry.metadata["filescomfs"], "1 mode=600");
    assert_eq!(download(&client, "deep/down/a (1) ü.bin").await, parts.concat());
    let object = client.object(&path("deep/down/a (1) ü.bin")).await.unwrap().1;
    assert_eq!(object, Some(ETag::composite(&parts.map(|part| Md5::of(&part)))));
    assert_eq!(emulator.files().len(), 1);

    upload(&client, "empty", &[Bytes::new()]).await;
    assert_eq!(download(&client, "empty").await, b"");
    assert_eq!(client.object(&path("empty")).await.unwrap().1, Some(ETag::composite(&[Md5::of(b"")])));
}

#[tokio::test]
async fn names_are_made_listed_moved_and_deleted() {
    let settings =
        Settings { migration_delay_ms: 100, per_page_max: 2, empty_pages: true, ..Settings::default() };
    let (client, emulator) = emulated(settings);
    let made = client.create_folder(&path("d"), Some(Moment::from_seconds(5))).await.unwrap().unwrap();
    assert_eq!((made.kind, made.provided), (Kind::Folder, Some(Moment::from_seconds(5))));
    assert_eq!(client.create_folder(&path("d"), None).await.unwrap(), None);
    assert_eq!(client.create_folder(&path("no/d"), None).await.unwrap_err().kind(), ErrorKind::ParentMissing);
    for name in ["d/c", "d/a", "d/b"] {
        upload(&client, name, &[Bytes::from_static(b"x")]).await;
    }
    let names = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert_eq!(names(client.list(&path("d")).await.unwrap()), ["a", "b", "c"]);
    client.rename(&path("d/a"), &path("e"), false).await.unwrap();
    assert_eq!(client.rename(&path("d/b"), &path("e"), false).await.unwrap_err().kind(), ErrorKind::Exists);
    client.rename(&path("d/b"), &path("e"), true).await.unwrap();
    assert_eq!(client.delete(&path("d"), None).await.unwrap_err().kind(), ErrorKind::NotEmpty);
    client.delete(&path("d/c"), None).await.unwrap();
    client.delete(&path("d/c"), None).await.unwrap();
    client.delete(&path("d"), None).await.unwrap();
    assert_eq!(client.stat(&path("d")).await.unwrap(), None);
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let set = client.set_attributes(&path("e"), Some(Moment::from_seconds(9)), None).await.unwrap();
    assert_eq!(set.provided, Some(Moment::from_seconds(9)));
    assert_eq!(emulator.files().into_keys().collect::<Vec<_>>(), ["e"]);
}

#[tokio::test]
async fn a_move_whose_answer_is_lost_is_done_once() {
    let (client, emulator) = emulated(Settings::default());
    upload(&client, "a", &[Bytes::from_static(b"x")]).await;
    emulator.inject(Fault::on("move", Effect::Reset).after_effect());
    client.rename(&path("a"), &path("b"), false).await.unwrap();
    assert_eq!(client.calls().by_kind["move"], 1);
}

#[tokio::test]
async fn a_user_logs_in_and_a_wrong_password_is_told() {
    let user = User { name: "ann".into(), password: PASSWORD.into(), ..User::default() };
    let (client, _emulator) = emulated(Settings { users: vec![user], ..Settings::default() });
    let login = |password: &str| Credentials::Login {
        username: "ann".into(),
        password: Secret::from(password.to_owned()),
    };
    client.replace_credentials(login(PASSWORD));
    assert_eq!(client.log_in().await.unwrap().checksums.md5, Some(true));
    client.create_folder(&path("d"), None).await.unwrap();
    client.replace_credentials(login("wrong"));
    assert_eq!(client.stat(&path("d")).await.unwrap_err().kind(), ErrorKind::Authentication);
}

#[tokio::test]
async fn a_url_that_ran_out_is_asked_for_again() {
    let (client, emulator) = emulated(Settings::default());
    upload(&client, "a", &[Bytes::from_static(b"x")]).await;
    let part = client.begin_upload(&path("b"), Some(1)).await.unwrap().first;
    let opened = client.open_download(&path("a")).await.unwrap();
    emulator.change(|settings| settings.clock_offset_ms = 3_600_000);
    let error = client.put_part(&part, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UrlExpired, "{error}");
    assert_eq!(client.fetch(&opened, None).await.unwrap_err().kind(), ErrorKind::UrlExpired);
}

#[tokio::test]
async fn the_key_and_the_site_describe_themselves() {
    let (client, _emulator) = emulated(Settings { md5: false, ..Settings::default() });
    assert!(client.api_key().await.unwrap().permission_set.is_some());
    assert_eq!(client.site().await.unwrap().checksums.md5, Some(false));
    assert!(client.clock_skew().is_some_and(|seconds| seconds.abs() < 5));
}

#[tokio::test]
async fn the_usage_of_the_site_is_told_to_those_who_may_know() {
    let (client, emulator) = emulated(Settings::default());
    upload(&client, "a", &[Bytes::from(vec![7; 4096])]).await;
    assert_eq!(client.usage().await.unwrap(), Some(4096));
    let key = Key { key: KEY.into(), permission_set: PermissionSet::FilesOnly, ..Key::default() };
    emulator.change(|settings| settings.keys = vec![key]);
    assert_eq!(client.usage().await.unwrap_err().kind(), ErrorKind::Permission);
}
