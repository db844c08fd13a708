//! `test`: Test Connection. A checklist in stages; each stage says whether the next makes sense.

mod caller;
mod check;
#[cfg(test)]
mod fake;
mod folder;
mod local;
mod probe;
mod service;
mod settings;
mod source;

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::Parser;

use self::check::Checklist;
use self::probe::{PAUSES, Probe};
use self::service::Service;
use super::arguments::{Command, CommandLine, MountArguments, TestArguments};
use super::drain::named;
use super::exit_codes::{ExitCode, Failure};
use super::resolve::Effective;
use super::{print, resolve};
use crate::config::{self, ConfigError, Environment};
use crate::model::bandwidth::Bandwidth;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::remote::{self, Client, ClientOptions, Credentials};

/// How long a test waits for one answer, retries included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tests the connection and shows the checklist as it grows.
pub fn run(arguments: &TestArguments, words: &[OsString]) -> Result<ExitCode, Failure> {
    let environment = Environment::of_this_process();
    let mut checks = Checklist::new(|check| {
        // Where nobody reads, the exit code still tells.
        let _ = print(&check.show());
    });
    let typed = as_mount(arguments, words)?;
    let effective = match resolve::effective(typed.0, &typed.1, &environment) {
        Ok(effective) => effective,
        Err(Failure { code, message }) => {
            checks.bad("configuration", code, message, "See filescomfs mount --help.");
            return finish(&checks);
        }
    };
    if let Some((client, plan)) = connect(&effective, arguments.write, &environment, &mut checks)? {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
        let stop = async {
            // Where the signal cannot be heard, it ends the process as usual.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        runtime.block_on(stages(&client, &plan, stop, &mut checks));
    }
    here(arguments, &effective, &environment, &mut checks);
    finish(&checks)
}

fn finish(checks: &Checklist<'_>) -> Result<ExitCode, Failure> {
    print(&format!("\n{}\n", checks.summary()))?;
    Ok(checks.code())
}

/// The command line of `mount` that means what this one of `test` does, so that both are understood in one way.
fn as_mount(
    arguments: &TestArguments,
    words: &[OsString],
) -> Result<(Box<MountArguments>, Vec<OsString>), Failure> {
    let wrong = |text: String| Failure::new(ExitCode::Usage, text);
    let (program, rest) = words.split_first().ok_or_else(|| wrong("no command".to_owned()))?;
    let mut mount = vec![program.clone(), "mount".into()];
    mount.extend(rest.iter().skip(1).filter(|word| *word != "--write").cloned());
    if arguments.mountpoint.is_none() {
        mount.push("/".into());
    }
    match CommandLine::try_parse_from(&mount).map_err(|error| wrong(error.to_string()))?.command {
        Command::Mount(typed) => Ok((typed, mount)),
        _ => Err(wrong("this is not understood as a mount".to_owned())),
    }
}

/// Is this machine ready?
fn here(
    arguments: &TestArguments,
    effective: &Effective,
    environment: &Environment,
    checks: &mut Checklist<'_>,
) {
    local::machine(checks);
    if let Some(Ok(mountpoint)) = arguments.mountpoint.as_deref().map(named) {
        local::mountpoint(&mountpoint, checks);
    }
    let Effective { arguments, config } = effective;
    let places = config::parse_source(&arguments.source, config).ok().and_then(|source| {
        let base = remote::base_url_allowing_http(&source.site, true).ok()?;
        let id = config::id(&base, &source.folder);
        let given = [&arguments.state_dir, &arguments.cache_dir]
            .map(|folder| folder.as_deref().and_then(|folder| resolve::absolute(folder).ok()));
        let [state, cache] = given;
        config::default_places(environment, &id, state, cache).ok()
    });
    if let Some((state, cache)) = places {
        local::disk(&state, &cache, arguments.cache_size, checks);
    }
}

/// What is to be tested.
struct Plan {
    folder: RemotePath,
    /// A key, not a user name with a password.
    has_key: bool,
    /// https, not the http of an emulator.
    encrypted: bool,
    write: bool,
    /// Nothing is to be written there.
    read_only: bool,
    /// Between looks for digests.
    pauses: &'static [Duration],
}

/// The client for what SOURCE means, told in the first lines; `None` where that makes no sense.
fn connect(
    effective: &Effective,
    write: bool,
    environment: &Environment,
    checks: &mut Checklist<'_>,
) -> Result<Option<(Client, Plan)>, Failure> {
    let Effective { arguments, config } = effective;
    let access = &arguments.access;
    let source = match config::parse_source(&arguments.source, config) {
        Ok(source) => source,
        Err(error) => {
            source::refused("source", error, checks);
            return Ok(None);
        }
    };
    let base = match remote::base_url_allowing_http(&source.site, access.allow_http) {
        Ok(base) => base,
        Err(error) => {
            source::refused("source", ConfigError::Site(error), checks);
            return Ok(None);
        }
    };
    source::understood(&source, &base, checks);
    let found = match resolve::credential_sources(&source, access, config, environment).find() {
        Ok(found) => found,
        Err(error) => {
            source::refused("credentials", error, checks);
            return Ok(None);
        }
    };
    if let Some(note) = found.note {
        checks.warn("credentials", note, "Give one of them only.");
    }
    let has_key = matches!(found.credentials, Credentials::ApiKey(_));
    let encrypted = base.scheme() == "https";
    let client = Client::new(ClientOptions {
        base,
        credentials: found.credentials,
        // A person waits: what a mount would sit out is told soon.
        network_timeout: access.network_timeout.min(PATIENCE),
        max_uploads: 1,
        max_downloads: 1,
        bandwidth_up: Bandwidth::default(),
        bandwidth_down: Bandwidth::default(),
        allow_http: access.allow_http,
    })?;
    let read_only = arguments.read_only;
    let plan = Plan {
        folder: source.folder,
        has_key,
        encrypted,
        write: write && !read_only,
        read_only,
        pauses: PAUSES,
    };
    Ok(Some((client, plan)))
}

/// Everything that asks the service. `stop` ends the probe early; its file is deleted all the same.
async fn stages<S: Service>(
    service: &S,
    plan: &Plan,
    stop: impl Future<Output = ()>,
    checks: &mut Checklist<'_>,
) {
    let now = Moment::from(SystemTime::now());
    let mut probe = Probe::new(&plan.folder, plan.pauses);
    let asking = async {
        let Some(learned) = caller::check(service, plan, now, checks).await else { return };
        let usable = folder::check(service, plan, checks).await;
        settings::check(service, learned, plan.write, checks).await;
        if usable && plan.write {
            probe.run(service, checks).await;
        }
    };
    let interrupted = tokio::select! {
        () = asking => false,
        () = stop => true,
    };
    if interrupted {
        checks.bad("interrupted", ExitCode::Failed, "not everything was tested", "Run it again.");
    }
    probe.clean_up(service, checks).await;
}
