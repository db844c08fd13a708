//! Uploads: begun, continued, completed.
//!
//! Nothing is visible at the path before completion, and what was there stays as it was; only missing
//! parents are made at once. The path given at completion decides where the file goes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::auth::Need;
use super::call::{Call, Reply};
use super::clock::{self, Time};
use super::entities::entity_of;
use super::errors::ApiError;
use super::faults::Effect;
use super::folders::metadata_of;
use super::names;
use super::object::{Object, Part};
use super::params::{Params, text_of};
use super::settings::Settings;
use super::state::{World, split};
use super::storage::OBJECTS;
use super::tree::Node;

/// The most parts that one answer gives URLs for; unknown of the real service.
const MOST_SLOTS: u64 = 100;

/// A part as the storage keeps it, and the ETag that its sender was told.
#[derive(Debug, Clone)]
pub(super) struct StoredPart {
    pub(super) part: Arc<Part>,
    pub(super) etag: String,
}

#[derive(Debug)]
pub(super) struct Upload {
    /// As it was begun.
    pub(super) path: String,
    object: String,
    begun: Time,
    mkdir_parents: bool,
    provided_mtime: Option<i64>,
    pub(super) parts: BTreeMap<u32, StoredPart>,
    pub(super) is_completed: bool,
}

/// All uploads that were begun and are not forgotten.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    by_number: HashMap<u64, Upload>,
    begun: VecDeque<(Time, u64)>,
    next: u64,
}

impl Uploads {
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Upload> {
        self.by_number.get_mut(&number)
    }

    fn open(&mut self, upload: Upload, life: u64) -> u64 {
        let now = upload.begun;
        while let Some((begun, number)) = self.begun.front()
            && now >= begun.plus_seconds(life)
        {
            self.by_number.remove(number);
            self.begun.pop_front();
        }
        // The real numbers have eleven digits.
        self.next += 1;
        let number = 13_456_000_000 + self.next;
        self.begun.push_back((now, number));
        self.by_number.insert(number, upload);
        number
    }

    /// The upload that a `ref` names.
    fn find(
        &mut self,
        params: &Params,
        now: Time,
        settings: &Settings,
    ) -> Result<(u64, &mut Upload), ApiError> {
        let reference = params.text("ref").ok_or_else(|| ApiError::required("ref"))?;
        reference
            .strip_prefix("put-")
            .and_then(|number| number.parse().ok())
            .and_then(|number| Some((number, self.by_number.get_mut(&number)?)))
            .filter(|(_, upload)| now < upload.begun.plus_seconds(settings.upload_seconds))
            .ok_or_else(|| ApiError::new("not-found/file-upload-not-found", "The file upload was not found."))
    }
}

fn already_completed() -> ApiError {
    ApiError::new("processing-failure/already-completed", "The upload was already completed.")
}

/// May this caller put a file there?
fn check_target(world: &World, call: &Call<'_>, path: &str) -> Result<(), ApiError> {
    if path.is_empty() {
        return Err(ApiError::new("bad-request/invalid-path", "The path is not valid."));
    }
    names::check(path, false, call.settings.longest_name)?;
    call.demand(path, Need::Write)?;
    if let Some(id) = world.tree.find(path) {
        if world.tree.get(id).is_some_and(Node::is_folder) {
            return Err(ApiError::exists());
        }
        if !(call.settings.overwrite_renames || call.params.flag("with_rename")) {
            call.demand(path, Need::Overwrite)?;
        }
    }
    world.check_lock(path, call)
}

/// `begin_upload`, and its older form `POST /files` with `action=put`, which answers one object.
pub(super) fn begin(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    for unsupported in ["restart", "length"] {
        if call.params.has(unsupported) {
            return Err(ApiError::new("bad-request/invalid-upload-offset", "Offsets are not supported."));
        }
    }
    let action = call.params.text("action");
    if !matches!(action.as_deref(), None | Some("put" | "upload")) {
        return Err(ApiError::invalid("This form of upload is not supported."));
    }
    // The newest official client asks for several parts at once when it continues an upload.
    let count = call.params.number("parts")?.unwrap_or(1).clamp(1, MOST_SLOTS);
    let part = call.params.number("part")?.unwrap_or(1);
    let part = u32::try_from(part)
        .ok()
        .filter(|part| *part <= call.settings.parts_max)
        .ok_or_else(|| ApiError::new("bad-request/part-number-too-large", "The part number is too large."))?;
    if part == 0 {
        return Err(ApiError::invalid("part must be positive"));
    }
    let number = if call.params.has("ref") {
        call.demand(call.path(), Need::Write)?;
        let (number, upload) = world.uploads.find(call.params, call.now, call.settings)?;
        if upload.is_completed {
            return Err(already_completed());
        }
        number
    } else {
        check_target(world, call, call.path())?;
        let make = call.params.flag("mkdir_parents") || call.settings.always_mkdir_parents;
        let provided_mtime = provided_mtime(call)?;
        world.parent_for(call.path(), make, call.now, call.caller.author)?;
        let upload = Upload {
            path: call.path().to_owned(),
            object: super::hex::random_id(),
            begun: call.now,
            mkdir_parents: make,
            provided_mtime,
            parts: BTreeMap::new(),
            is_completed: false,
        };
        world.uploads.open(upload, call.settings.upload_seconds)
    };
    let upload = world.uploads.get_mut(number).ok_or_else(ApiError::not_found)?;
    if call.route.is_old_form {
        // The official JavaScript client completes under the path that it finds here.
        let mut slot = slot(call, number, &upload.object, part);
        slot["path"] = json!(call.path());
        return Reply::json(200, &slot);
    }
    let last = part.saturating_add(u32::try_from(count).unwrap_or(1)).min(call.settings.parts_max + 1);
    let slots: Vec<Value> = (part..last).map(|part| slot(call, number, &upload.object, part)).collect();
    Reply::json(200, &slots)
}

fn slot(call: &Call<'_>, number: u64, object: &str, part: u32) -> Value {
    let settings = call.settings;
    let life = settings.upload_url_seconds;
    let more = [
        ("partNumber", part.to_string()),
        ("response-content-type", super::entities::mime_type(call.path()).to_owned()),
        ("uploadId", number.to_string()),
    ];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = call.signer.url(call, "PUT", &format!("{OBJECTS}{object}"), life, &more);
    json!({
        "send": {"partsize": "required-header Content-Length", "partdata": "body"},
        "action": "put/write",
        "ask_about_overwrites": false,
        "available_parts": settings.parts_max,
        "expires": call.now.plus_seconds(life).rfc3339(),
        "headers": {},
        "http_method": "PUT",
        "next_partsize": settings.next_part_size,
        "parallel_parts": settings.parallel_parts,
        "retry_parts": true,
        "parameters": {},
        "part_number": part,
        "partsize": settings.part_size,
        "ref": format!("put-{number}"),
        "upload_uri": url,
    })
}

/// `POST /files` with `action=end`: the file appears.
pub(super) fn complete(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let path = match call.effect {
        Some(Effect::CompleteElsewhere { path }) => path.as_str(),
        _ => call.path(),
    };
    check_target(world, call, path)?;
    let given_mtime = provided_mtime(call)?;
    let metadata = metadata_of(call)?.filter(|_| call.settings.metadata_at_completion);
    let (number, upload) = world.uploads.find(call.params, call.now, call.settings)?;
    if upload.is_completed {
        return Err(already_completed());
    }
    let parts = listed_parts(upload, call)?;
    check_sizes(&parts, call)?;
    let make =
        call.params.flag("mkdir_parents") || upload.mkdir_parents || call.settings.always_mkdir_parents;
    let provided_mtime = given_mtime.or(upload.provided_mtime);
    let author = call.caller.author;
    let parent = world.parent_for(path, make, call.now, author)?;

    let object = Arc::new(Object::new(parts, call.settings, call.now));
    if call.settings.md5 && object.md5.get().is_none() {
        // All of a large file has to be read: nobody may wait for that under the lock.
        let object = object.clone();
        tokio::task::spawn_blocking(move || object.md5());
    }
    let (_, mut name) = split(path);
    let numbered;
    if (call.settings.overwrite_renames || call.params.flag("with_rename"))
        && let Some(free) = (world.tree.child(parent, name).is_some())
            .then(|| (2..).map(|n| names::numbered(name, n)).find(|n| world.tree.child(parent, n).is_none()))
            .flatten()
    {
        numbered = free;
        name = &numbered;
    }
    let respell = call.settings.overwrite_respells;
    let (id, replaced) = world.put_file(parent, name, object, respell, (call.now, author));
    if let Some(node) = world.tree.edit(id) {
        node.provided_mtime = provided_mtime;
        node.metadata = metadata.unwrap_or_default();
    }
    if let Some(upload) = world.uploads.get_mut(number) {
        upload.is_completed = true;
        upload.parts.clear();
    }
    let mut entity = entity_of(call, &world.tree, id).ok_or_else(ApiError::not_found)?;
    entity.without_digests();
    Ok(Reply::json(if replaced { 200 } else { 201 }, &entity)?.cacheable())
}

/// The parts that the client lists, or all where it lists none.
fn listed_parts(upload: &Upload, call: &Call<'_>) -> Result<Vec<Arc<Part>>, ApiError> {
    let invalid = || ApiError::new("bad-request/invalid-etags", "The ETags do not fit the stored parts.");
    let mut listed = Vec::new();
    for element in call.params.list("etags").unwrap_or_default() {
        let field = |name: &str| element.get(name).and_then(text_of);
        let part: u32 = field("part").and_then(|part| part.parse().ok()).ok_or_else(invalid)?;
        listed.push((part, field("etag").ok_or_else(invalid)?));
    }
    listed.sort();
    let numbers: Vec<u32> = if listed.is_empty() {
        upload.parts.keys().copied().collect()
    } else {
        listed.iter().map(|(part, _)| *part).collect()
    };
    if numbers.is_empty() {
        return Err(ApiError::new("processing-failure/file-not-uploaded", "The file was not uploaded."));
    }
    if numbers.iter().zip(1..).any(|(number, wanted)| *number != wanted) {
        return Err(ApiError::new("bad-request/invalid-upload-part-gap", "Part numbers must have no gap."));
    }
    for (part, etag) in &listed {
        let stored = upload.parts.get(part).ok_or_else(invalid)?;
        let is_null = call.settings.opaque_etags && (etag == "null" || etag.is_empty());
        if etag.trim_matches('"') != stored.etag && !is_null {
            return Err(invalid());
        }
    }
    Ok(numbers.iter().filter_map(|number| Some(upload.parts.get(number)?.part.clone())).collect())
}

fn check_sizes(parts: &[Arc<Part>], call: &Call<'_>) -> Result<(), ApiError> {
    if let Some((_, all_but_last)) = parts.split_last()
        && all_but_last.iter().any(|part| part.len < call.settings.part_size_min)
    {
        return Err(ApiError::new(
            "bad-request/invalid-upload-part-size",
            "Parts other than the last must not be smaller than 5 MiB.",
        ));
    }
    let stored: u64 = parts.iter().map(|part| part.len).sum();
    if call.params.number("size")?.is_some_and(|size| size != stored) {
        return Err(ApiError::new(
            "processing-failure/file-not-uploaded",
            "The size is not what was stored.",
        ));
    }
    Ok(())
}

/// The time that the client gives, as the site keeps it.
pub(super) fn provided_mtime(call: &Call<'_>) -> Result<Option<i64>, ApiError> {
    let given = call.params.text("provided_mtime");
    let given = given.map(|text| clock::given("provided_mtime", &text)).transpose()?;
    Ok(given.filter(|_| call.settings.use_provided_modified_at))
}
