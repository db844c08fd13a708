//! One API request from the first byte to the last: late, refused, faulty, or carried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, header};

use super::auth::authenticate;
use super::call::{Call, Reply};
use super::connection::Line;
use super::errors::ApiError;
use super::faults::Effect;
use super::log::LoggedRequest;
use super::params::Params;
use super::route::Route;
use super::settings::{PermissionSet, Settings};
use super::shared::Shared;
use super::spoil::{interfere, spoil};
use super::{account, admin, downloads, folders, listing, locks, migrations, respond, uploads};

const ROOT: &str = "/api/rest/v1/";

/// How much of a body the log keeps: the ETags of a very large file are not worth their room.
const LONGEST_LOGGED: usize = 64 << 10;

/// The largest body of an API request.
const LARGEST_BODY: usize = 16 << 20;

/// Serves one request.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let settings = shared.settings();
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let Some(raw) = path.strip_prefix(ROOT) else {
        if path == "/" || path.starts_with("/admin/") {
            return admin::serve(&shared, &head, body).await;
        }
        return respond::refusal(&ApiError::not_found(), &settings, shared.now());
    };
    let _inside = Inside::enter(&shared.inside);
    if settings.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(settings.latency_ms)).await;
    }
    let (route, asked) = understand(&head, raw, body).await;
    let (fault, answer) = answer(&shared, &settings, &line, &head, &route, &asked).await;
    let effect = fault.as_ref();
    let response = match effect {
        Some(effect) => spoil(answer, effect),
        None => answer,
    };
    let body = match &asked {
        Ok((body, _)) if route.kind != "login" => {
            String::from_utf8_lossy(&body[..body.len().min(LONGEST_LOGGED)]).into_owned()
        }
        _ => String::new(),
    };
    let status = if effect == Some(&Effect::Reset) { 0 } else { response.status().as_u16() };
    shared.log(
        LoggedRequest {
            method: head.method.to_string(),
            path: route.path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            status,
            kind: route.kind,
            bytes: 0,
            body,
        },
        &settings,
    );
    response
}

type Asked = Result<(axum::body::Bytes, Params), ApiError>;

/// What is asked. Whatever cannot be understood is a refusal that faults may still replace.
async fn understand(head: &Parts, raw: &str, body: Body) -> (Route, Asked) {
    let unknown = || Route { kind: "unknown", path: raw.to_owned(), is_old_form: false };
    let route = Route::parse(head.method.as_str(), raw);
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        let error = ApiError::new("bad-request/request-body-too-large", "The request body is too large.");
        return (route.unwrap_or_else(|_| unknown()), Err(error));
    };
    let mut route = match route {
        Ok(route) => route,
        Err(error) => return (unknown(), Err(error)),
    };
    let content_type = text(&head.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    match Params::parse(head.uri.query().unwrap_or_default(), content_type, &body) {
        Ok(params) => {
            route.refine(&params);
            (route, Ok((body, params)))
        }
        Err(error) => (route, Err(error)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The answer, and the fault that still has to spoil its body.
async fn answer(
    shared: &Shared,
    settings: &Settings,
    line: &Line,
    head: &Parts,
    route: &Route,
    asked: &Asked,
) -> (Option<Effect>, Response<Body>) {
    let fault = shared.faults.meet(route.kind, head.method.as_str(), &route.path);
    if let Some(fault) = &fault
        && !fault.after
        && let Some(answer) = interfere(&shared.faults, fault, line, settings, shared.now()).await
    {
        return (Some(fault.what.clone()), answer);
    }
    let effect = fault.as_ref().map(|fault| &fault.what);
    let outcome =
        admit(shared, settings).and_then(|()| carry_out(shared, settings, head, route, asked, effect));
    let answer = match outcome {
        Ok(reply) => respond::reply(reply, settings, shared.now()),
        Err(error) => respond::refusal(&error, settings, shared.now()),
    };
    let replaced = match &fault {
        Some(fault) if fault.after => interfere(&shared.faults, fault, line, settings, shared.now()).await,
        _ => None,
    };
    (fault.map(|met| met.fault.what), replaced.unwrap_or(answer))
}

/// Counts a request for as long as it lasts.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn admit(shared: &Shared, settings: &Settings) -> Result<(), ApiError> {
    let inside = shared.inside.load(Ordering::Relaxed);
    let name = if settings.concurrent_requests.is_some_and(|most| inside > most) {
        "too-many-concurrent-requests"
    } else if !shared.door.enter(settings.requests_per_second) {
        "too-many-requests"
    } else {
        return Ok(());
    };
    let mut error = ApiError::new(format!("rate-limited/{name}"), "Too many requests.");
    error.retry_after = settings.retry_after.clone();
    Err(error)
}

fn carry_out(
    shared: &Shared,
    settings: &Settings,
    head: &Parts,
    route: &Route,
    asked: &Asked,
    effect: Option<&Effect>,
) -> Result<Reply, ApiError> {
    let (_, params) = asked.as_ref().map_err(Clone::clone)?;
    let key = text(&head.headers, "x-filesapi-key");
    let session = text(&head.headers, "x-filesapi-auth");
    let now = shared.now();
    let world = &mut *shared.world();
    world.settle(settings, now);
    match effect {
        Some(Effect::RevokeKey) => world.revoked.extend(key.map(str::to_owned)),
        Some(Effect::ExpireSessions) => world.sessions.values_mut().for_each(|session| session.until = now),
        _ => {}
    }
    if route.kind == "login" {
        return account::log_in(world, settings, params, now, key.is_some());
    }
    let caller = authenticate(world, settings, now, key, session)?;
    if text(&head.headers, "x-files-workspace-id").is_some_and(|id| id != "0") {
        return Err(ApiError::new("bad-request/invalid-workspace-id-header", "There is no such workspace."));
    }
    if caller.permission_set == PermissionSet::FilesOnly && !route.is_file_operation() {
        return Err(ApiError::new(
            "not-authorized/api-key-only-for-file-operations",
            "This API key can only be used for file operations.",
        ));
    }
    let call = Call {
        settings,
        now,
        caller: &caller,
        route,
        params,
        query: head.uri.query().unwrap_or_default(),
        signer: &shared.signer,
        effect,
    };
    let reply = match route.kind {
        "list" => listing::list(world, &call),
        "stat" => folders::stat(world, &call),
        "download" => downloads::download(world, &call),
        "mkdir" => folders::mkdir(world, &call),
        "patch" => folders::patch(world, &call),
        "delete" => folders::delete(world, &call),
        "begin_upload" | "begin_part" => uploads::begin(world, &call),
        "complete" => uploads::complete(world, &call),
        "move" | "copy" => migrations::begin(world, &call),
        "migration" => migrations::show(world, &call),
        "api_key" => account::api_key(&call),
        "user" => account::user(&call),
        "site" => account::site(&call),
        "usage" => account::usage(world, &call),
        "logout" => account::log_out(world, &call),
        "locks" => locks::list(world, &call),
        "lock" => locks::lock(world, &call),
        "unlock" => locks::unlock(world, &call),
        _ => Err(ApiError::not_found()),
    };
    if !world.tree.changed.is_empty() {
        // Listings are never stale after a change by way of the API.
        world.listings.clear();
    }
    world.commit();
    reply
}
