//! Where log lines go: standard error, or a file. In the background standard error is the file.

use std::fs::File;
use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// Starts the log. What is logged is decided by `FILESCOMFS_LOG`.
pub fn start(file: Option<File>) {
    let filter =
        std::env::var("FILESCOMFS_LOG").unwrap_or_else(|_| "filescomfs=info,fuser=error,warn".to_owned());
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_target(false);
    // A log that is started already (by a test) stays as it is.
    let _ = match file {
        Some(file) => log.with_ansi(false).with_writer(Mutex::new(file)).try_init(),
        None => log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).try_init(),
    };
}
