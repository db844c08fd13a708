//! Locks, WebDAV style: by path, with a token and an end.
//!
//! Whether the real service refuses uploads under somebody else's lock is not known; this one does when
//! the lock is exclusive and not open to any user.

use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::clock::Time;
use super::errors::ApiError;
use super::hex::random_id;
use super::names::{Key, components, key};
use super::settings::NameRule;
use super::state::World;

#[derive(Debug)]
pub(super) struct Lock {
    path: String,
    token: String,
    owner: String,
    secret: String,
    timeout: u64,
    until: Time,
    exclusive: bool,
    recursive: bool,
    any_user: bool,
}

impl Lock {
    fn shown(&self) -> Value {
        json!({
            "path": self.path, "timeout": self.timeout, "depth": if self.recursive { "infinity" } else { "0" },
            "recursive": self.recursive, "owner": self.owner,
            "scope": if self.exclusive { "exclusive" } else { "shared" }, "exclusive": self.exclusive,
            "token": self.token, "type": "write", "allow_access_by_any_user": self.any_user,
            "user_id": null, "username": self.owner,
        })
    }
}

fn keys(rule: NameRule, path: &str) -> Vec<Key> {
    components(path).map(|name| key(rule, name)).collect()
}

pub(super) fn lock(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    world.check_lock(call.path(), call)?;
    let timeout = call.params.number("timeout")?.unwrap_or(43_200);
    let lock = Lock {
        path: call.path().to_owned(),
        token: random_id(),
        owner: call.caller.name.clone(),
        secret: call.caller.secret.clone(),
        timeout,
        until: call.now.plus_seconds(timeout),
        exclusive: call.params.flag("exclusive"),
        recursive: call.params.flag("recursive"),
        any_user: call.params.flag("allow_access_by_any_user"),
    };
    let reply = Reply::json(201, &lock.shown());
    world.locks.insert(keys(call.settings.names, call.path()), lock);
    reply
}

pub(super) fn list(world: &World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let at = keys(call.settings.names, call.path());
    let children = call.params.flag("include_children");
    let shown: Vec<Value> = world
        .locks
        .iter()
        .filter(|(path, lock)| call.now < lock.until && (**path == at || children && path.starts_with(&at)))
        .map(|(_, lock)| lock.shown())
        .collect();
    Reply::json(200, &shown)
}

pub(super) fn unlock(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let token = call.params.text("token").ok_or_else(|| ApiError::required("token"))?;
    let at = keys(call.settings.names, call.path());
    world.locks.get(&at).filter(|lock| lock.token == token).ok_or_else(ApiError::not_found)?;
    world.locks.remove(&at);
    Ok(Reply::empty(204))
}

impl World {
    /// Refuses a change under somebody else's exclusive lock.
    pub(super) fn check_lock(&self, path: &str, call: &Call<'_>) -> Result<(), ApiError> {
        if self.locks.is_empty() {
            return Ok(());
        }
        let at = keys(call.settings.names, path);
        let binds = |locked: &Vec<Key>, lock: &Lock| {
            (at == *locked || lock.recursive && at.starts_with(locked))
                && call.now < lock.until
                && lock.exclusive
                && !lock.any_user
                && lock.secret != call.caller.secret
        };
        if self.locks.iter().any(|(locked, lock)| binds(locked, lock)) {
            return Err(ApiError::new("processing-failure/file-locked", "The file is locked."));
        }
        Ok(())
    }
}
