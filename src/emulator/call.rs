//! One request of the API on its way to the state, and the answer on its way back.

use serde::Serialize;

use super::auth::Caller;
use super::clock::Time;
use super::errors::ApiError;
use super::faults::Effect;
use super::params::Params;
use super::route::Route;
use super::settings::Settings;
use super::signing::Signer;

/// Everything that a handler may look at besides the state.
pub(super) struct Call<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Time,
    pub(super) caller: &'a Caller,
    pub(super) route: &'a Route,
    pub(super) params: &'a Params,
    /// Query as it came.
    pub(super) query: &'a str,
    pub(super) signer: &'a Signer,
    /// A fault that changes what happens, not only what is answered.
    pub(super) effect: Option<&'a Effect>,
}

impl Call<'_> {
    pub(super) fn path(&self) -> &str {
        &self.route.path
    }
}

/// An answer that is no refusal.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// JSON; empty for an answer without a body.
    pub(super) body: String,
    /// May the client keep it for a while? The service says so for what only reads.
    pub(super) is_cacheable: bool,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn json(status: u16, value: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_string(value)
            .map_err(|error| ApiError::new("bad-request/internal-general-error", error.to_string()))?;
        // As the service does it: legal, and a trap for parsers made by hand.
        let body = if body.contains('&') { body.replace('&', "\\u0026") } else { body };
        Ok(Self { status, body, is_cacheable: false, headers: Vec::new() })
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, body: String::new(), is_cacheable: false, headers: Vec::new() }
    }

    pub(super) fn cacheable(self) -> Self {
        Self { is_cacheable: true, ..self }
    }
}
