//! Who calls, and what that caller may do.
//!
//! A caller is a key or a session. What it may do under a path is what its own letters and those of the
//! nearest folder with letters have in common.

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::clock::Time;
use super::errors::ApiError;
use super::names;
use super::settings::{PermissionSet, Settings};
use super::state::World;

/// Who made or changed something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Author {
    pub(super) user: Option<u64>,
    pub(super) key: Option<u64>,
}

/// Permissions, as letters: `l` list, `r` read, `w` write new files, `o` overwrite, `d` delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letters(u8);

const ALL: &str = "lrwod";

impl Letters {
    pub(super) fn of(text: &str) -> Self {
        Self(ALL.chars().enumerate().filter(|(_, c)| text.contains(*c)).map(|(at, _)| 1 << at).sum())
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn has(self, letter: char) -> bool {
        ALL.find(letter).is_some_and(|at| self.0 & 1 << at != 0)
    }

    /// As entities show them: there is no letter for overwriting.
    pub(super) fn shown(self) -> String {
        "lrwd".chars().filter(|letter| self.has(*letter)).collect()
    }
}

/// Whoever sent a request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) author: Author,
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) permission_set: PermissionSet,
    pub(super) path: Option<String>,
    pub(super) letters: Letters,
    pub(super) expires_at: Option<i64>,
    pub(super) is_session: bool,
}

impl Caller {
    fn anyone(secret: &str) -> Self {
        Self {
            author: Author { user: None, key: Some(1) },
            name: "any key".into(),
            secret: secret.to_owned(),
            permission_set: PermissionSet::Full,
            path: None,
            letters: Letters::of(ALL),
            expires_at: None,
            is_session: false,
        }
    }
}

/// A login.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) user: u64,
    pub(super) name: String,
    pub(super) letters: Letters,
    pub(super) until: Time,
}

/// With neither keys nor users, everybody is let in.
pub(super) fn is_open(settings: &Settings) -> bool {
    settings.keys.is_empty() && settings.users.is_empty()
}

/// Finds out who calls. A key wins over a session.
pub(super) fn authenticate(
    world: &World,
    settings: &Settings,
    now: Time,
    key: Option<&str>,
    session: Option<&str>,
) -> Result<Caller, ApiError> {
    let refused = || {
        ApiError::new(
            "not-authenticated/invalid-credentials",
            "The API key or Session token provided could not be used to validate this request.",
        )
    };
    if let Some(secret) = key {
        if world.revoked.contains(secret) {
            return Err(refused());
        }
        if is_open(settings) {
            return if secret.is_empty() { Err(refused()) } else { Ok(Caller::anyone(secret)) };
        }
        let (at, key) =
            settings.keys.iter().enumerate().find(|(_, key)| key.key == secret).ok_or_else(refused)?;
        if key.disabled {
            return Err(ApiError::new("not-authorized/api-key-is-disabled", "The API key is disabled."));
        }
        if key.expires_at.is_some_and(|expires| now.seconds() >= expires) {
            return Err(refused());
        }
        return Ok(Caller {
            author: Author { user: None, key: Some(at as u64 + 1) },
            name: key.name.clone(),
            secret: secret.to_owned(),
            permission_set: key.permission_set,
            path: key.path.clone(),
            letters: Letters::of(&key.permissions),
            expires_at: key.expires_at,
            is_session: false,
        });
    }
    let Some(id) = session else {
        return Err(ApiError::new(
            "not-authenticated/authentication-required",
            "Authentication is required to complete the request.",
        ));
    };
    let session = world.sessions.get(id).ok_or_else(refused)?;
    if now >= session.until {
        return Err(ApiError::new("not-authenticated/invalid-session", "The session has expired."));
    }
    Ok(Caller {
        author: Author { user: Some(session.user), key: None },
        name: session.name.clone(),
        secret: id.to_owned(),
        permission_set: PermissionSet::Full,
        path: None,
        letters: session.letters,
        expires_at: None,
        is_session: true,
    })
}

/// What a call wants to do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Know that it is there.
    See,
    /// List it.
    List,
    /// Read it.
    Read,
    /// Make something new there.
    Write,
    /// Replace or change what is there.
    Overwrite,
    /// Take it away.
    Delete,
}

impl Call<'_> {
    /// What this caller may do under `path`.
    pub(super) fn letters(&self, path: &str) -> Letters {
        let rule = self.settings.names;
        let nearest = self
            .settings
            .permissions
            .iter()
            .filter(|(folder, _)| names::is_within(rule, path, folder))
            .max_by_key(|(folder, _)| names::components(folder).count());
        match nearest {
            Some((_, letters)) => self.caller.letters.and(Letters::of(letters)),
            None => self.caller.letters,
        }
    }

    /// Refuses what this caller may not do there.
    pub(super) fn demand(&self, path: &str, need: Need) -> Result<(), ApiError> {
        let refuse = |name: &str, text: &str| ApiError::new(format!("not-authorized/{name}"), text);
        if let Some(folder) = &self.caller.path
            && !names::is_within(self.settings.names, path, folder)
        {
            return Err(refuse("api-key-is-path-restricted", "This API key is restricted to a path."));
        }
        let letters = self.letters(path);
        let missing = match need {
            Need::See if !(letters.has('l') || letters.has('r')) => "read-permission-required",
            Need::List if !letters.has('l') => "read-permission-required",
            Need::Read if !letters.has('r') => "read-permission-required",
            Need::Write if !letters.has('w') => "write-permission-required",
            Need::Overwrite if !letters.has('o') => "write-permission-required",
            Need::Delete if !letters.has('d') => "full-permission-required",
            _ => {
                let changes = matches!(need, Need::Write | Need::Overwrite | Need::Delete);
                if changes && self.settings.read_only {
                    return Err(refuse("read-only-session", "This session is read only."));
                }
                if matches!(need, Need::Overwrite | Need::Delete) && self.settings.immutable {
                    return Err(refuse("site-files-are-immutable", "Files of this site are immutable."));
                }
                return Ok(());
            }
        };
        if self.settings.forbidden_is_not_found {
            return Err(ApiError::not_found());
        }
        Err(refuse(missing, "You do not have the permission that is required for this."))
    }
}
