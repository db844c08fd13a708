//! Credentials in use: the header that every call carries, and the session behind it.
//!
//! A session is made when it is first needed and again when the service refuses it. However many
//! calls are refused together, one of them logs in and the others wait for it. A refused password is
//! not tried again for a minute, since sites lock accounts out.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::call::Call;
use super::client::Inner;
use super::credentials::Credentials;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::retry::Patience;
use super::secret::Secret;
use super::site::Session;
use super::urgency::with_urgency;
use super::wire::{Fields, Misread};
use crate::model::fair::Urgency;

const KEY: HeaderName = HeaderName::from_static("x-filesapi-key");
const SESSION: HeaderName = HeaderName::from_static("x-filesapi-auth");

/// How long a refused login is remembered.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

/// The credentials in use, which may be replaced at any time.
#[derive(Debug)]
pub(super) struct Auth(RwLock<Arc<Identity>>);

#[derive(Debug)]
struct Identity {
    credentials: Credentials,
    login: Mutex<Login>,
}

#[derive(Debug, Default)]
struct Login {
    session: Option<Secret>,
    /// Counts logins, so that a refusal can be told to be of an earlier session.
    generation: u64,
    refused: Option<(Instant, Error)>,
}

/// What one attempt carries.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub header: HeaderName,
    pub value: HeaderValue,
    pub secret: Secret,
    identity: Arc<Identity>,
    generation: u64,
}

impl Auth {
    pub fn new(credentials: Credentials) -> Self {
        Self(RwLock::new(Identity::new(credentials)))
    }

    pub fn replace(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Identity::new(credentials);
    }

    fn current(&self) -> Arc<Identity> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The service refused `pass`. Is there another one to try?
    pub async fn refused(&self, pass: &Pass) -> bool {
        if !Arc::ptr_eq(&self.current(), &pass.identity) {
            return true;
        }
        match &pass.identity.credentials {
            Credentials::ApiKey(_) => false,
            Credentials::Login { .. } => {
                let mut login = pass.identity.login.lock().await;
                if login.generation == pass.generation {
                    login.session = None;
                }
                true
            }
        }
    }
}

impl Identity {
    fn new(credentials: Credentials) -> Arc<Self> {
        Arc::new(Self { credentials, login: Mutex::default() })
    }
}

impl Inner {
    /// What the next attempt carries; logs in where there is no session.
    pub(super) async fn pass(&self, asked: &str, deadline: Instant) -> Result<Pass, Error> {
        let identity = self.auth.current();
        let (header, secret, generation) = match &identity.credentials {
            Credentials::ApiKey(key) => (KEY, key.clone(), 0),
            Credentials::Login { .. } => {
                let (session, generation) =
                    tokio::time::timeout_at(deadline, self.session(&identity, deadline)).await.map_err(
                        |_| {
                            Error::new(ErrorKind::Timeout, asked, "no session in time")
                                .with(|d| d.phase = Phase::Unsent)
                        },
                    )??;
                (SESSION, session, generation)
            }
        };
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
            Error::new(ErrorKind::Authentication, asked, "the key holds characters that no key has")
        })?;
        value.set_sensitive(true);
        Ok(Pass { header, value, secret, identity, generation })
    }

    /// Dropped while it logs in, it leaves a session at the service that nobody uses; the next caller logs in.
    async fn session(&self, identity: &Identity, deadline: Instant) -> Result<(Secret, u64), Error> {
        // Held while one of the callers logs in: the others wait here and find its session.
        let mut login = identity.login.lock().await;
        if let Some(session) = &login.session {
            return Ok((session.clone(), login.generation));
        }
        if let Some((when, error)) = &login.refused
            && when.elapsed() < REFUSAL_HOLDS
        {
            return Err(error.clone());
        }
        let (secret, _) = self.fresh_session(identity, &mut login, deadline).await?;
        Ok((secret, login.generation))
    }

    async fn fresh_session(
        &self,
        identity: &Identity,
        login: &mut Login,
        deadline: Instant,
    ) -> Result<(Secret, Session), Error> {
        let asked = "POST /sessions";
        let Credentials::Login { username, password } = &identity.credentials else {
            return Err(Error::new(ErrorKind::Authentication, asked, "an API key needs no login"));
        };
        let body = json!({ "username": username, "password": password.expose() });
        let call = Call::post("session", "/sessions", body);
        let now = Instant::now();
        let mut patience = Patience::new(now, deadline.saturating_duration_since(now));
        // Everybody waits for it.
        let asking = self.attempts(&call, None, &mut patience);
        match with_urgency(Urgency::Reader, asking).await {
            Ok(answer) => {
                let value = answer.json()?;
                let (id, session) = read_session(&value).map_err(|misread| misread.error(asked))?;
                login.session = Some(id.clone());
                login.generation += 1;
                login.refused = None;
                Ok((id, session))
            }
            Err(error) => {
                let error = error.without(password.expose());
                if is_refusal(&error) {
                    login.refused = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Logs in, whatever session there is.
    pub(super) async fn log_in_afresh(&self) -> Result<Session, Error> {
        let identity = self.auth.current();
        let mut login = identity.login.lock().await;
        let deadline = Instant::now() + self.options.network_timeout;
        Ok(self.fresh_session(&identity, &mut login, deadline).await?.1)
    }
}

/// Did the service itself refuse this user name and password? Whatever else keeps a login from being made may be over
/// a moment later.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Authentication | ErrorKind::SecondFactor) && error.api_type().is_some()
}

fn read_session(value: &serde_json::Value) -> Result<(Secret, Session), Misread> {
    let fields = Fields::of(value, "session")?;
    let id = fields.text("id")?.ok_or_else(|| Misread::new("id", "there"))?;
    Ok((Secret::from(id.to_owned()), Session::read(fields)))
}
