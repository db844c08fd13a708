//! Listing a folder, page by page.
//!
//! A listing decides what exists, so it is complete and of this folder, or it is an error. Pages that
//! never end, cursors that come back and entries of elsewhere do not get past this file.

use std::collections::HashSet;

use serde_json::Value;

use super::call::Call;
use super::client::Client;
use super::deadline;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::places::{Place, folder_of};
use super::transport::Answer;
use super::wire::{self, Fields, Misread};
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
        let folder = Place::new(path);
        let mut entries = Vec::new();
        let mut cursors = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut call = Call::get("list", "/folders").path(path).query("per_page", PER_PAGE);
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let answer = self.call(call).await?;
            read_page(&folder, &answer, &mut entries)?;
            deadline::progressed();
            // The last page is the one without a cursor; an empty page with one is not.
            let Some(next) = next_page(&answer)? else { return Ok(entries) };
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
        read_page(&Place::new(path), &answer, &mut entries)?;
        Ok((entries, next_page(&answer)?.is_none()))
    }

    /// Asks for one entry of the folder, to learn whether it may be listed.
    ///
    /// # Errors
    /// As for [`Self::list`].
    pub async fn probe_list(&self, path: &RemotePath) -> Result<(), Error> {
        let answer = self.call(one_entry(path)).await?;
        read_page(&Place::new(path), &answer, &mut Vec::new())
    }

    /// The same on behalf of all: see [`Self::look_for_it`].
    pub(super) async fn look_at_one_entry(&self, path: &RemotePath) -> Result<(), Error> {
        self.call(one_entry(path).for_all()).await.map(drop)
    }
}

fn one_entry(path: &RemotePath) -> Call {
    Call::get("list", "/folders").path(path).query("per_page", 1)
}

/// Where the next page begins; `None` on the last. A cursor that cannot be read is no end of the listing.
fn next_page(answer: &Answer) -> Result<Option<&str>, Error> {
    for name in ["x-files-cursor-next", "x-files-cursor"] {
        let Some(cursor) = answer.headers.get(name) else { continue };
        match cursor.to_str().map(str::trim) {
            Ok("") => {}
            Ok(cursor) => return Ok(Some(cursor)),
            Err(_) => return Err(distrust(answer, "where the listing goes on is no text")),
        }
    }
    Ok(None)
}

/// Adds the entries of a page. Those of another folder are left out; where all are of another, paths begin elsewhere
/// for this caller, and nothing is known of the folder.
fn read_page(folder: &Place<'_>, answer: &Answer, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let page = answer.json()?;
    let Some(page) = page.as_array() else {
        return Err(distrust(answer, "the listing is not a list"));
    };
    let before = entries.len();
    let mut elsewhere = None;
    for value in page {
        match read(folder, value).map_err(|misread| misread.error(&answer.asked))? {
            Read::Entry(entry) => entries.push(entry),
            Read::Elsewhere(path) => elsewhere = elsewhere.or(Some(path)),
        }
    }
    let Some(path) = elsewhere else { return Ok(()) };
    let strangers = page.len() - (entries.len() - before);
    if strangers == page.len() {
        let happened = format!(
            "all entries lie elsewhere, in {:?}: paths begin in another folder for this user or key; use a key of a \
             user without a root folder of their own",
            folder_of(&path)
        );
        return Err(distrust(answer, &happened));
    }
    tracing::warn!(asked = answer.asked, strangers, "left out of a listing: not of this folder");
    Ok(())
}

/// One entry of a page.
enum Read {
    Entry(Entry),
    /// It lies at this path.
    Elsewhere(String),
}

/// An entry whose name can be read. What else there is of it is believed or not: one that is not understood hurts
/// no other.
fn read(folder: &Place<'_>, value: &Value) -> Result<Read, Misread> {
    let fields = Fields::of(value, "entry")?;
    if let Some(path) = fields.text("path")?
        && !folder.holds(path)
    {
        return Ok(Read::Elsewhere(path.to_owned()));
    }
    let name = wire::name(fields)?;
    Ok(Read::Entry(wire::entry(fields, None).unwrap_or_else(|misread| {
        tracing::debug!(name, ?misread, "an entry of a listing is not understood");
        Entry::unknown(name.to_owned())
    })))
}

fn distrust(answer: &Answer, happened: &str) -> Error {
    Error::new(ErrorKind::Protocol, &answer.asked, happened).with(|d| d.status = Some(answer.status))
}
