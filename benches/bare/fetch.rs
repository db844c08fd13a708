//! Downloads and listings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::api::Api;

/// Signed URLs of downloads live for 60 s; they are asked for anew before that.
const FRESH: Duration = Duration::from_secs(45);

/// A whole file in ranges of `range` bytes, `parallel` at a time.
pub async fn ranges(api: &Api, path: &str, range: u64, parallel: usize) -> Outcome<u64> {
    let (mut url, size) = api.download(path).await?;
    let mut asked = Instant::now();
    let room = Arc::new(Semaphore::new(parallel));
    let mut under_way = JoinSet::new();
    let mut start = 0;
    while start < size {
        let place = room.clone().acquire_owned().await?;
        if asked.elapsed() > FRESH {
            (url, asked) = (api.download(path).await?.0, Instant::now());
        }
        let (api, url, end) = (api.clone(), url.clone(), size.min(start + range));
        under_way.spawn(async move {
            let _place = place;
            api.range(&url, start, end).await
        });
        start = end;
    }
    let mut got = 0;
    while let Some(fetched) = under_way.join_next().await {
        got += fetched??;
    }
    Ok(got)
}

/// `size` bytes at each of `offsets`, one after the other.
pub async fn jumps(api: &Api, path: &str, offsets: &[u64], size: u64) -> Outcome<u64> {
    let (mut url, _) = api.download(path).await?;
    let mut asked = Instant::now();
    let mut got = 0;
    for start in offsets {
        if asked.elapsed() > FRESH {
            (url, asked) = (api.download(path).await?.0, Instant::now());
        }
        got += api.range(&url, *start, start + size).await?;
    }
    Ok(got)
}

/// All entries of the folder and of those below it; each folder page by page, `parallel` folders at a time.
pub async fn tree(api: &Api, parallel: usize) -> Outcome<u64> {
    let room = Arc::new(Semaphore::new(parallel));
    let mut under_way = JoinSet::new();
    let list = |under_way: &mut JoinSet<_>, path: String| {
        let (api, room) = (api.clone(), room.clone());
        under_way.spawn(async move {
            let _place = room.acquire().await?;
            folder(&api, &path).await
        });
    };
    list(&mut under_way, String::new());
    let mut got = 0;
    while let Some(listed) = under_way.join_next().await {
        let (entries, folders) = listed??;
        got += entries;
        for path in folders {
            list(&mut under_way, path);
        }
    }
    Ok(got)
}

/// How many entries a folder has, and the paths of its folders below the base.
async fn folder(api: &Api, path: &str) -> Outcome<(u64, Vec<String>)> {
    let (mut count, mut folders, mut cursor) = (0, Vec::new(), None);
    loop {
        let (entries, next) = api.page(path, cursor.as_deref()).await?;
        count += entries.len() as u64;
        for entry in entries.iter().filter(|entry| entry["type"] == "directory") {
            let name = entry["path"].as_str().ok_or("an entry has no path")?;
            let name = name.rsplit('/').next().unwrap_or(name);
            folders.push(if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") });
        }
        match next {
            Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
            _ => return Ok((count, folders)),
        }
    }
}
