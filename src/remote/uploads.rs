//! Uploads: begin, one signed URL per part, the parts, completion.
//!
//! Nothing is visible at the service before the completion, and the completion makes the whole file
//! appear at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::call::Call;
use super::client::{Client, flow_of, learn};
use super::deadline;
use super::doubt::in_doubt;
use super::error::Error;
use super::error_kind::ErrorKind;
use super::places::Place;
use super::retry::{Patience, Repeat, stall_limit};
use super::secret::Secret;
use super::signed::SignedUrl;
use super::slots::{Lane, Slot};
use super::storage::{self, Gauge, Watched};
use super::transport::Answer;
use super::wire::{self, Fields, Misread, to_api_time};
use crate::model::cause::Cause;
use crate::model::digest::{ETag, Md5};
use crate::model::entry::{Entry, Kind};
use crate::model::fair::Flow;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;

/// The service's name for one upload. Opaque; it survives a restart as its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadRef(String);

impl fmt::Display for UploadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// An upload that has begun.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Names the upload in every further call.
    pub reference: UploadRef,
    /// Where part 1 goes.
    pub first: PartSlot,
    /// Several parts may travel at once, which the service says where it is so; otherwise one after the other, in order.
    pub parallel_parts: bool,
    /// The part size that the service recommends, in bytes.
    pub recommended_part_size: u64,
}

/// Where one part goes: a signed URL, good for some minutes.
#[derive(Debug, Clone)]
pub struct PartSlot {
    /// Number of the part, from 1.
    pub number: u32,
    /// The signed URL.
    pub(super) url: SignedUrl,
    /// Headers that the service wants with the bytes; part of the permission, like the URL.
    pub(super) headers: Vec<(String, Secret)>,
    /// The part may be sent again after a failure.
    pub(super) repeatable: bool,
    /// What error lines call this part.
    pub(super) asked: String,
    /// All parts of the file.
    flow: Flow,
}

impl PartSlot {
    /// The URL is about to run out, or has: [`Client::begin_part`] gives another.
    pub fn is_expired(&self) -> bool {
        self.url.is_expired()
    }
}

/// What makes the parts a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The upload.
    pub reference: UploadRef,
    /// Every part with the ETag that the storage answered. They name the bytes, so all are given.
    pub etags: Vec<(u32, ETag)>,
    /// Bytes of all parts together.
    pub size: u64,
    /// Modification time; the service keeps whole seconds.
    pub mtime: Option<Moment>,
    /// `custom_metadata`.
    pub metadata: BTreeMap<String, String>,
}

impl Client {
    /// Begins an upload of `size` bytes to `path`, where that is known already. Missing parent folders are made
    /// at once.
    ///
    /// # Errors
    /// Permissions, names, rules of the folder. May be repeated: it only opens another upload.
    pub async fn begin_upload(&self, path: &RemotePath, size: Option<u64>) -> Result<Upload, Error> {
        let mut parameters = json!({ "mkdir_parents": true, "part": 1 });
        if let Some(size) = size {
            parameters["size"] = size.into();
        }
        let answer = self.call(begin(path, parameters)).await?;
        let value = answer.json()?;
        let misread = |misread: Misread| misread.error(&answer.asked);
        let fields = first_part(&value).map_err(misread)?;
        let reference = fields.text("ref").and_then(|text| text.ok_or_else(|| Misread::new("ref", "there")));
        Ok(Upload {
            reference: UploadRef(reference.map_err(misread)?.to_owned()),
            parallel_parts: fields.truth("parallel_parts").map_err(misread)?.unwrap_or(false),
            recommended_part_size: fields.number("partsize").map_err(misread)?.unwrap_or(USUAL_PART_SIZE),
            first: self.slot(path, 1, fields, &answer)?,
        })
    }

    /// A (fresh) URL for one part.
    ///
    /// # Errors
    /// [`ErrorKind::UploadLost`]: the service has forgotten the upload.
    pub async fn begin_part(
        &self,
        path: &RemotePath,
        reference: &UploadRef,
        number: u32,
    ) -> Result<PartSlot, Error> {
        // The first part made the folders; one that was removed since must not come back.
        let parameters = json!({ "ref": reference.0, "part": number });
        let answer = self.call(begin(path, parameters)).await?;
        let value = answer.json()?;
        let fields = first_part(&value).map_err(|misread| misread.error(&answer.asked))?;
        self.slot(path, number, fields, &answer)
    }

    /// Reads where a part goes. Other instructions than "put the bytes there" are refused: they would
    /// store something else than the bytes.
    fn slot(
        &self,
        path: &RemotePath,
        number: u32,
        fields: Fields<'_>,
        answer: &Answer,
    ) -> Result<PartSlot, Error> {
        let read = || -> Result<_, Misread> {
            let url = fields.text("upload_uri")?.ok_or_else(|| Misread::new("upload_uri", "there"))?;
            if fields.text("http_method")?.is_some_and(|method| !method.eq_ignore_ascii_case("PUT")) {
                return Err(Misread::new("http_method", "\"PUT\""));
            }
            if !fields.texts("parameters")?.is_empty() {
                return Err(Misread::new("parameters", "empty"));
            }
            if fields.texts("send")?.keys().any(|key| key != "partsize" && key != "partdata") {
                return Err(Misread::new("send", "the size and the bytes of the part"));
            }
            if fields.number("part_number")?.is_some_and(|told| told != u64::from(number)) {
                return Err(Misread::new("part_number", "the part that was asked for"));
            }
            Ok((url, fields.texts("headers")?, fields.truth("retry_parts")?.unwrap_or(true)))
        };
        let (url, headers, repeatable) = read().map_err(|misread| misread.error(&answer.asked))?;
        let url = storage::check(url, &self.0.options.base, &answer.asked)?;
        Ok(PartSlot {
            number,
            url: SignedUrl::new(url, answer.began.into_std()),
            headers: headers.into_iter().map(|(name, value)| (name, Secret::from(value))).collect(),
            repeatable,
            asked: format!("PUT of part {number} of {path}"),
            flow: flow_of(path.as_str()),
        })
    }

    /// Sends the bytes of one part; what is transient is tried again. The ETag is not compared here.
    ///
    /// # Errors
    /// [`ErrorKind::UrlExpired`]: ask [`Self::begin_part`] and send again. [`ErrorKind::UploadLost`]
    /// where a part that the service takes only once did not arrive.
    pub async fn put_part(&self, slot: &PartSlot, body: Bytes) -> Result<ETag, Error> {
        let md5 = Md5::of(&body);
        let mut patience = Patience::new(Instant::now(), self.0.options.network_timeout);
        let place = self.0.place(Lane::Uploads, slot.flow, None, &mut patience, &slot.asked).await?;
        self.put_part_in(place, slot, (body, md5), Gauge::default()).await
    }

    /// A place among the uploads, for a part of the file at `path`. On a slow line it may be long in coming:
    /// whoever asks for the part's URL afterwards gets one with all its life before it.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`]: the service asked for a longer pause than anybody waits.
    pub async fn place_for_part(&self, path: &RemotePath) -> Result<Slot, Error> {
        let mut patience = Patience::new(Instant::now(), self.0.options.network_timeout);
        let asked = "a place among the uploads";
        self.0.place(Lane::Uploads, flow_of(path.as_str()), None, &mut patience, asked).await
    }

    /// As [`Self::put_part`], in a place that was taken before, for bytes whose MD5 is known. `gauge` counts the bytes as
    /// they leave; those of attempts that failed it does not count any more.
    ///
    /// # Errors
    /// As there.
    pub async fn put_part_in(
        &self,
        place: Slot,
        slot: &PartSlot,
        (body, md5): (Bytes, Md5),
        gauge: Gauge,
    ) -> Result<ETag, Error> {
        let inner = &self.0;
        let mut patience = Patience::new(Instant::now(), inner.options.network_timeout);
        let (mut place, mut before) = (Some(place), None);
        let repeat = if slot.repeatable { Repeat::Freely } else { Repeat::IfNothingHappened };
        let (mut stalled, mut watched) = (false, Watched::new(gauge));
        loop {
            let mut held = match place.take() {
                Some(place) => place,
                None => {
                    inner.place(Lane::Uploads, slot.flow, before.take(), &mut patience, &slot.asked).await?
                }
            };
            if slot.is_expired() {
                return Err(Error::new(ErrorKind::UrlExpired, &slot.asked, "the signed URL has run out"));
            }
            held.begins();
            let bytes = (body.clone(), md5);
            let (moved, result) = inner.put(&slot.url, &slot.headers, bytes, &mut watched, &slot.asked).await;
            learn(&mut held, &result, body.len() as u64);
            drop(held);
            match result {
                Ok(response) => {
                    deadline::progressed();
                    return Ok(storage::etag_of_part(response.headers()));
                }
                Err(error) => {
                    // Time counts from the last byte that moved, and is left for one attempt after a
                    // stall. For one: each attempt moves some bytes, into buffers at least, and a line
                    // that went dead would be tried for ever.
                    let (now, dead) = (Instant::now(), error.kind() == ErrorKind::Timeout);
                    if let Some(moved) = moved.filter(|_| !(dead && stalled)) {
                        let half = now.checked_sub(stall_limit(inner.options.network_timeout));
                        patience.progressed(moved.max(half.unwrap_or(now)));
                    }
                    stalled |= dead;
                    before = Some(error.clone());
                    let wait = patience.after(error, repeat, now, rand::random());
                    if let Err(error) = &wait {
                        inner.reach.learn_of_room(error);
                    }
                    let wait = wait.map_err(|error| match error.kind() {
                        ErrorKind::OutcomeUnknown => error.with(|d| d.kind = ErrorKind::UploadLost),
                        _ => error,
                    })?;
                    inner.counters.repeated();
                    sleep(wait).await;
                }
            }
        }
    }

    /// Makes the file appear at `path`, which may be another than the one that the upload began with. In doubt, only
    /// what was `sought` there is a success; nothing is completed twice that shows there.
    /// The entry's name may differ from the one asked for, where a setting of the site renames what
    /// would be overwritten.
    ///
    /// # Errors
    /// One that [is in doubt](Error::is_in_doubt) may have been done all the same, and does not show.
    /// [`ErrorKind::UploadLost`]: begin afresh with all parts.
    pub async fn complete_upload(
        &self,
        path: &RemotePath,
        completion: &Completion,
        sought: &Sought,
    ) -> Result<Entry, Error> {
        let call = Call::post("complete", "/files", completion.parameters()).path(path).only_once();
        // What is replaced may hold the same bytes.
        let is_old =
            |entry: &Entry| sought.replaces.is_some_and(|old| old.is_same_version(&entry.fingerprint()));
        let mut doubt = self.doubt();
        loop {
            let answer = self.call(call.clone()).await;
            match answer.and_then(|answer| completed(&answer, path).map_err(in_doubt)) {
                Ok(entry) => {
                    self.0.reach.close(Cause::Quota);
                    return Ok(entry);
                }
                Err(error) => doubt.after(error)?,
            }
            if let Some(Some(entry)) = doubt.look(self.find(path, sought)).await
                && !is_old(&entry)
            {
                return Ok(entry);
            }
            doubt.ask_again().await?;
        }
    }

    /// The entry of `path`, where it holds what is `sought`.
    ///
    /// # Errors
    /// As of [`Self::stat`] and [`Self::object`].
    pub async fn find(&self, path: &RemotePath, sought: &Sought) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.stat(path).await? else { return Ok(None) };
        if entry.kind != Kind::File || entry.size != sought.size {
            return Ok(None);
        }
        let is_it = match entry.md5 {
            Some(md5) => md5 == sought.md5,
            None => match self.object(path).await {
                Ok((_, etag)) => etag.as_ref() == Some(&sought.object),
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            },
        };
        Ok(is_it.then_some(entry))
    }
}

/// The file that a completion answered, under whatever name it was stored in the folder.
fn completed(answer: &Answer, path: &RemotePath) -> Result<Entry, Error> {
    let value = answer.json()?;
    let read = || {
        let fields = Fields::of(&value, "entry")?;
        if let (Some(stated), Some(folder)) = (fields.text("path")?, path.parent())
            && !Place::new(&folder).holds(stated)
        {
            return Err(Misread::new("path", "in the folder that was asked for"));
        }
        if fields.number("size")?.is_none() {
            return Err(Misread::new("size", "there"));
        }
        wire::entry(fields, Some(Kind::File))
    };
    read().map_err(|misread| misread.error(&answer.asked))
}

/// What a file is known by that may have been made already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Bytes.
    pub size: u64,
    /// Their MD5.
    pub md5: Md5,
    /// What the storage calls an object of these parts.
    pub object: ETag,
    /// The version that it replaces, and that it is not.
    pub replaces: Option<Fingerprint>,
}

impl Completion {
    fn parameters(&self) -> Value {
        let etags: Vec<Value> = self
            .etags
            .iter()
            .map(|(part, etag)| json!({ "etag": etag.to_string(), "part": part.to_string() }))
            .collect();
        let mut parameters = Map::new();
        parameters.insert("action".into(), "end".into());
        parameters.insert("ref".into(), self.reference.0.as_str().into());
        parameters.insert("etags".into(), etags.into());
        parameters.insert("size".into(), self.size.into());
        parameters.insert("mkdir_parents".into(), true.into());
        if let Some(mtime) = self.mtime {
            parameters.insert("provided_mtime".into(), to_api_time(mtime).into());
        }
        if !self.metadata.is_empty() {
            parameters.insert("custom_metadata".into(), json!(self.metadata));
        }
        parameters.into()
    }
}

/// The part size where the service recommends none: the smallest that the storage takes.
const USUAL_PART_SIZE: u64 = 5 << 20;

/// It only opens an upload or makes a URL: it may be repeated.
fn begin(path: &RemotePath, parameters: Value) -> Call {
    Call::post("begin_upload", "/file_actions/begin_upload", parameters).path(path)
}

/// The answer is a list of one part; an older call answers the part itself.
fn first_part(value: &Value) -> Result<Fields<'_>, Misread> {
    Fields::of(value.get(0).unwrap_or(value), "part")
}
