//! `test`: Test Connection. A checklist in stages; each stage says whether the next makes sense.

mod caller;
mod check;
#[cfg(test)]
mod fake;
mod folder;
mod probe;
mod service;
mod settings;
mod source;

use std::time::SystemTime;

use self::check::Checklist;
use self::probe::{PAUSES, Probe};
use self::service::Service;
use super::arguments::TestArguments;
use super::exit_codes::{ExitCode, Failure};
use super::{print, resolve};
use crate::config::{self, ConfigError, Environment};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::remote::{self, Client, ClientOptions, Credentials};

/// Tests the connection and shows the checklist as it grows.
pub fn run(arguments: &TestArguments) -> Result<ExitCode, Failure> {
    let environment = Environment::of_this_process();
    let mut checks = Checklist::new(|check| {
        // Where nobody reads, the exit code still tells.
        let _ = print(&check.show());
    });
    if let Some(Connection { client, has_key, folder }) = connect(arguments, &environment, &mut checks)? {
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
        runtime.block_on(stages(&client, has_key, &folder, arguments.write, PAUSES, stop, &mut checks));
    }
    print(&format!("\n{}\n", checks.summary()))?;
    Ok(checks.code())
}

/// What SOURCE means, ready to be asked.
struct Connection {
    client: Client,
    has_key: bool,
    folder: RemotePath,
}

/// The client for what SOURCE means, told in the first lines; `None` where that makes no sense.
fn connect(
    arguments: &TestArguments,
    environment: &Environment,
    checks: &mut Checklist<'_>,
) -> Result<Option<Connection>, Failure> {
    let access = &arguments.access;
    let config = resolve::load_config(access, environment)?;
    let source = match config::parse_source(&arguments.source, &config) {
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
    let found = match resolve::credential_sources(&source, access, &config, environment).find() {
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
    let client = Client::new(ClientOptions {
        base,
        credentials: found.credentials,
        network_timeout: access.network_timeout,
        max_uploads: 1,
        max_downloads: 1,
        allow_http: access.allow_http,
    })?;
    Ok(Some(Connection { client, has_key, folder: source.folder }))
}

/// Everything that asks the service. `stop` ends the probe early; its file is deleted all the same.
async fn stages<S: Service>(
    service: &S,
    has_key: bool,
    folder: &RemotePath,
    write: bool,
    pauses: &'static [std::time::Duration],
    stop: impl Future<Output = ()>,
    checks: &mut Checklist<'_>,
) {
    let now = Moment::from(SystemTime::now());
    let mut probe = Probe::new(folder, pauses);
    let asking = async {
        let Some(learned) = caller::check(service, has_key, now, checks).await else { return };
        let usable = folder::check(service, folder, checks).await;
        settings::check(service, learned, write, checks).await;
        if usable && write {
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
