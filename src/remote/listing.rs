//! Listing a folder, page by page.
//!
//! A listing decides what exists, so it is complete and of this folder, or it is an error. Pages that
//! never end, cursors that come back and entries of elsewhere do not get past this file.

use std::collections::HashSet;

use serde_json::Value;

use super::call::Call;
use super::client::Client;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::transport::Answer;
use super::wire::{self, Fields, Misread};
use crate::model::comparison::Keys;
use crate::model::entry::Entry;
use crate::model::path::RemotePath;

/// Entries per page: the most that the service recommends. Every page is a billed request.
const PER_PAGE: u32 = 1000;

/// More pages than any folder has: ten million entries.
const MOST_PAGES: usize = 10_000;

impl Client {
    /// Everything in the folder, from all pages. Entries of another folder are left out and logged.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a missing folder; [`ErrorKind::Protocol`] for a listing that
    /// cannot be trusted: it never passes for an empty folder.
    pub async fn list(&self, path: &RemotePath) -> Result<Vec<Entry>, Error> {
        let folder = Folder::new(path);
        let mut entries = Vec::new();
        let mut cursors = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut call = Call::get("list", "/folders").path(path).query("per_page", PER_PAGE);
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let answer = self.call(call).await?;
            folder.read_page(&answer, &mut entries)?;
            // The last page is the one without a cursor; an empty page with one is not.
            let Some(next) = next_page(&answer) else { return Ok(entries) };
            if !cursors.insert(next.to_owned()) {
                return Err(distrust(&answer, "the listing goes round in a circle"));
            }
            cursor = Some(next.to_owned());
        }
        let asked = Call::get("list", "/folders").path(path).asked();
        Err(Error::new(ErrorKind::Protocol, asked, "the listing does not end"))
    }

    /// The first page of the folder, and whether it is the whole: one request tells that it may be listed, and
    /// for most folders what is in it.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn list_first_page(&self, path: &RemotePath) -> Result<(Vec<Entry>, bool), Error> {
        let call = Call::get("list", "/folders").path(path).query("per_page", PER_PAGE);
        let (answer, mut entries) = (self.call(call).await?, Vec::new());
        Folder::new(path).read_page(&answer, &mut entries)?;
        Ok((entries, next_page(&answer).is_none()))
    }

    /// Asks for one entry of the folder, to learn whether it may be listed.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn probe_list(&self, path: &RemotePath) -> Result<(), Error> {
        let answer = self.call(Call::get("list", "/folders").path(path).query("per_page", 1)).await?;
        Folder::new(path).read_page(&answer, &mut Vec::new())
    }
}

/// Where the next page begins; `None` on the last.
fn next_page(answer: &Answer) -> Option<&str> {
    answer.header("x-files-cursor-next").or(answer.header("x-files-cursor"))
}

/// The folder that is listed, as far as entries are compared with it.
struct Folder<'a> {
    path: &'a RemotePath,
    keys: Vec<Keys>,
}

impl<'a> Folder<'a> {
    fn new(path: &'a RemotePath) -> Self {
        Self { path, keys: path.components().map(Keys::of).collect() }
    }

    fn read_page(&self, answer: &Answer, entries: &mut Vec<Entry>) -> Result<(), Error> {
        let value = answer.json()?;
        let Some(page) = value.as_array() else {
            return Err(distrust(answer, "the listing is not a list"));
        };
        let before = entries.len();
        for value in page {
            let entry = self.read(value).map_err(|misread| misread.error(&answer.asked))?;
            entries.extend(entry);
        }
        let strangers = page.len() - (entries.len() - before);
        if strangers > 0 {
            tracing::warn!(asked = answer.asked, strangers, "left out of a listing: not of this folder");
        }
        Ok(())
    }

    /// An entry of this folder; `None` for one of another.
    fn read(&self, value: &Value) -> Result<Option<Entry>, Misread> {
        let fields = Fields::of(value, "entry")?;
        let entry = wire::entry(fields, None)?;
        if let Some(path) = fields.text("path")?
            && !self.holds(path)
        {
            return Ok(None);
        }
        Ok(Some(entry))
    }

    /// Is the parent of `path` this folder, as the service compares names?
    fn holds(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if parent == self.path.as_str() {
            return !path.is_empty();
        }
        let components: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
        components.len() == self.keys.len()
            && components.iter().zip(&self.keys).all(|(component, ours)| {
                let theirs = Keys::of(component);
                theirs.latin == ours.latin || theirs.collated == ours.collated
            })
    }
}

fn distrust(answer: &Answer, happened: &str) -> Error {
    Error::new(ErrorKind::Protocol, &answer.asked, happened).with(|d| d.status = Some(answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_of_the_folder_belong_to_it() {
        let path = RemotePath::parse("Backups/Été").unwrap();
        let folder = Folder::new(&path);
        for inside in ["Backups/Été/a", "/backups/ete/a/", "BACKUPS/ÉTÉ/.."] {
            assert!(folder.holds(inside), "{inside}");
        }
        for outside in ["Backups/Été", "a", "", "Backups/Été/a/b", "Backups/other/a", "../Backups/Été/x"]
        {
            assert!(!folder.holds(outside), "{outside}");
        }
        let root = RemotePath::ROOT;
        assert!(
            Folder::new(&root).holds("a")
                && !Folder::new(&root).holds("a/b")
                && !Folder::new(&root).holds("/")
        );
    }
}
