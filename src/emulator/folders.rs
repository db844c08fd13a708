//! Stat, new folders, attributes, and deletion.

use std::collections::BTreeMap;

use super::auth::Need;
use super::call::{Call, Reply};
use super::entities::entity_of;
use super::errors::ApiError;
use super::names;
use super::state::{Deletion, World, split};
use super::tree::{Kind, Node, ROOT};
use super::uploads::provided_mtime;

pub(super) fn stat(world: &World, call: &Call<'_>) -> Result<Reply, ApiError> {
    call.demand(call.path(), Need::See)?;
    // The root has no entity.
    let id = world.tree.find(call.path()).filter(|id| *id != ROOT).ok_or_else(ApiError::not_found)?;
    let entity = entity_of(call, &world.tree, id).ok_or_else(ApiError::not_found)?;
    Ok(Reply::json(200, &entity)?.cacheable())
}

pub(super) fn mkdir(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    names::check(call.path(), true, call.settings.longest_name)?;
    call.demand(call.path(), Need::Write)?;
    world.check_lock(call.path(), call)?;
    // Whatever is there, folder or file, also while its deletion is under way.
    if call.path().is_empty() || world.tree.find(call.path()).is_some() {
        return Err(ApiError::exists());
    }
    let provided_mtime = provided_mtime(call)?;
    let make = call.params.flag("mkdir_parents") || call.settings.always_mkdir_parents;
    let author = call.caller.author;
    let parent = world.parent_for(call.path(), make, call.now, author)?;
    let (_, name) = split(call.path());
    let mut folder = Node::new(Kind::Folder(BTreeMap::new()), call.now, author);
    folder.provided_mtime = provided_mtime;
    let id = world.tree.attach(parent, name, folder, None);
    world.tree.touch(parent, call.now);
    Reply::json(201, &entity_of(call, &world.tree, id))
}

/// `PATCH /files`: time, metadata and colour, of files and folders.
pub(super) fn patch(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    call.demand(call.path(), Need::Overwrite)?;
    let id = world.tree.find(call.path()).filter(|id| *id != ROOT).ok_or_else(ApiError::not_found)?;
    world.check_lock(call.path(), call)?;
    let provided_mtime = provided_mtime(call)?;
    let metadata = metadata_of(call)?;
    let color = call.params.text("priority_color");
    if color.as_deref().is_some_and(|color| !COLORS.contains(&color)) {
        return Err(ApiError::new("processing-failure/invalid-priority-color", "This is not a colour."));
    }
    if let Some(node) = world.tree.edit(id) {
        if call.params.is_named("provided_mtime") {
            node.provided_mtime = provided_mtime;
        }
        if let Some(metadata) = metadata {
            if !call.settings.metadata_merges {
                node.metadata.clear();
            }
            node.metadata.extend(metadata);
        }
        if call.params.is_named("priority_color") {
            node.priority_color = color;
        }
        node.modified_by = call.caller.author;
    }
    Reply::json(200, &entity_of(call, &world.tree, id))
}

const COLORS: &[&str] = &["red", "orange", "yellow", "green", "blue", "purple", "pink", "gray"];

/// The metadata that a request gives, within the documented limits.
pub(super) fn metadata_of(call: &Call<'_>) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    let Some(metadata) = call.params.texts("custom_metadata")? else { return Ok(None) };
    let too_long =
        |(key, value): (&String, &String)| key.chars().count() > 256 || value.chars().count() > 1024;
    if metadata.len() > 32 || metadata.iter().any(too_long) {
        return Err(ApiError::invalid(
            "custom_metadata has at most 32 keys of 256 and values of 1024 characters",
        ));
    }
    if call.settings.opaque_etags && !metadata.is_empty() {
        return Err(ApiError::new(
            "processing-failure/metadata-not-supported-on-remotes",
            "Metadata is not supported on remote servers.",
        ));
    }
    Ok(Some(metadata))
}

/// `DELETE /files`: files at once, folders after the delay of the settings.
pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    call.demand(call.path(), Need::Delete)?;
    let id = world.tree.find(call.path()).filter(|id| *id != ROOT).ok_or_else(ApiError::not_found)?;
    world.check_lock(call.path(), call)?;
    let recursive = call.params.flag("recursive");
    if let Some(children) = world.tree.children(id) {
        if !recursive && !children.is_empty() {
            return Err(ApiError::new(
                "processing-failure/folder-not-empty",
                format!("Folder {} not empty", world.tree.path(id)),
            ));
        }
        if call.settings.folder_delete_delay_ms > 0 {
            let due = call.now.plus_ms(call.settings.folder_delete_delay_ms);
            world.deletions.push(Deletion { due, id, recursive });
            return Ok(Reply::empty(204));
        }
    }
    world.remove(id, call.now);
    Ok(Reply::empty(204))
}
