//! A site in a folder.

use super::*;

#[tokio::test]
async fn a_site_in_a_folder_survives_the_end_of_its_emulator() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Site::with(|settings| settings.data = Some(dir.path().to_owned()));
    let site = open();
    site.upload("d/Ä", &[b"first ", b"second"]).await;
    site.upload("gone", &[b"x"]).await;
    site.delete("gone").await;
    let body = json!({"provided_mtime": "2001-01-01T00:00:00Z", "custom_metadata": {"k": "v"}});
    site.call("PATCH", "files/d/Ä", body).await;
    site.relocate("copy", "d/Ä", json!({"destination": "copy"})).await;
    site.relocate("move", "d", json!({"destination": "moved"})).await;
    site.send_parts("abandoned", &[b"never completed"]).await;
    let before = site.emulator.files();
    drop(site);

    let site = open();
    assert_eq!(site.emulator.files(), before);
    assert_eq!(site.emulator.read("moved/a").unwrap(), b"first second");
    assert_eq!(site.stat("moved/Ä").await.json["provided_mtime"], "2001-01-01T00:00:00Z");
    let url = site.download_url("moved/Ä").await;
    let range = site.fetch(&url, &[("range", "bytes=4-8")]).await;
    assert_eq!(range.bytes, b"t sec");
    assert_eq!(range.header("etag"), Some(composite(&[b"first ", b"second"]).as_str()));
    let stored = std::fs::read_dir(dir.path().join("content")).unwrap().count();
    assert_eq!(stored, 2, "what was deleted or given up is gone");
    site.delete("copy").await;
    assert_eq!(site.emulator.read("moved/Ä").unwrap(), b"first second", "a copy goes alone");
}

#[tokio::test]
async fn a_part_whose_sender_gives_up_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::with(|settings| settings.data = Some(dir.path().to_owned()));
    let slot = site.begin("f", json!({})).await;
    let url = slot["upload_uri"].as_str().unwrap();
    let pieces = [Ok("some bytes, and then"), Err(std::io::Error::other("gives up"))];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = site.client.put(url).header("content-length", "100").body(body);
    assert!(request.send().await.is_err());
    let answer = site.complete("f", json!({"action": "end", "ref": slot["ref"]})).await;
    assert_eq!(answer.kind(), "processing-failure/file-not-uploaded");
    while std::fs::read_dir(dir.path().join("content")).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_emulator_stops_when_its_handle_goes() {
    let emulator = Emulator::start(Settings::default()).unwrap();
    let address = emulator.base_url().replace("http://", "");
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(emulator);
    // The runtime ends on threads of its own; it needs no help, only a moment.
    while std::net::TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
}
