//! One call of the API: credentials, attempts, answer.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Client, Inner, flow_of, learn};
use super::deadline;
use super::error::{Error, Phase};
use super::error_kind::ErrorKind;
use super::retry::{Patience, Repeat, stall_limit};
use super::session::Pass;
use super::slots::Lane;
use super::transport::{self, Answer};
use super::urls::api_url;
use crate::model::path::RemotePath;
use crate::model::shown::shown_name;

/// The largest answer that is read: a page of a thousand entries with all their metadata is less.
const LARGEST_ANSWER: usize = 64 << 20;

/// The longest that a look for the service takes.
const LOOK: Duration = Duration::from_secs(10);

/// What is asked of the API.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Its name in the counters.
    name: &'static str,
    method: Method,
    resource: String,
    path: Option<RemotePath>,
    /// Parameters of GET and DELETE.
    query: Vec<(&'static str, String)>,
    /// Parameters of everything else.
    body: Option<Value>,
    repeat: Repeat,
    /// It looks for the service on behalf of all others: asked once, whatever is known.
    is_a_look: bool,
}

impl Call {
    fn new(name: &'static str, method: Method, resource: impl Into<String>, body: Option<Value>) -> Self {
        let (path, query, repeat) = (None, Vec::new(), Repeat::Freely);
        Self { name, method, resource: resource.into(), path, query, body, repeat, is_a_look: false }
    }

    pub fn get(name: &'static str, resource: impl Into<String>) -> Self {
        Self::new(name, Method::GET, resource, None)
    }

    pub fn delete(name: &'static str, resource: impl Into<String>) -> Self {
        Self::new(name, Method::DELETE, resource, None)
    }

    pub fn post(name: &'static str, resource: impl Into<String>, body: Value) -> Self {
        Self::new(name, Method::POST, resource, Some(body))
    }

    pub fn patch(name: &'static str, resource: impl Into<String>, body: Value) -> Self {
        Self::new(name, Method::PATCH, resource, Some(body))
    }

    pub fn path(mut self, path: &RemotePath) -> Self {
        self.path = Some(path.clone());
        self
    }

    pub fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// It must not be done twice, and may take all the time that there is.
    pub fn only_once(mut self) -> Self {
        self.repeat = Repeat::IfNothingHappened;
        self
    }

    /// It must not be done twice; who is in doubt looks, and asks again.
    pub fn after_a_look(mut self) -> Self {
        self.repeat = Repeat::AfterALook;
        self
    }

    /// It looks for the service on behalf of all others.
    pub fn for_all(mut self) -> Self {
        self.is_a_look = true;
        self
    }

    /// Does a yes say that something was done which was not done before? That is progress; a look is none, nor is
    /// another upload that is only begun.
    fn gets_on(&self) -> bool {
        self.method != Method::GET && self.name != "begin_upload"
    }

    /// Method and path, for logs and errors. Neither query nor body: they may hold secrets.
    pub fn asked(&self) -> String {
        let path = self.path.as_ref().map(RemotePath::to_string).unwrap_or_default();
        format!("{} {}{}", self.method, self.resource, shown_name(&path))
    }
}

impl Client {
    /// Makes a call. A refused session is renewed once; so is a key that was replaced meanwhile. Where it is known
    /// that nobody is served, nobody is asked.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Error> {
        let (gets_on, is_a_look) = (call.gets_on(), call.is_a_look);
        if let Some(refusal) = self.0.reach.refusal(&call.asked()).filter(|_| !is_a_look) {
            return Err(refusal);
        }
        let outcome = self.call_patiently(call).await;
        if gets_on && outcome.is_ok() {
            deadline::progressed();
        }
        self.0.reach.learn(&outcome, is_a_look);
        outcome
    }

    async fn call_patiently(&self, call: Call) -> Result<Answer, Error> {
        let inner = &self.0;
        let limit = match call.is_a_look {
            true => inner.options.network_timeout.min(LOOK),
            false => inner.options.network_timeout,
        };
        let mut patience = Patience::new(Instant::now(), limit);
        let mut renewed = false;
        loop {
            let pass = inner.pass(&call.asked(), patience.deadline()).await?;
            match inner.attempts(&call, Some(&pass), &mut patience).await {
                Err(error)
                    if error.kind() == ErrorKind::Authentication
                        && !renewed
                        && inner.auth.refused(&pass).await =>
                {
                    renewed = true;
                }
                result => return result,
            }
        }
    }
}

impl Inner {
    /// Makes a call as often as it takes: transient failures are repeated while there is patience
    /// and it does no harm.
    pub(super) async fn attempts(
        &self,
        call: &Call,
        pass: Option<&Pass>,
        patience: &mut Patience,
    ) -> Result<Answer, Error> {
        let asked = call.asked();
        let flow = flow_of(call.path.as_ref().map_or(&call.resource, |path| path.as_str()));
        let mut before = None;
        loop {
            let mut slot = self.place(Lane::Calls, flow, before.take(), patience, &asked).await?;
            slot.begins();
            let outcome = self.attempt(call, &asked, pass, patience).await;
            learn(&mut slot, &outcome, 0);
            // Whoever waits before the next attempt is not in the way of others.
            drop(slot);
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    before = Some(error.clone());
                    let is_misspelled = error.details().is_no_host && !self.reach.has_answered();
                    let wait = patience.after(error.clone(), call.repeat, Instant::now(), rand::random())?;
                    // The next look is soon enough, or by now it is known that another attempt is in vain.
                    let is_in_vain = call.is_a_look || self.reach.refusal(&asked).is_some();
                    if is_in_vain || is_misspelled && patience.has_tried_a_name() {
                        return Err(patience.told(error));
                    }
                    self.counters.repeated();
                    sleep(wait).await;
                }
            }
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        asked: &str,
        pass: Option<&Pass>,
        patience: &Patience,
    ) -> Result<Answer, Error> {
        self.counters.asked(call.name);
        let started = Instant::now();
        let limit = patience.attempt_limit(started, call.repeat);
        let url = api_url(&self.options.base, &call.resource, call.path.as_ref());
        let mut request = self.api.request(call.method.clone(), url).header(ACCEPT, "application/json");
        if let Some(pass) = pass {
            request = request.header(&pass.header, &pass.value);
        }
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let result = transport::send(request, asked, limit).await.map_err(|error| match pass {
            Some(pass) => error.without(pass.secret.expose()),
            None => error,
        });
        let status = match &result {
            Ok(response) => Some(response.status().as_u16()),
            Err(error) => error.details().status,
        };
        tracing::debug!(asked, status, ms = started.elapsed().as_millis() as u64, "api");
        let response = result?;
        if let Some(skew) = transport::clock_skew(response.headers(), SystemTime::now()) {
            self.clock_skew.set(skew);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let limit = stall_limit(self.options.network_timeout);
        // A yes whose words are lost may be repeated like no answer at all.
        let body = transport::read(response, asked, LARGEST_ANSWER, limit, patience.deadline())
            .await
            .map_err(|error| error.with(|d| d.phase = Phase::Unanswered))?;
        Ok(Answer { asked: asked.to_owned(), status, headers, body, began: started })
    }
}
