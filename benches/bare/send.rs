//! Uploads: begin, PUT, complete, for many files or many parts side by side.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::api::Api;

/// A file in memory, and its path below the folder.
pub struct Loaded {
    pub path: String,
    bytes: Bytes,
}

/// Every file below `source`.
pub fn load(source: &Path) -> Outcome<Vec<Loaded>> {
    let (mut files, mut folders) = (Vec::new(), vec![source.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(source)?.to_str().ok_or("a name is not UTF-8")?.to_owned();
                files.push(Loaded { path: name, bytes: std::fs::read(&path)?.into() });
            }
        }
    }
    Ok(files)
}

/// Sends all of `files` with `parallel` requests at a time.
pub async fn all(api: &Api, files: Vec<Loaded>, part: usize, parallel: usize) -> Outcome<()> {
    let room = Arc::new(Semaphore::new(parallel));
    let mut under_way = JoinSet::new();
    for file in files {
        let (api, room) = (api.clone(), room.clone());
        if file.bytes.len() <= part {
            // Small files take turns as wholes.
            let place = room.acquire_owned().await?;
            under_way.spawn(async move {
                let _place = place;
                small(&api, file).await
            });
        } else {
            under_way.spawn(async move { large(&api, file, part, &room).await });
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

async fn small(api: &Api, file: Loaded) -> Outcome<()> {
    let size = file.bytes.len();
    let slot = api.begin(&file.path, size, None, 1).await?;
    let etag = api.put(&slot.url, file.bytes).await?;
    api.complete(&file.path, &slot.reference, &[(1, etag)], size).await
}

async fn large(api: &Api, file: Loaded, part: usize, room: &Arc<Semaphore>) -> Outcome<()> {
    let size = file.bytes.len();
    let first = api.begin(&file.path, size, None, 1).await?;
    let reference = first.reference.clone();
    let mut first = Some(first);
    let mut parts = JoinSet::new();
    for (number, start) in (1..).zip((0..size).step_by(part)) {
        let place = room.clone().acquire_owned().await?;
        let (api, path, reference) = (api.clone(), file.path.clone(), reference.clone());
        let (slot, bytes) = (first.take(), file.bytes.slice(start..size.min(start + part)));
        parts.spawn(async move {
            let _place = place;
            let slot = match slot {
                Some(slot) => slot,
                None => api.begin(&path, size, Some(&reference), number).await?,
            };
            Outcome::Ok((number, api.put(&slot.url, bytes).await?))
        });
    }
    let mut etags = Vec::new();
    while let Some(sent) = parts.join_next().await {
        etags.push(sent??);
    }
    etags.sort();
    api.complete(&file.path, &reference, &etags, size).await
}
