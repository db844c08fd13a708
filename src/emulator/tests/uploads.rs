//! Uploads.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_completion_answers_201_for_a_new_path_and_200_for_a_replaced_one() {
    let site = Site::new();
    assert_eq!(site.upload("a/b.txt", &[b"one"]).await.status, 201);
    let answer = site.upload("a/b.txt", &[b"two"]).await;
    assert_eq!((answer.status, answer.json["path"].as_str()), (200, Some("a/b.txt")));
    assert_eq!(site.emulator.read("a/b.txt").unwrap(), b"two");
}

#[tokio::test]
async fn replacing_resets_created_at_and_drops_time_and_metadata() {
    let site = Site::new();
    let mut completion = site.send_parts("f", &[b"one"]).await;
    completion["provided_mtime"] = json!("2020-01-01T00:00:00Z");
    completion["custom_metadata"] = json!({"k": "v"});
    let first = site.complete("f", completion).await;
    assert_eq!(first.json["custom_metadata"]["k"], "v");
    site.emulator.advance(Duration::from_secs(12));
    let second = site.upload("f", &[b"two"]).await;
    assert_ne!(first.json["created_at"], second.json["created_at"]);
    assert_eq!(second.json["provided_mtime"], Value::Null);
    assert_eq!(second.json["custom_metadata"], json!({}));
}

#[tokio::test]
async fn begin_answers_a_list_with_the_recorded_fields_and_the_old_form_one_object() {
    let site = Site::new();
    let slot = site.begin("new/f", json!({"mkdir_parents": true, "size": 9_000_000})).await;
    for (field, value) in [
        ("partsize", json!(5_242_880)),
        ("next_partsize", json!(6_291_456)),
        ("available_parts", json!(10_000)),
        ("parallel_parts", json!(true)),
        ("retry_parts", json!(true)),
        ("http_method", json!("PUT")),
        ("part_number", json!(1)),
        ("headers", json!({})),
    ] {
        assert_eq!(slot[field], value, "{field}");
    }
    assert!(slot["ref"].as_str().unwrap().starts_with("put-"));
    let old = site.complete("g", json!({"action": "put"})).await;
    assert_eq!((old.status, old.json["part_number"].as_u64()), (200, Some(1)));
    assert_eq!(old.json["path"], "g", "the JavaScript client completes under it");
    assert!(slot.get("path").is_none());
    let again = site.complete("g", json!({"action": "put", "ref": old.json["ref"], "part": 1})).await;
    site.put_part(&again.json, b"js").await;
    let done = site.request("POST", "files/g").header("x-filesapi-key", "key");
    let reference = again.json["ref"].as_str().unwrap();
    let form = format!("action=end&ref={reference}");
    let done = done.header("content-type", "application/x-www-form-urlencoded").body(form);
    let done = Answer::of(done).await;
    assert_eq!((done.status, done.json["size"].as_u64()), (201, Some(2)));
}

#[tokio::test]
async fn nothing_is_visible_before_completion_but_the_parents() {
    let site = Site::new();
    site.upload("f", &[b"old"]).await;
    let completion = site.send_parts("f", &[b"new!"]).await;
    assert_eq!(site.emulator.read("f").unwrap(), b"old");
    let fresh = site.send_parts("deep/er/f", &[b"x"]).await;
    assert_eq!(site.stat("deep/er/f").await.status, 404);
    assert_eq!(site.stat("deep/er").await.status, 200, "mkdir_parents makes parents at once");
    site.complete("f", completion).await;
    site.complete("deep/er/f", fresh).await;
    assert_eq!(site.emulator.read("f").unwrap(), b"new!");
    assert_eq!(site.emulator.read("deep/er/f").unwrap(), b"x");
}

#[tokio::test]
async fn digests_are_null_in_the_completion_and_appear_after_the_delay() {
    let site = Site::with(|settings| settings.checksum_delay_ms = 5000);
    let done = site.upload("f", &[b"hello"]).await;
    assert_eq!((&done.json["md5"], &done.json["crc32"]), (&Value::Null, &Value::Null));
    assert_eq!(site.stat("f").await.json["md5"], Value::Null);
    site.emulator.advance(Duration::from_secs(5));
    let later = site.stat("f").await;
    assert_eq!(later.json["md5"], md5(b"hello"));
    assert_eq!(later.json["crc32"], "3610a686");
    site.emulator.change(|settings| (settings.md5, settings.crc32) = (false, false));
    assert_eq!(site.stat("f").await.json["md5"], Value::Null, "a site without the option");
    assert_eq!(site.emulator.files()["f"].md5, md5(b"hello"), "the true digest is known all the same");
}

#[tokio::test]
async fn the_md5_of_several_parts_is_that_of_the_whole() {
    let site = Site::new();
    site.upload("f", &[b"hello ", b"world"]).await;
    assert_eq!(site.emulator.files()["f"].md5, md5(b"hello world"));
    assert_eq!(site.stat("f").await.json["md5"], md5(b"hello world"));
    assert_eq!(site.emulator.files()["f"].crc32, format!("{:x}", crc32fast::hash(b"hello world")));
}

#[tokio::test]
async fn crc32_has_no_leading_zeros_and_is_0_for_an_empty_file() {
    let site = Site::new();
    site.upload("empty", &[b""]).await;
    assert_eq!(site.stat("empty").await.json["crc32"], "0");
    // CRC32 00b35e33
    let bytes = (0u32..).map(|n| n.to_string()).find(|text| crc32fast::hash(text.as_bytes()) < 0x0100_0000);
    let bytes = bytes.unwrap();
    site.upload("f", &[bytes.as_bytes()]).await;
    assert!(site.stat("f").await.json["crc32"].as_str().unwrap().len() < 7);
}

#[tokio::test]
async fn part_etags_are_md5s_and_the_object_etag_is_the_multipart_one() {
    let site = Site::new();
    for parts in [&[b"".as_slice()] as &[&[u8]], &[b"one"], &[b"first", b"second"], &[b"first", b""]] {
        let completion = site.send_parts("f", parts).await;
        for (listed, part) in completion["etags"].as_array().unwrap().iter().zip(parts) {
            assert_eq!(listed["etag"], md5(part));
        }
        let done = site.complete("f", completion).await;
        assert!(done.status < 300, "{}", done.text());
        let whole = site.fetch(&site.download_url("f").await, &[]).await;
        assert_eq!(whole.header("etag"), Some(composite(parts).as_str()));
        assert_eq!(whole.bytes, parts.concat());
    }
}

#[tokio::test]
async fn an_upload_without_its_put_is_not_uploaded_even_if_empty() {
    let site = Site::new();
    let slot = site.begin("f", json!({})).await;
    let answer = site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;
    assert_eq!((answer.status, answer.kind()), (422, "processing-failure/file-not-uploaded"));
}

#[tokio::test]
async fn etags_come_in_any_order_with_parts_as_text_or_number_or_not_at_all() {
    let site = Site::new();
    let mut completion = site.send_parts("f", &[b"first", b"second"]).await;
    let mut etags = completion["etags"].as_array().unwrap().clone();
    etags.reverse();
    etags[0]["part"] = json!("2");
    completion["etags"] = json!(etags);
    assert_eq!(site.complete("f", completion).await.status, 201);
    assert_eq!(site.emulator.read("f").unwrap(), b"firstsecond");
    let completion = site.send_parts("g", &[b"first", b"second"]).await;
    let answer = site.complete("g", json!({"action": "end", "ref": completion["ref"]})).await;
    assert_eq!(answer.status, 201);
    assert_eq!(site.emulator.read("g").unwrap(), b"firstsecond");
}

#[tokio::test]
async fn a_part_sent_again_replaces_the_first_and_the_etags_decide() {
    let site = Site::new();
    let completion = site.send_parts("f", &[b"one"]).await;
    let slot = site.begin("f", json!({"ref": completion["ref"], "part": 1})).await;
    let second = site.put_part(&slot, b"two").await;
    assert_eq!(site.complete("f", completion.clone()).await.kind(), "bad-request/invalid-etags");
    let mut right = completion;
    right["etags"] = json!([{"part": 1, "etag": second.header("etag").unwrap().trim_matches('"')}]);
    assert_eq!(site.complete("f", right).await.status, 201);
    assert_eq!(site.emulator.read("f").unwrap(), b"two");
}

#[tokio::test]
async fn an_unknown_or_forgotten_ref_is_file_upload_not_found() {
    let site = Site::new();
    let completion = site.send_parts("f", &[b"one"]).await;
    let answer = site.complete("f", json!({"action": "end", "ref": "put-1"})).await;
    assert_eq!((answer.status, answer.kind()), (404, "not-found/file-upload-not-found"));
    assert_eq!(answer.json["title"], "File Upload Not Found");
    site.emulator.advance(Duration::from_secs(72 * 60));
    assert_eq!(site.complete("f", completion).await.status, 404);
}

#[tokio::test]
async fn the_path_of_the_completion_decides() {
    let site = Site::new();
    let completion = site.send_parts("temporary", &[b"x"]).await;
    let answer = site.complete("final/name", completion).await;
    assert_eq!((answer.status, answer.json["path"].as_str()), (201, Some("final/name")));
    assert_eq!(site.stat("temporary").await.status, 404);
}

#[tokio::test]
async fn small_parts_gaps_wrong_etags_and_wrong_sizes_fail_at_completion() {
    let site = Site::new();
    let small = site.send_parts("f", &[b"abc", b"rest"]).await;
    assert_eq!(site.complete("f", small).await.kind(), "bad-request/invalid-upload-part-size");
    let mut gap = site.send_parts("f", &[b"first", b"second", b"third"]).await;
    gap["etags"].as_array_mut().unwrap().remove(1);
    assert_eq!(site.complete("f", gap).await.kind(), "bad-request/invalid-upload-part-gap");
    let mut wrong = site.send_parts("f", &[b"first"]).await;
    wrong["etags"][0]["etag"] = json!(md5(b"other"));
    assert_eq!(site.complete("f", wrong).await.kind(), "bad-request/invalid-etags");
    let mut size = site.send_parts("f", &[b"first"]).await;
    size["size"] = json!(6);
    assert_eq!(site.complete("f", size).await.kind(), "processing-failure/file-not-uploaded");
    assert_eq!(site.stat("f").await.status, 404);
}

#[tokio::test]
async fn a_completion_repeated_is_already_completed() {
    let site = Site::new();
    let completion = site.send_parts("f", &[b"x"]).await;
    assert_eq!(site.complete("f", completion.clone()).await.status, 201);
    let again = site.complete("f", completion).await;
    assert_eq!((again.status, again.kind()), (422, "processing-failure/already-completed"));
}

#[tokio::test]
async fn a_missing_parent_is_refused_at_begin() {
    let site = Site::new();
    let answer = site.call("POST", "file_actions/begin_upload/no/f", json!({})).await;
    assert_eq!((answer.status, answer.kind()), (409, "processing-failure/destination-parent-does-not-exist"));
    site.emulator.put("file", b"x");
    let body = json!({"mkdir_parents": true});
    let answer = site.call("POST", "file_actions/begin_upload/file/f", body).await;
    assert_eq!(answer.kind(), "processing-failure/could-not-create-parent");
}

#[tokio::test]
async fn provided_mtime_is_cut_to_seconds_in_utc_and_an_impossible_one_leaves_the_upload_open() {
    let site = Site::new();
    let mut completion = site.send_parts("f", &[b"x"]).await;
    completion["provided_mtime"] = json!("0001-01-01T00:00:00Z");
    let refused = site.complete("f", completion.clone()).await;
    assert_eq!((refused.status, refused.kind()), (422, "bad-request/datetime-parse"));
    for (given, kept) in [
        ("2023-09-15T16:04:33.134401388-07:00", "2023-09-15T23:04:33Z"),
        ("2023-09-15T16:04:33.999Z", "2023-09-15T16:04:33Z"),
        ("1969-12-31T23:59:58.500Z", "1969-12-31T23:59:58Z"),
    ] {
        completion["provided_mtime"] = json!(given);
        assert_eq!(site.complete("f", completion).await.json["provided_mtime"], kept);
        completion = site.send_parts("f", &[b"x"]).await;
    }
    site.emulator.change(|settings| settings.use_provided_modified_at = false);
    completion["provided_mtime"] = json!("2023-09-15T16:04:33Z");
    assert_eq!(site.complete("f", completion).await.json["provided_mtime"], Value::Null);
}

#[tokio::test]
async fn an_upload_that_may_not_replace_gets_a_number() {
    let site = Site::new();
    site.upload("f.txt", &[b"one"]).await;
    let mut completion = site.send_parts("f.txt", &[b"two"]).await;
    completion["with_rename"] = json!(true);
    assert_eq!(site.complete("f.txt", completion).await.json["path"], "f_2.txt");
    site.emulator.change(|settings| settings.overwrite_renames = true);
    assert_eq!(site.upload("f.txt", &[b"three"]).await.json["path"], "f_3.txt");
    assert_eq!(site.emulator.read("f.txt").unwrap(), b"one");
}

#[tokio::test]
async fn opaque_etags_prove_nothing() {
    let site = Site::with(|settings| settings.opaque_etags = true);
    let slot = site.begin("f", json!({})).await;
    let etag = site.put_part(&slot, b"x").await.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("\"opaque-"), "{etag}");
    let etags = json!([{"etag": "null", "part": "1"}]);
    let done = site.complete("f", json!({"action": "end", "ref": slot["ref"], "etags": etags})).await;
    assert_eq!(done.status, 201);
    let object = site.fetch(&site.download_url("f").await, &[]).await;
    assert!(object.header("etag").unwrap().starts_with("\"opaque-"));
}

#[tokio::test]
async fn etags_of_encrypted_bytes_look_like_digests_and_are_none() {
    let site = Site::with(|settings| settings.encryption = "aws:kms".into());
    let slot = site.begin("f", json!({})).await;
    let stored = site.put_part(&slot, b"x").await;
    assert_eq!(stored.header("x-amz-server-side-encryption"), Some("aws:kms"));
    let etag = stored.header("etag").unwrap().trim_matches('"').to_owned();
    assert!(etag.len() == 32 && etag != "9dd4e461268c8034f5c8564e155c67a6", "{etag}");
    let etags = json!([{"etag": etag, "part": "1"}]);
    let done = site.complete("f", json!({"action": "end", "ref": slot["ref"], "etags": etags})).await;
    assert_eq!(done.status, 201);
    let object = site.fetch(&site.download_url("f").await, &[]).await;
    assert_eq!(object.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert!(object.header("etag").unwrap().ends_with("-1\""));
}

#[tokio::test]
async fn several_parts_are_asked_for_at_once() {
    let site = Site::new();
    let first = site.begin("f", json!({})).await;
    let body = json!({"ref": first["ref"], "part": 2, "parts": 3});
    let answer = site.call("POST", "file_actions/begin_upload/f", body).await;
    let numbers: Vec<_> =
        answer.json.as_array().unwrap().iter().map(|slot| slot["part_number"].clone()).collect();
    assert_eq!(json!(numbers), json!([2, 3, 4]));
    site.put_part(&first, b"one ").await;
    site.put_part(&answer.json[0], b"two ").await;
    site.put_part(&answer.json[1], b"three").await;
    site.complete("f", json!({"action": "end", "ref": first["ref"]})).await;
    assert_eq!(site.emulator.read("f").unwrap(), b"one two three");
}
