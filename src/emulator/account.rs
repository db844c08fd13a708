//! Logins, and what a caller may learn of itself and of the site.

use serde_json::{Value, json};

use super::auth::{Letters, Session, is_open};
use super::call::{Call, Reply};
use super::clock::Time;
use super::clock::rfc3339;
use super::errors::ApiError;
use super::hex::{random_id, random_session};
use super::params::Params;
use super::settings::{PermissionSet, Settings};
use super::state::World;
use super::tree::Kind;

/// `POST /sessions`, the only call without credentials.
pub(super) fn log_in(
    world: &mut World,
    settings: &Settings,
    params: &Params,
    now: Time,
    brings_key: bool,
) -> Result<Reply, ApiError> {
    if brings_key {
        return Err(ApiError::new(
            "not-authenticated/api-key-sessions-not-supported",
            "Sessions cannot be made with an API key.",
        ));
    }
    let half = params.text("partial_session_id");
    let (user, letters, name) = if let Some(id) = half {
        let at = world.half_sessions.get(&id).copied().ok_or_else(wrong_password)?;
        let user = settings.users.get(at).ok_or_else(wrong_password)?;
        if params.text("otp") != user.otp {
            return Err(ApiError::new(
                "not-authenticated/one-time-password-incorrect",
                "The one-time password is incorrect.",
            ));
        }
        world.half_sessions.remove(&id);
        (at, user.permissions.as_str(), user.name.clone())
    } else {
        let name = params.text("username").ok_or_else(wrong_password)?;
        let password = params.text("password").ok_or_else(wrong_password)?;
        let found = settings.users.iter().enumerate().find(|(_, u)| u.name == name && u.password == password);
        match found {
            Some((at, user)) if user.otp.is_some() => return Err(second_step(world, at)),
            Some((at, user)) => (at, user.permissions.as_str(), name),
            None if is_open(settings) => (0, "lrwod", name),
            None => return Err(wrong_password()),
        }
    };
    let id = random_session();
    let until = now.plus_seconds(settings.session_seconds);
    let session = Session { user: user as u64 + 1, name, letters: Letters::of(letters), until };
    world.sessions.insert(id.clone(), session);
    Reply::json(
        201,
        &json!({
            "id": id, "language": null, "max_dir_listing_size": 100_000,
            "sftp_insecure_ciphers": false, "ssl_required": true, "timeout_at": until.with_offset(),
            "tls_disabled": false,
            "calculate_file_checksums_crc32": settings.crc32, "calculate_file_checksums_md5": settings.md5,
            "calculate_file_checksums_sha1": false, "calculate_file_checksums_sha256": false,
            "legacy_checksums_mode": true, "user_belongs_to_parent_site": false,
        }),
    )
}

fn wrong_password() -> ApiError {
    ApiError::new("not-authenticated/invalid-username-or-password", "Invalid username or password")
}

fn second_step(world: &mut World, at: usize) -> ApiError {
    let id = random_id();
    world.half_sessions.insert(id.clone(), at);
    let mut error = ApiError::new(
        "not-authenticated/two-factor-authentication-error",
        "Two-factor authentication is required.",
    );
    error.data = Some(json!({"partial_session_id": id, "two_factor_authentication_methods": ["totp"]}));
    error
}

pub(super) fn log_out(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    world.sessions.remove(&call.caller.secret);
    Ok(Reply::empty(204))
}

pub(super) fn api_key(call: &Call<'_>) -> Result<Reply, ApiError> {
    let caller = call.caller;
    if caller.is_session {
        return Err(ApiError::new(
            "not-authorized/must-authenticate-with-api-key",
            "This is only possible with an API key.",
        ));
    }
    let set = match caller.permission_set {
        PermissionSet::Full => "full",
        PermissionSet::FilesOnly => "files_only",
    };
    Reply::json(
        200,
        &json!({
            "id": caller.author.key, "descriptive_label": caller.name, "description": "",
            "created_at": "2026-01-01T00:00:00Z", "expires_at": caller.expires_at.map(rfc3339),
            "key": format!("{}…", caller.secret.chars().take(4).collect::<String>()),
            "aws_style_credentials": false, "last_use_at": call.now.rfc3339(),
            "name": caller.name, "permission_set": set, "platform": null, "path": caller.path,
            "site_id": 1, "site_name": call.settings.site, "url": null,
            "user_id": null, "workspace_id": 0,
        }),
    )
}

pub(super) fn user(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::json(
        200,
        &json!({
            "id": call.caller.author.user.unwrap_or(1), "username": call.caller.name,
            "name": call.caller.name, "email": null, "site_admin": true, "readonly_site_admin": false,
            "self_managed": true, "user_root": "", "user_home": "", "time_zone": "UTC", "language": null,
            "created_at": "2026-01-01T00:00:00-05:00", "last_login_at": null, "workspace_id": 0,
        }),
    )
}

pub(super) fn site(call: &Call<'_>) -> Result<Reply, ApiError> {
    let settings = call.settings;
    Reply::json(
        200,
        &json!({
            "id": 1, "name": settings.site, "subdomain": settings.site, "domain": null,
            "calculate_file_checksums_crc32": settings.crc32, "calculate_file_checksums_md5": settings.md5,
            "calculate_file_checksums_sha1": false, "calculate_file_checksums_sha256": false,
            "legacy_checksums_mode": false,
            "days_to_retain_backups": 30,
            "immutable_files_set_at": settings.immutable.then_some("2026-01-01T00:00:00Z"),
            "always_mkdir_parents": settings.always_mkdir_parents, "ask_about_overwrites": false,
            "use_provided_modified_at": settings.use_provided_modified_at,
            "session_expiry_minutes": settings.session_seconds.div_ceil(60),
            "opt_out_global": false, "custom_namespace": false, "ssl_required": true,
            "overdue": false, "trial_days_left": null, "trial_until": null, "region": "us-east-1",
        }),
    )
}

pub(super) fn usage(world: &World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let bytes: u64 = world
        .tree
        .ids()
        .filter_map(|id| match &world.tree.get(id)?.kind {
            Kind::File(object) => Some(object.size),
            Kind::Folder(_) => None,
        })
        .sum();
    let gigabytes = bytes as f64 / 1e9;
    Reply::json(
        200,
        &json!({
            "id": 1, "created_at": call.now.rfc3339(), "start_at": call.now.rfc3339(), "end_at": Value::Null,
            "current_storage": gigabytes, "high_water_storage": gigabytes, "usage_by_top_level_dir": {},
            "total_uploads": 0, "total_downloads": 0,
        }),
    )
}
