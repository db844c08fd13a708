//! `mount`: check what can be checked here, then serve, in the foreground or as a child in the
//! background whose first word is awaited.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::arguments::{AccessArguments, MountArguments};
use super::exit_codes::{ExitCode, Failure};
use super::{log, resolve};
use crate::config::Environment;
use crate::mount::background::{self, Reporter, Word};
use crate::mount::options::Options;
use crate::mount::service;
use crate::remote::Credentials;

/// Mounts. In the background, `Done` means that the mount answers.
pub fn run(arguments: Box<MountArguments>, words: &[OsString]) -> Result<ExitCode, Failure> {
    match arguments.report_to {
        Some(descriptor) => in_background(arguments, words, descriptor),
        None => asked_for(arguments, words),
    }
}

/// Finds the credentials once more: a key is rotated by SIGHUP.
type Credentialing = Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// Everything that is known before the network is asked.
struct Prepared {
    options: Options,
    again: Credentialing,
    log: Option<PathBuf>,
    foreground: bool,
    fake: bool,
    notes: Vec<String>,
}

fn prepare(mut arguments: Box<MountArguments>, words: &[OsString]) -> Result<Prepared, Failure> {
    let environment = Environment::of_this_process();
    arguments.access = resolve::anchored(&arguments.access)?;
    let config = resolve::load_config(&arguments.access, &environment)?;
    let mut arguments = resolve::with_storage_options(arguments, words, &config)?;
    // The storage may have named files too.
    arguments.access = resolve::anchored(&arguments.access)?;
    let access = resolve::access(&arguments.source, &arguments.access, &config, &environment)?;
    let mut notes = vec![format!("credentials from {}", access.found.origin)];
    notes.extend(access.found.note.clone());
    let options = resolve::mount_options(&arguments, access, &environment)?;
    let (source, typed) = (arguments.source.clone(), arguments.access.clone());
    Ok(Prepared {
        options,
        again: Box::new(move || find_again(&source, &typed).map_err(|failure| failure.message)),
        log: arguments.log.as_deref().map(resolve::absolute).transpose()?,
        foreground: arguments.foreground,
        fake: arguments.fake,
        notes,
    })
}

fn find_again(source: &str, typed: &AccessArguments) -> Result<Credentials, Failure> {
    let environment = Environment::of_this_process();
    let config = resolve::load_config(typed, &environment)?;
    Ok(resolve::access(source, typed, &config, &environment)?.found.credentials)
}

/// What a person, a script or mount(8) has started.
fn asked_for(arguments: Box<MountArguments>, words: &[OsString]) -> Result<ExitCode, Failure> {
    let prepared = prepare(arguments, words)?;
    if prepared.fake {
        return Ok(ExitCode::Done);
    }
    if prepared.foreground {
        let file = prepared.log.as_deref().map(open_log).transpose()?;
        log::start(file);
        return serve(prepared, |options| service::ready(&status_line(options)));
    }
    let path = prepared.log.unwrap_or_else(|| prepared.options.state_dir.join("filescomfs.log"));
    let word = background::start(&words[1..], open_log(&path)?)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("{error}; the log is {}", path.display())))?;
    match word {
        Word::Ready => Ok(ExitCode::Done),
        Word::Failed { code, message } => Err(Failure::new(ExitCode::from_number(code.into()), message)),
    }
}

/// The child: its output is the log already.
fn in_background(
    arguments: Box<MountArguments>,
    words: &[OsString],
    descriptor: i32,
) -> Result<ExitCode, Failure> {
    let reporter = Reporter::from_descriptor(descriptor)
        .map_err(|error| Failure::new(ExitCode::Usage, format!("--report-to {descriptor}: {error}")))?;
    // Said once: by whoever is first, the mount that answers or the failure before that.
    let reporter = std::sync::Mutex::new(Some(reporter));
    let say = |word: Word| {
        let reporter = reporter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(reporter) = reporter {
            reporter.say(&word);
        }
    };
    log::start(None);
    let outcome = prepare(arguments, words).and_then(|prepared| {
        // The daemon keeps no folder busy.
        std::env::set_current_dir("/").map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
        serve(prepared, |_| say(Word::Ready))
    });
    if let Err(failure) = &outcome {
        say(Word::Failed { code: failure.code.number(), message: failure.message.clone() });
    }
    outcome
}

fn serve(prepared: Prepared, ready: impl FnOnce(&Options) + Send) -> Result<ExitCode, Failure> {
    for note in &prepared.notes {
        tracing::info!("{note}");
    }
    let shown = prepared.options.clone();
    let ended = crate::mount::run(prepared.options, prepared.again, || ready(&shown)).map_err(|error| {
        let failure = Failure::from(error);
        Failure::new(failure.code, format!("{}: {}", shown.source, failure.message))
    })?;
    service::stopping();
    if !ended.remainder.is_nothing() {
        return Err(Failure::new(
            ExitCode::Owed,
            format!(
                "{} files ({} bytes) are not on Files.com yet; they stay in {} and the next mount sends them",
                ended.remainder.files,
                ended.remainder.bytes,
                shown.state_dir.display()
            ),
        ));
    }
    tracing::info!("{} is unmounted, and nothing is owed", shown.mountpoint.display());
    Ok(ExitCode::Done)
}

fn status_line(options: &Options) -> String {
    format!("{} is mounted on {}", options.source, options.mountpoint.display())
}

fn open_log(path: &Path) -> Result<std::fs::File, Failure> {
    background::open_log(path).map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", path.display()))
    })
}
