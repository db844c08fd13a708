//! Files and folders as the API shows them.
//!
//! One shape for both, in listings and in single answers; fields without a value are there as null.

use serde::Serialize;
use std::collections::BTreeMap;

use super::call::Call;
use super::clock;
use super::hex::hex;
use super::tree::{Kind, Node, Tree};

#[derive(Serialize)]
pub(super) struct Entity<'a> {
    path: String,
    created_by_id: Option<u64>,
    created_by_api_key_id: Option<u64>,
    created_by_as2_incoming_message_id: Option<u64>,
    created_by_automation_id: Option<u64>,
    created_by_bundle_registration_id: Option<u64>,
    created_by_inbox_id: Option<u64>,
    created_by_remote_server_id: Option<u64>,
    created_by_remote_server_sync_id: Option<u64>,
    custom_metadata: &'a BTreeMap<String, String>,
    display_name: &'a str,
    r#type: &'static str,
    size: Option<u64>,
    created_at: String,
    last_modified_by_id: Option<u64>,
    last_modified_by_api_key_id: Option<u64>,
    last_modified_by_automation_id: Option<u64>,
    last_modified_by_bundle_registration_id: Option<u64>,
    last_modified_by_remote_server_id: Option<u64>,
    last_modified_by_remote_server_sync_id: Option<u64>,
    mtime: String,
    provided_mtime: Option<String>,
    crc32: Option<String>,
    md5: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'static str>,
    permissions: String,
    #[serde(rename = "subfolders_locked?", skip_serializing_if = "Option::is_none")]
    subfolders_locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_color: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) download_uri: Option<String>,
}

/// One node. `path` is its stored path, which whoever lists a folder knows without looking.
pub(super) fn entity<'a>(call: &Call<'_>, node: &'a Node, path: String) -> Entity<'a> {
    let settings = call.settings;
    let object = match &node.kind {
        Kind::File(object) => Some(object),
        Kind::Folder(_) => None,
    };
    let is_folder = object.is_none();
    // Digests appear some time after completion, and an MD5 not before somebody has computed it.
    let stated = object.filter(|_| call.now >= node.created_at.plus_ms(settings.checksum_delay_ms));
    let permissions = call.letters(&path).shown();
    Entity {
        path,
        created_by_id: node.created_by.user,
        created_by_api_key_id: node.created_by.key,
        created_by_as2_incoming_message_id: None,
        created_by_automation_id: None,
        created_by_bundle_registration_id: None,
        created_by_inbox_id: None,
        created_by_remote_server_id: None,
        created_by_remote_server_sync_id: None,
        custom_metadata: &node.metadata,
        display_name: &node.name,
        r#type: if is_folder { "directory" } else { "file" },
        size: object.map(|object| object.size),
        created_at: node.created_at.rfc3339(),
        last_modified_by_id: node.modified_by.user,
        last_modified_by_api_key_id: node.modified_by.key,
        last_modified_by_automation_id: None,
        last_modified_by_bundle_registration_id: None,
        last_modified_by_remote_server_id: None,
        last_modified_by_remote_server_sync_id: None,
        mtime: node.mtime.rfc3339(),
        provided_mtime: node.provided_mtime.map(clock::rfc3339),
        crc32: stated.filter(|_| settings.crc32).map(|object| format!("{:x}", object.crc32)),
        md5: stated.filter(|_| settings.md5).and_then(|object| object.md5.get()).map(|md5| hex(md5)),
        sha1: None,
        sha256: None,
        mime_type: object.map(|_| mime_type(&node.name)),
        region: object.map(|_| "us-east-1"),
        permissions,
        subfolders_locked: is_folder.then_some(false),
        is_locked: is_folder.then_some(false),
        priority_color: call.params.flag("with_priority_color").then_some(node.priority_color.as_deref()),
        download_uri: None,
    }
}

/// One node by its number; `None` when there is none.
pub(super) fn entity_of<'a>(call: &Call<'_>, tree: &'a Tree, id: u64) -> Option<Entity<'a>> {
    Some(entity(call, tree.get(id)?, tree.path(id)))
}

/// By the extension alone.
pub(super) fn mime_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("txt") => "text/plain",
        Some("html" | "htm") => "text/html",
        Some("css") => "text/css",
        Some("csv") => "text/csv",
        Some("xml") => "application/xml",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        Some("gz") => "application/x-gzip",
        Some("zip") => "application/zip",
        Some("tar") => "application/x-tar",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        _ => "application/octet-stream",
    }
}

impl Entity<'_> {
    /// A completion states no digest, whatever the site does.
    pub(super) fn without_digests(&mut self) {
        (self.crc32, self.md5) = (None, None);
    }
}
