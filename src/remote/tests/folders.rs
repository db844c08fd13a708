//! Listings and folders.

use super::super::ErrorKind;
use super::*;
use crate::model::entry::Kind;
use crate::model::moment::Moment;
use serde_json::json;

#[tokio::test]
async fn a_listing_is_read_page_by_page_whatever_its_cursor_is_called() {
    let (client, server) = script(vec![
        Reply::json(200, &json!([folder("d/sub")])).header("X-Files-Cursor", "c2:next:VGVz+dA"),
        Reply::json(200, &json!([])).header("X-Files-Cursor-Next", "c2:next:bbbb"),
        Reply::json(200, &json!([file("d/a b", 1), file("d/c", 2)]))
            .header("X-Files-Cursor-Prev", "c2:prev:x"),
    ])
    .await;
    let entries = client.list(&path("d")).await.unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["sub", "a b", "c"]);
    assert_eq!((entries[0].kind, entries[1].kind), (Kind::Folder, Kind::File));
    assert_eq!(
        server.asked(),
        [
            "GET /api/rest/v1/folders/d?per_page=1000",
            "GET /api/rest/v1/folders/d?per_page=1000&cursor=c2%3Anext%3AVGVz%2BdA",
            "GET /api/rest/v1/folders/d?per_page=1000&cursor=c2%3Anext%3Abbbb",
        ]
    );
}

#[tokio::test]
async fn the_root_is_listed_and_an_empty_folder_is_empty() {
    let (client, server) = script(vec![Reply::json(200, &json!([])), Reply::json(200, &json!([]))]).await;
    assert_eq!(client.list(&path("")).await.unwrap(), []);
    client.probe_list(&path("a/ü (1)")).await.unwrap();
    assert_eq!(
        server.asked(),
        ["GET /api/rest/v1/folders/?per_page=1000", "GET /api/rest/v1/folders/a/%C3%BC%20%281%29?per_page=1"]
    );
    assert_eq!(client.stat(&path("")).await.unwrap().unwrap().kind, Kind::Folder);
}

#[tokio::test]
async fn a_cursor_that_comes_back_ends_the_listing_as_an_error() {
    let mut page = 0;
    let (client, server) = stage(move |_| {
        page += 1;
        Reply::json(200, &json!([])).header("X-Files-Cursor", ["a", "b"][page % 2])
    })
    .await;
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_cursor_that_is_no_text_is_not_the_end_of_the_listing() {
    let page = || Reply::json(200, &json!([file("d/a", 1)])).header("X-Files-Cursor-Next", "c2:next:\u{fc}");
    let (client, _server) = script(vec![page(), page()]).await;
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(client.list_first_page(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_listing_that_never_ends_is_an_error() {
    let mut page = 0;
    let (client, _server) = stage(move |_| {
        page += 1;
        Reply::json(200, &json!([])).header("X-Files-Cursor", &page.to_string())
    })
    .await;
    let error = client.list(&path("d")).await.unwrap_err();
    assert_eq!((error.kind(), client.calls().by_kind["list"]), (ErrorKind::Protocol, 10_000));
}

#[tokio::test]
async fn entries_of_elsewhere_are_left_out() {
    let page = json!([folder("d"), file("e/x", 1), file("d/sub/y", 1), file("../d/z", 1), file("D/ok", 1)]);
    let (client, _server) = script(vec![Reply::json(200, &page)]).await;
    let entries = client.list(&path("d")).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].name, "ok");
}

#[tokio::test]
async fn a_page_whose_entries_all_lie_elsewhere_says_where_and_is_no_empty_folder() {
    let page = json!([file("home/ann/d/x", 1), folder("home/ann/d/y")]);
    let (client, _server) = stage(move |_| Reply::json(200, &page)).await;
    let errors = [
        client.list(&path("d")).await.unwrap_err(),
        client.list_first_page(&path("d")).await.unwrap_err(),
        client.probe_list(&path("d")).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("\"home/ann/d\""), "{error}");
    }
    let (client, _server) = script(vec![Reply::json(200, &file("home/ann/d", 1))]).await;
    assert_eq!(client.stat(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol, "nor another's entry");
}

#[tokio::test]
async fn an_entry_that_is_not_understood_has_a_name_and_hurts_no_other() {
    let odd = json!([
        file("d/a", 1),
        {"path": "d/size", "type": "file", "size": "many"},
        {"path": "d/type", "type": "wormhole", "size": 1},
        {"path": "d/none", "size": null},
        {"path": "d/metadata", "type": "file", "size": 1, "custom_metadata": {"k": {}}},
        {"path": "d/permissions", "type": "file", "size": 1, "permissions": 7},
        {"path": "d/times", "type": "file", "size": 1, "mtime": 17, "provided_mtime": [], "md5": 3},
    ]);
    let (client, _server) = script(vec![Reply::json(200, &odd)]).await;
    let entries = client.list(&path("d")).await.unwrap();
    let kinds: Vec<(&str, Kind)> = entries.iter().map(|entry| (&*entry.name, entry.kind)).collect();
    let unknown = ["size", "type", "none", "metadata", "permissions"].map(|name| (name, Kind::Unknown));
    assert_eq!(kinds, [&[("a", Kind::File)][..], &unknown, &[("times", Kind::File)]].concat());
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_is_no_empty_folder() {
    let (client, _server) = script(vec![
        Reply::json(200, &json!([file("d/a", 1), {"path": 7, "type": "file", "size": 1}])),
        Reply::json(200, &json!({})),
        Reply::json(200, &json!([null])),
        Reply::not_found(),
    ])
    .await;
    let error = client.list(&path("d")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("\"path\""), "{error}");
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(client.list(&path("d")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_folder_is_made_with_its_time() {
    // The shape of 2024: without path, time and permissions.
    let old = json!({"created_at": null, "display_name": "b", "type": "directory", "size": null});
    let (client, server) = script(vec![Reply::json(201, &old)]).await;
    let entry = client.create_folder(&path("a/b"), Some(Moment { seconds: 1, nanos: 5 })).await.unwrap();
    assert_eq!(entry.unwrap().name, "b");
    assert_eq!(server.seen()[0].json(), json!({"provided_mtime": "1970-01-01T00:00:01Z"}));
}

#[tokio::test]
async fn a_folder_in_the_way_is_told_from_one_that_we_made() {
    let exists = || Reply::error(422, "processing-failure/destination-exists", "The destination exists.");
    let missing = Reply::error(409, "processing-failure/destination-parent-does-not-exist", "No parent.");
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    let old = Reply::json(200, &folder("a")).header("Date", &now);
    let mut fresh = folder("a");
    fresh["created_at"] = json!("2999-01-01T00:00:00Z");
    let fresh = Reply::json(200, &fresh).header("Date", &now);
    let (client, _server) = script(vec![
        exists(),
        Reply::lost(),
        fresh,
        Reply::lost(),
        old,
        Reply::lost(),
        Reply::json(200, &file("a", 1)),
        missing,
    ])
    .await;
    assert_eq!(client.create_folder(&path("a"), None).await.unwrap(), None);
    assert!(client.create_folder(&path("a"), None).await.unwrap().is_some(), "no older than the question");
    assert_eq!(client.create_folder(&path("a"), None).await.unwrap(), None, "made in 2024 by somebody else");
    assert_eq!(client.create_folder(&path("a"), None).await.unwrap(), None, "a file");
    assert_eq!(client.create_folder(&path("a"), None).await.unwrap_err().kind(), ErrorKind::ParentMissing);
}

#[tokio::test]
async fn what_is_deleted_or_was_never_there_is_gone() {
    let (client, server) = script(vec![
        Reply::new(204, "", "").without_content_type(),
        Reply::not_found(),
        Reply::error(422, "processing-failure/folder-not-empty", "Folder d not empty"),
    ])
    .await;
    client.delete(&path("d"), None).await.unwrap();
    client.delete(&path("d"), None).await.unwrap();
    assert_eq!(client.delete(&path("d"), None).await.unwrap_err().errno(), libc::ENOTEMPTY);
    assert_eq!(server.asked()[0], "DELETE /api/rest/v1/files/d?recursive=false");
}

#[tokio::test]
async fn attributes_are_set_together() {
    let (client, server) = script(vec![Reply::json(200, &file("a", 1))]).await;
    let metadata = [("filescomfs".to_owned(), "1 mode=600".to_owned())].into();
    client.set_attributes(&path("a"), Some(Moment::from_seconds(0)), Some(&metadata)).await.unwrap();
    assert_eq!(server.asked(), ["PATCH /api/rest/v1/files/a"]);
    assert_eq!(
        server.seen()[0].json(),
        json!({"provided_mtime": "1970-01-01T00:00:00Z", "custom_metadata": {"filescomfs": "1 mode=600"}})
    );
}
