//! `GET /files`: where the content is, as a signed URL.

use super::auth::Need;
use super::call::{Call, Reply};
use super::entities::{entity_of, mime_type};
use super::errors::ApiError;
use super::state::World;
use super::storage::OBJECTS;
use super::tree::{Kind, ROOT};

pub(super) fn download(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let action = call.params.text("action");
    let is_stat = action.as_deref() == Some("stat");
    call.demand(call.path(), if is_stat { Need::See } else { Need::Read })?;
    let id = world.tree.find(call.path()).filter(|id| *id != ROOT).ok_or_else(ApiError::not_found)?;
    let node = world.tree.get(id).ok_or_else(ApiError::not_found)?;
    let Kind::File(object) = &node.kind else {
        return Err(ApiError::new("bad-request/cannot-download-directory", "cannot download folder"));
    };
    let mut entity = entity_of(call, &world.tree, id).ok_or_else(ApiError::not_found)?;
    if is_stat {
        return Ok(Reply::json(200, &entity)?.cacheable());
    }
    let life = call.settings.download_url_seconds;
    let url = call.signer.url(
        call,
        "GET",
        &format!("{OBJECTS}{}", object.id),
        life,
        &[
            ("response-cache-control", "no-cache, no-store"),
            ("response-content-disposition", &disposition(&node.name)),
            ("response-content-type", mime_type(&node.name)),
        ],
    );
    world.grants.add(object.clone(), call.path(), call.now, life);
    if action.as_deref() == Some("redirect") {
        let mut reply = Reply::empty(302);
        reply.headers.push(("location", url));
        return Ok(reply);
    }
    entity.download_uri = Some(url);
    Ok(Reply::json(200, &entity)?.cacheable())
}

/// Plain names are quoted; all others are given in the extended form alone.
fn disposition(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.bytes().all(is_plain) {
        return format!("attachment; filename=\"{name}\"");
    }
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename*=UTF-8''{encoded}")
}
