//! Where log lines go: standard error, or a file. In the background standard error is the file.
//!
//! What terminals obey is escaped by the library that formats the lines; that one event is one line, here.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// Writes each event as one line, whatever names and messages of others it repeats.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let Some((end, text)) = event.split_last() else { return Ok(0) };
        let is_break = |byte: u8| matches!(byte, b'\n' | b'\r');
        let mut line: Vec<u8> = text.iter().map(|byte| if is_break(*byte) { b' ' } else { *byte }).collect();
        line.push(*end);
        self.0.write_all(&line).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts the log. What is logged is decided by `FILESCOMFS_LOG`.
pub fn start(file: Option<File>) {
    let filter =
        std::env::var("FILESCOMFS_LOG").unwrap_or_else(|_| "filescomfs=info,fuser=error,warn".to_owned());
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_target(false);
    // A log that is started already (by a test) stays as it is.
    let _ = match file {
        Some(file) => log.with_ansi(false).with_writer(Mutex::new(Lines(file))).try_init(),
        None => log.with_ansi(io::stderr().is_terminal()).with_writer(|| Lines(io::stderr())).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_repeats() {
        let mut out = Vec::new();
        Lines(&mut out).write_all(b"WARN /a\nERROR forged\r\nby a name\n").unwrap();
        assert_eq!(out, b"WARN /a ERROR forged  by a name\n");
    }
}
