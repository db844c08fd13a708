//! The life of a mount: from the first question to Files.com to the last byte that is owed.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::assemble::{Assembled, assemble};
use super::beneath::Beneath;
use super::control::{self, Listener};
use super::desk::{Desk, Ending, FAREWELL, Facts};
use super::error::MountError;
use super::fuse_fault;
use super::options::Options;
use super::presence::Presence;
use super::read_ahead;
use super::reload::Keyring;
use super::{rooms, utab};
use crate::fs::{Filesystem, Remainder};
use crate::fuse::{self, Door, Entrance, Kernel, tell_kernel};
use crate::local::descriptors;
use crate::model::descriptors::Shares;
use crate::remote::Credentials;

/// How long a mount that was told to end by a signal sends what is owed; the rest stays in the
/// journal. Below the 90 s after which systemd loses patience.
const LAST_MINUTE: Duration = Duration::from_secs(60);
/// So many of what is left are named in the log.
const NAMED: usize = 5;
/// How long a mount that was unmounted by others goes on sending.
const AFTERWARDS: Duration = Duration::from_secs(600);

/// How a mount ended.
#[derive(Debug)]
pub struct Ended {
    /// What is still owed; it stays in the state folder for the next mount.
    pub remainder: Remainder,
}

/// Mounts and serves until somebody unmounts. Calls `ready` once the mount answers; asks `credentials`
/// again on SIGHUP.
///
/// # Errors
/// All that keeps the mount from coming about. What happens later is told to those who use it.
pub fn run(
    options: Options,
    credentials: impl Fn() -> Result<Credentials, String> + Send + Sync + 'static,
    ready: impl FnOnce() + Send,
) -> Result<Ended, MountError> {
    // A limit of the shell that mounts (`ulimit -f`) is an error of one write, not the end of the mount.
    // SAFETY: to ignore a signal has no preconditions.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let (options, shares) = within_limits(rooms::settle(options, None)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
        .max_blocking_threads(shares.on_disk)
        .enable_all()
        .build()
        .map_err(MountError::Start)?;
    let assembled = runtime.block_on(assemble(&options, &shares))?;
    let Assembled { fs, stale, client, key_expires, lock, errands } = assembled;

    let listener = {
        let _context = runtime.enter();
        Listener::bind(&options.mountpoint)?
    };
    let beneath = Beneath::of(&options.mountpoint).unwrap_or_default();
    if beneath.entries > 0 {
        tracing::warn!(
            "{} is not empty: {beneath}; hidden while it is mounted",
            options.mountpoint.display()
        );
    }
    let kernel = Arc::new(Kernel::default());
    let door = Door::new(fs.clone(), runtime.handle().clone(), kernel.clone());
    let failed = |error| {
        let (mountpoint, fault) = (options.mountpoint.clone(), fuse_fault::look());
        MountError::Fuse { mountpoint, error, fault }
    };
    let session = fuse::enter(door, &entrance(&options)).map_err(failed)?;
    let presence = Arc::new(Presence::entered(&options.mountpoint));
    let session = session.spawn().map_err(failed)?;
    kernel.listens(session.notifier());
    tell_kernel(session.notifier(), stale).map_err(MountError::Start)?;
    read_ahead::widen(&options.mountpoint);
    utab::register(&options.source, &options.mountpoint);

    let touch = runtime.spawn(fs.clone().keep_in_touch());
    let streams = runtime.spawn(fs.clone().follow_streams());
    let ending: Ending = Arc::new(watch::Sender::new(None));
    let keyring = Keyring::new(Box::new(credentials), options.clone(), client.clone(), key_expires);
    let desk = Arc::new(Desk {
        fs: fs.clone(),
        facts: Facts::of(&options, client, beneath.entries),
        ending: ending.clone(),
        presence: presence.clone(),
        keyring: Arc::new(keyring),
    });
    let serving = {
        let desk = desk.clone();
        runtime.spawn(control::serve(listener, move |request| {
            let desk = desk.clone();
            async move { desk.answer(request).await }
        }))
    };
    let signals = runtime.spawn(obey(desk, options.clone()));
    ready();
    tracing::info!("{} is mounted on {}", options.source, options.mountpoint.display());

    // Until the kernel says that it is over, whoever asked for that.
    let ended = session.guard.join();
    if !matches!(ended, Ok(Ok(()))) {
        tracing::error!("the session with the kernel ended badly: {ended:?}");
    }
    presence.left();
    utab::forget(&options.mountpoint);
    fs.release_closed();
    let before = fs.remainder();
    if !before.is_nothing() {
        tracing::info!("unmounted; {} files are still being sent", before.files);
    }
    let remainder = runtime.block_on(last_drain(&fs, &ending));
    runtime.block_on(fs.keep_receipts());
    let left = remainder.held.len() + remainder.errors.len() + remainder.waiting.len();
    for owed in remainder.held.iter().chain(&remainder.errors).chain(&remainder.waiting).take(NAMED) {
        tracing::error!(
            "{} is not on Files.com: {}; it stays in {}",
            owed.path,
            owed.message,
            options.state_dir.display()
        );
    }
    if left > NAMED {
        let more = (remainder.files + remainder.attributes).max(left as u64) - NAMED as u64;
        tracing::error!(
            "and {more} more are not; `filescomfs recover {}` lists them",
            options.state_dir.display()
        );
    }
    errands.abort();
    touch.abort();
    streams.abort();
    signals.abort();
    serving.abort();
    runtime.shutdown_timeout(Duration::from_secs(5));
    // What it had made in advance goes before another mount may look.
    drop(fs);
    drop(lock);
    Ok(Ended { remainder })
}

/// As many descriptors as this process may have, and no more transfers than they suffice for.
fn within_limits(options: Options) -> (Options, Shares) {
    let limit = descriptors::take_all();
    let shares = Shares::of(limit);
    let most = options.max_uploads.max(options.max_downloads);
    if most > shares.connections {
        tracing::warn!(
            "this process may have {limit} files open, which suffice for {} uploads and as many downloads at a time \
             instead of {most}; see `ulimit -n`, or LimitNOFILE= of the unit",
            shares.connections
        );
    }
    let fewer = |wanted: usize| wanted.min(shares.connections);
    let (max_uploads, max_downloads) = (fewer(options.max_uploads), fewer(options.max_downloads));
    (Options { max_uploads, max_downloads, ..options }, shares)
}

fn entrance(options: &Options) -> Entrance {
    Entrance {
        source: options.source.clone(),
        mountpoint: options.mountpoint.clone(),
        read_only: options.read_only,
        allow_other: options.allow_other,
        words: options.kernel.clone(),
    }
}

/// Sends what is owed once nothing is mounted any more; whoever wants an end sooner is heard.
async fn last_drain(fs: &Filesystem, ending: &Ending) -> Remainder {
    let mut told = ending.subscribe();
    let known = *told.borrow_and_update();
    if let Some(limit) = known {
        return fs.drain(limit).await;
    }
    tokio::select! {
        remainder = fs.drain(AFTERWARDS) => remainder,
        _ = told.changed() => fs.drain(FAREWELL).await,
    }
}

/// SIGTERM, SIGINT and a request to stop end the mount in order; SIGHUP reads the credentials again.
async fn obey(desk: Arc<Desk>, options: Options) {
    let (ending, presence) = (&desk.ending, &desk.presence);
    let signals =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return tracing::error!("signals cannot be received; unmount with `filescomfs umount`");
    };
    let mut told = ending.subscribe();
    loop {
        tokio::select! {
            _ = terminate.recv() => { ending.send_replace(Some(LAST_MINUTE)); }
            _ = interrupt.recv() => { ending.send_replace(Some(LAST_MINUTE)); }
            // In a task of its own: whoever wants an end is heard while the new key is tried.
            _ = hangup.recv() => {
                let desk = desk.clone();
                tokio::spawn(async move { desk.reload(options.network_timeout).await });
            }
            _ = told.changed() => {
                desk.fs.end_waits();
                // What is mounted there by now is somebody else's.
                if !presence.is_served() {
                    continue;
                }
                // Unmounted already, and still in use: then this was the second time.
                if !presence.said().mounted {
                    continue;
                }
                let mountpoint = options.mountpoint.clone();
                if !presence.is_uppermost() {
                    tracing::error!(
                        "told to end, and {} leads to another mount that covers this one: unmount that first",
                        mountpoint.display()
                    );
                    continue;
                }
                tracing::info!("told to end: unmounting {}", mountpoint.display());
                // Lazily: programs that still use it keep what they have open, and nobody new comes in.
                let unmount = move || super::unmount::unmount(&mountpoint, true);
                match tokio::task::spawn_blocking(unmount).await {
                    Ok(Err(error)) if error.raw_os_error() != Some(libc::EINVAL) => {
                        tracing::error!("cannot unmount: {error}");
                    }
                    _ => {}
                }
            }
        }
    }
}
