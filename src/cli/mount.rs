//! `mount`: check what can be checked here, then serve, in the foreground or as a child in the
//! background whose first word is awaited.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use url::Url;

use super::arguments::{AccessArguments, MountArguments};
use super::drain::named;
use super::exit_codes::{ExitCode, Failure};
use super::resolve::Effective;
use super::{log, resolve};
use crate::config::Environment;
use crate::local::private;
use crate::mount::asking::is_served;
use crate::mount::background::{self, Reporter, Word};
use crate::mount::beneath::Beneath;
use crate::mount::life::is_dead;
use crate::mount::mountinfo::{KIND, View};
use crate::mount::options::Options;
use crate::mount::remount::remount;
use crate::mount::unmount::unmount;
use crate::mount::{rooms, service, utab};
use crate::remote::Credentials;

/// How long nothing is said before that.
const QUIET: Duration = Duration::from_secs(3);

/// Mounts. In the background, `Done` means that the mount answers.
pub fn run(arguments: Box<MountArguments>, words: &[OsString]) -> Result<ExitCode, Failure> {
    if arguments.remount {
        return remount_as_told(&arguments);
    }
    match arguments.report_to {
        Some(descriptor) => in_background(arguments, words, descriptor),
        None => asked_for(arguments, words),
    }
}

/// mount(8) hands over all options of the line in fstab: those of ours are what they were.
fn remount_as_told(arguments: &MountArguments) -> Result<ExitCode, Failure> {
    let failed = |text: String| Failure::new(ExitCode::Failed, text);
    let mountpoint = named(&arguments.mountpoint)?;
    let shown = mountpoint.display();
    if !is_ours(&mountpoint) {
        return Err(failed(format!("no filescomfs is mounted on {shown}")));
    }
    let read_only = match (arguments.read_only, arguments.read_write) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    match remount(&mountpoint, read_only, &arguments.kernel_option) {
        Ok(()) => Ok(ExitCode::Done),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            Err(failed(format!("{shown} stays as it is: something there is open for writing")))
        }
        Err(error) => Err(failed(format!("cannot remount {shown}: {error}"))),
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

fn prepare(arguments: Box<MountArguments>, words: &[OsString]) -> Result<Prepared, Failure> {
    let environment = Environment::of_this_process();
    let Effective { arguments, config } = resolve::effective(arguments, words, &environment)?;
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
    if !arguments.fake {
        clear(&named(&arguments.mountpoint)?)?;
    }
    let prepared = prepare(arguments, words)?;
    if prepared.fake {
        return Ok(ExitCode::Done);
    }
    let mountpoint = &prepared.options.mountpoint;
    if let Some(beneath) = Beneath::exposed(mountpoint) {
        tell(&format!(
            "warning: {} is not empty: {beneath}. A tool may have written there while nothing was mounted; none of it \
             is on Files.com, and it is hidden until this is unmounted",
            mountpoint.display()
        ));
    }
    let options = rooms::settle(prepared.options, prepared.log.as_deref())?;
    let prepared = Prepared { options, ..prepared };
    if prepared.foreground {
        let file = prepared.log.as_deref().map(open_log).transpose()?;
        log::start(file);
        return serve(prepared, |options| service::ready(&status_line(options)));
    }
    let (path, log) = match prepared.log {
        Some(path) => (path.clone(), open_log(&path)?),
        None => {
            // In a folder of ours, no link has a place.
            let path = prepared.options.state_dir.join("filescomfs.log");
            let log = private::open(&path, OpenOptions::new().append(true).create(true));
            (path.clone(), log.map_err(|error| unwritable(&path, &error))?)
        }
    };
    let waiting = Waiting::for_site(&prepared.options.base);
    let word = background::start(&words[1..], log)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("{error}; the log is {}", path.display())))?;
    drop(waiting);
    match word {
        Word::Ready => Ok(ExitCode::Done),
        Word::Failed { code, message } => Err(Failure::new(ExitCode::from_number(code.into()), message)),
    }
}

/// Takes dead mounts of ours away: a new one would be stacked upon them, and one that dies later would show them.
fn clear(mountpoint: &Path) -> Result<(), Failure> {
    // Each is as a rule the only one; older versions stacked them.
    while !is_served(mountpoint) && is_ours(mountpoint) && is_dead(mountpoint) {
        let shown = mountpoint.display();
        tell(&format!(
            "the process of the mount on {shown} has ended; it is unmounted, and what it owed is taken up by the next \
             mount with its state folder"
        ));
        unmount(mountpoint, true).map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                format!("a dead mount is on {shown}, and cannot be unmounted: {error}"),
            )
        })?;
        utab::forget_unmounted(mountpoint);
    }
    Ok(())
}

fn is_ours(mountpoint: &Path) -> bool {
    let view = View::of(mountpoint);
    view.is_ok_and(|view| view.top().is_some_and(|top| top.path == mountpoint && top.kind == KIND))
}

/// Where nobody listens on standard error, the exit code still tells.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "filescomfs: {text}");
}

/// Says what is waited for, where that takes long.
struct Waiting(Arc<AtomicBool>);

impl Waiting {
    fn for_site(base: &Url) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (seen, host) = (over.clone(), base.host_str().unwrap_or_default().to_owned());
        std::thread::spawn(move || {
            std::thread::sleep(QUIET);
            if !seen.load(Ordering::Relaxed) {
                let _ = writeln!(std::io::stderr(), "filescomfs: waiting for an answer of {host} …");
            }
        });
        Self(over)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
    background::open_log(path).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", path.display()))
}
