//! Which faults can happen at all. An order that no request could ever meet is a mistake of whoever wrote
//! it: a test that waits for it would show nothing.

use super::faults::{Effect, Fault};

/// Kinds of requests, as they are logged, counted, and named in faults.
pub(super) const KINDS: &[&str] = &[
    "list",
    "stat",
    "begin_upload",
    "begin_part",
    "part",
    "complete",
    "download",
    "fetch",
    "patch",
    "delete",
    "mkdir",
    "move",
    "copy",
    "migration",
    "login",
    "logout",
    "api_key",
    "user",
    "site",
    "usage",
    "lock",
    "unlock",
    "locks",
    "unknown",
];

/// An order that would never be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No request is of that kind.
    #[error("no request is of kind {0:?}; kinds are: {list}", list = KINDS.join(", "))]
    UnknownKind(String),
    /// The effect is one of other requests.
    #[error("this happens to requests of kind {wanted} only: name one of them as `kind`, not {named}", wanted = .0.join(" or "), named = .1.as_deref().unwrap_or("none"))]
    WrongKind(&'static [&'static str], Option<String>),
    /// The storage knows neither keys nor sessions.
    #[error("the storage asks for no key and no session: name a `kind` of the API, not {0}")]
    NotOfTheStorage(String),
}

impl Fault {
    /// Can this ever happen?
    ///
    /// # Errors
    /// A kind that does not exist, or an effect that requests of this kind do not have.
    pub fn check(&self) -> Result<(), OrderError> {
        let kind = self.kind.as_deref();
        if let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) {
            return Err(OrderError::UnknownKind(kind.to_owned()));
        }
        let wanted = self.what.kinds();
        if !wanted.is_empty() && !kind.is_some_and(|kind| wanted.contains(&kind)) {
            return Err(OrderError::WrongKind(wanted, self.kind.clone()));
        }
        match (&self.what, kind) {
            (Effect::RevokeKey | Effect::ExpireSessions, Some(kind @ ("part" | "fetch"))) => {
                Err(OrderError::NotOfTheStorage(kind.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl Effect {
    /// The kinds of requests that alone can have this effect; empty where any can.
    fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::FlipPart | Self::FlipStored | Self::CutPart { .. } | Self::TruncatePart { .. } => &["part"],
            Self::WrongEtag { .. } | Self::ExpireUrl => &["part", "fetch"],
            Self::MigrationFails | Self::MigrationHangs | Self::MigrationCancelled => &["move", "copy"],
            Self::CompleteElsewhere { .. } => &["complete"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_can_never_be_met_is_refused_and_says_what_could_be() {
        let told = Fault::on("uplaod", Effect::Reset).check().unwrap_err().to_string();
        assert!(told.contains("\"uplaod\"") && told.contains("begin_upload, begin_part, part"), "{told}");
        let told = Fault::on("list", Effect::FlipPart).check().unwrap_err().to_string();
        assert!(told.contains("kind part only") && told.contains("list"), "{told}");
        let told = Fault::on_any(Effect::MigrationHangs).check().unwrap_err().to_string();
        assert!(told.contains("move or copy"), "{told}");
        assert!(Fault::on("fetch", Effect::RevokeKey).check().is_err());
        for fault in [
            Fault::on_any(Effect::Reset),
            Fault::on("fetch", Effect::ExpireUrl),
            Fault::on("copy", Effect::MigrationFails),
            Fault::on_any(Effect::ExpireSessions),
        ] {
            assert_eq!(fault.check(), Ok(()), "{fault:?}");
        }
    }
}
