//! Folders, listings, attributes and deletion.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_new_folder_answers_201_with_a_whole_entity() {
    let site = Site::new();
    let answer = site.mkdir("d").await;
    assert_eq!(answer.status, 201);
    let folder = &answer.json;
    assert_eq!((&folder["type"], &folder["permissions"]), (&json!("directory"), &json!("lrwd")));
    assert_eq!((&folder["size"], &folder["md5"]), (&Value::Null, &Value::Null));
    assert_eq!(folder["subfolders_locked?"], false);
    assert_eq!(folder["is_locked"], false);
    for absent in ["mime_type", "region", "priority_color", "preview", "download_uri"] {
        assert!(folder.get(absent).is_none(), "{absent}");
    }
    for null in ["provided_mtime", "created_by_id", "sha256"] {
        assert_eq!(folder.get(null), Some(&Value::Null), "{null}");
    }
}

#[tokio::test]
async fn a_new_folder_on_anything_is_destination_exists() {
    let site = Site::new();
    site.mkdir("d").await;
    site.upload("f", &[b""]).await;
    for path in ["d", "f", "D"] {
        let answer = site.call("POST", &format!("folders/{path}"), json!({"mkdir_parents": true})).await;
        assert_eq!((answer.status, answer.kind()), (422, "processing-failure/destination-exists"), "{path}");
    }
    let orphan = site.mkdir("x/y").await;
    assert_eq!(orphan.status, 409);
    assert_eq!(site.call("POST", "folders/x/y", json!({"mkdir_parents": true})).await.status, 201);
}

#[tokio::test]
async fn a_missing_path_is_not_found_with_two_blanks_in_its_text() {
    let site = Site::new();
    for path in ["file_actions/metadata/no", "folders/no", "files/no", "file_actions/metadata/no/"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.kind()), (404, "not-found"), "{path}");
        assert_eq!(answer.json["error"], "Not Found.  This may be related to your permissions.");
        assert_eq!(answer.header("x-files-error-class"), Some("not-found"));
        assert_eq!(answer.header("x-request-id"), answer.json["instance"].as_str());
        assert_eq!(answer.json["http-code"], 404);
    }
    site.emulator.change(|settings| settings.http_code_is_text = true);
    assert_eq!(site.get("files/no").await.json["http-code"], "404");
    assert_eq!(site.get("no_such_route").await.status, 404);
}

#[tokio::test]
async fn deletion_answers_204_and_refuses_a_folder_that_is_not_empty() {
    let site = Site::new();
    site.upload("d/f", &[b"x"]).await;
    let refused = site.delete("d").await;
    assert_eq!((refused.status, refused.kind()), (422, "processing-failure/folder-not-empty"));
    assert_eq!(refused.json["error"], "Folder d not empty");
    let file = site.delete("d/f").await;
    assert_eq!((file.status, file.bytes.len()), (204, 0));
    assert_eq!(site.delete("d").await.status, 204);
    assert_eq!(site.delete("d").await.kind(), "not-found");
    site.upload("d/e/f", &[b"x"]).await;
    assert_eq!(site.delete("d?recursive=True").await.status, 204);
    assert!(site.emulator.files().is_empty() && site.emulator.folders().is_empty());
}

#[tokio::test]
async fn a_deleted_folder_stays_visible_for_a_while() {
    let site = Site::with(|settings| settings.folder_delete_delay_ms = 3000);
    site.upload("d/f", &[b"x"]).await;
    assert_eq!(site.delete("d?recursive=true").await.status, 204);
    assert_eq!(site.stat("d").await.status, 200);
    assert_eq!(site.mkdir("d").await.kind(), "processing-failure/destination-exists");
    site.emulator.advance(Duration::from_secs(3));
    assert_eq!(site.stat("d").await.status, 404);
    assert_eq!(site.mkdir("d").await.status, 201);
}

#[tokio::test]
async fn listings_put_folders_first_and_then_go_by_collation() {
    let site = Site::new();
    for name in ["b", "Z.txt", "ł", "m", "_x", "-y", ".z", " s", "9"] {
        site.emulator.put(name, b"");
    }
    for name in ["zz", "Ä"] {
        site.emulator.mkdir(name);
    }
    let answer = site.get("folders").await;
    assert_eq!(answer.names(), ["Ä", "zz", " s", "_x", "-y", ".z", "9", "b", "ł", "m", "Z.txt"]);
    let largest = site.get("folders/?sort_by[size]=desc").await;
    assert_eq!(largest.names()[..2], ["Ä", "zz"], "folders first whatever the order");
    assert_eq!(answer.header("x-files-cache-for-seconds"), Some("900"));
    assert_eq!(answer.header("x-files-safe-to-cache"), Some("true"));
    let empty = site.get("folders/zz").await;
    assert_eq!((empty.text().as_str(), empty.header("x-files-cursor")), ("[]", None));
}

async fn pages(site: &Site, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = site.get(&format!("folders/d?{query}{cursor}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        pages.push(answer.names().into_iter().map(str::to_owned).collect());
        let Some(next) = answer.header("x-files-cursor-next") else { return pages };
        assert_eq!(answer.header("x-files-cursor"), Some(next), "one value under both names");
        cursor = format!("&cursor={}", next.replace(':', "%3A"));
    }
}

#[tokio::test]
async fn pages_follow_cursors_and_a_full_last_page_has_none() {
    let site = Site::new();
    for name in ["a", "b", "c", "d"] {
        site.emulator.put(&format!("d/{name}"), name.repeat(name.as_bytes()[0].into()).as_bytes());
    }
    site.emulator.mkdir("d/z");
    assert_eq!(pages(&site, "per_page=1").await.concat(), ["z", "a", "b", "c", "d"]);
    assert_eq!(pages(&site, "per_page=2").await, [vec!["z", "a"], vec!["b", "c"], vec!["d"]]);
    assert_eq!(pages(&site, "per_page=5").await.len(), 1);
    assert_eq!(pages(&site, "per_page=2&sort_by[size]=desc").await.concat(), ["z", "d", "c", "b", "a"]);
    assert_eq!(pages(&site, "per_page=2&type=file").await.concat(), ["a", "b", "c", "d"]);
    assert_eq!(site.get("folders/d?cursor=junk").await.kind(), "bad-request/invalid-cursor");
    site.emulator.change(|settings| settings.empty_pages = true);
    let with_empty = pages(&site, "per_page=2").await;
    assert_eq!(with_empty.concat(), ["z", "a", "b", "c", "d"]);
    assert!(with_empty[1].is_empty(), "an empty page with a new cursor");
}

#[tokio::test]
async fn a_page_goes_on_where_it_stopped_when_entries_went() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.emulator.put(&format!("d/{name}"), b"");
    }
    let first = site.get("folders/d?per_page=2").await;
    site.emulator.delete("d/b");
    let cursor = first.header("x-files-cursor").unwrap().replace(':', "%3A");
    assert_eq!(site.get(&format!("folders/d?per_page=2&cursor={cursor}")).await.names(), ["c"]);
}

#[tokio::test]
async fn the_listing_of_a_file_is_refused_one_way_or_the_other() {
    let site = Site::new();
    site.emulator.put("f", b"");
    assert_eq!(site.get("folders/f").await.kind(), "not-found");
    site.emulator.change(|settings| settings.listing_a_file_is_refused = true);
    assert_eq!(site.get("folders/f").await.kind(), "bad-request/folder-must-not-be-a-file");
}

#[tokio::test]
async fn a_cached_listing_may_miss_what_others_did_but_not_what_the_api_did() {
    let site = Site::with(|settings| settings.listing_cache_ms = 60_000);
    site.emulator.put("a", b"");
    site.get("folders/").await;
    site.emulator.put("b", b"");
    let stale = site.get("folders/").await;
    assert_eq!(stale.names(), ["a"]);
    assert!(stale.header("x-files-cached-response").is_some());
    site.mkdir("c").await;
    assert_eq!(site.get("folders/").await.names(), ["c", "a", "b"]);
}

#[tokio::test]
async fn the_mtime_of_every_folder_above_moves() {
    let site = Site::new();
    site.emulator.mkdir("a/b/c");
    let before = site.stat("a").await.json["mtime"].clone();
    site.emulator.advance(Duration::from_secs(5));
    let done = site.upload("a/b/c/f", &[b"x"]).await;
    for path in ["a", "a/b", "a/b/c"] {
        assert_eq!(site.stat(path).await.json["mtime"], done.json["mtime"], "{path}");
    }
    assert_ne!(before, done.json["mtime"]);
}

#[tokio::test]
async fn attributes_are_replaced_and_leave_mtime_alone() {
    let site = Site::new();
    let made = site.upload("f.gz", &[b"x"]).await;
    assert_eq!(made.json["mime_type"], "application/x-gzip");
    site.emulator.advance(Duration::from_secs(9));
    let body = json!({"provided_mtime": "2010-11-17T20:34:58Z", "custom_metadata": {"a": "1", "b": "2"}});
    let patched = site.call("PATCH", "files/f.gz", body).await;
    assert_eq!(patched.status, 200);
    assert_eq!(patched.json["provided_mtime"], "2010-11-17T20:34:58Z");
    assert_eq!(patched.json["mtime"], made.json["mtime"]);
    let replaced = site.call("PATCH", "files/f.gz", json!({"custom_metadata": {"c": "3"}})).await;
    assert_eq!(replaced.json["custom_metadata"], json!({"c": "3"}));
    assert_eq!(replaced.json["provided_mtime"], "2010-11-17T20:34:58Z");
    site.mkdir("d").await;
    assert_eq!(site.call("PATCH", "files/d", json!({"provided_mtime": "2011-01-01"})).await.status, 200);
    let bad = site.call("PATCH", "files/d", json!({"priority_color": "mud"})).await;
    assert_eq!(bad.kind(), "processing-failure/invalid-priority-color");
}

#[tokio::test]
async fn metadata_has_limits() {
    let site = Site::new();
    site.emulator.put("f", b"");
    let full: serde_json::Map<_, _> =
        (0..32).map(|n| (format!("{n:0256}"), json!("v".repeat(1024)))).collect();
    let body = json!({"custom_metadata": full});
    assert_eq!(site.call("PATCH", "files/f", body.clone()).await.status, 200);
    for (key, value) in [("k", "v".repeat(1025)), (&"k".repeat(257), "v".into())] {
        let body = json!({"custom_metadata": {key: value}});
        assert_eq!(site.call("PATCH", "files/f", body).await.status, 422);
    }
    let mut many = body;
    many["custom_metadata"]["one more"] = json!("");
    assert_eq!(site.call("PATCH", "files/f", many).await.status, 422);
}
