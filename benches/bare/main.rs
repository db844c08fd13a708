//! The bare limit: the requests that a filesystem cannot do without, sent as plain parallel HTTP from memory.
//!
//! No file system, no digests, no journal, no retries: what is left is the service, the network and HTTP. A mount
//! cannot be quicker than this with the same number of requests at a time. `scripts/bench` runs it beside the
//! mounts. The clock runs from the first request to the last answer; what is read from the disk is in memory
//! before. One line of JSON on standard output tells the result; seconds everywhere.

mod api;
mod fetch;
mod send;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};
use serde_json::json;

use api::Api;

/// What may go wrong here ends the program: a limit that was not reached is no limit.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Arguments {
    /// Base URL of the site
    #[arg(long)]
    site: String,
    /// API key
    #[arg(long)]
    key: String,
    /// Folder on the site
    #[arg(long)]
    folder: String,
    /// Requests at the same time
    #[arg(long, default_value_t = 16)]
    parallel: usize,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Uploads every file of a folder
    Send {
        source: PathBuf,
        /// Bytes of each part but the last
        #[arg(long, default_value_t = 16 << 20)]
        part: usize,
        /// Afterwards, outside the clock, waits until the site states the MD5 of the last file, and tells when
        #[arg(long)]
        await_md5: bool,
    },
    /// Downloads one file in ranges
    Fetch {
        path: String,
        /// Bytes of each range
        #[arg(long, default_value_t = 16 << 20)]
        range: u64,
    },
    /// Fetches small ranges one after the other
    Jump {
        path: String,
        /// File of offsets, one a line
        offsets: PathBuf,
        /// Bytes of each read
        #[arg(long, default_value_t = 4096)]
        size: u64,
    },
    /// Lists the folder and all below
    List,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = runtime.block_on(work(arguments))?;
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}

async fn work(arguments: Arguments) -> Outcome<serde_json::Value> {
    let Arguments { site, key, folder, parallel, work } = arguments;
    let api = Api::new(&site, &key, &folder)?;
    match work {
        Work::Send { source, part, await_md5 } => {
            let files = send::load(&source)?;
            let last = files.last().map(|file| file.path.clone());
            let (start, cpu) = (Instant::now(), cpu_seconds());
            send::all(&api, files, part, parallel).await?;
            let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
            let mut told = json!({"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib()});
            if let Some(path) = last.filter(|_| await_md5) {
                while api.stat(&path).await?["md5"].as_str().is_none_or(str::is_empty) {}
                told["proven"] = json!(start.elapsed().as_secs_f64());
            }
            Ok(told)
        }
        Work::Fetch { path, range } => timed(fetch::ranges(&api, &path, range, parallel)).await,
        Work::Jump { path, offsets, size } => {
            let offsets = std::fs::read_to_string(offsets)?;
            let offsets: Vec<u64> = offsets.lines().map(str::parse).collect::<Result<_, _>>()?;
            timed(fetch::jumps(&api, &path, &offsets, size)).await
        }
        Work::List => timed(fetch::tree(&api, parallel)).await,
    }
}

/// Runs `work` under the clock; it tells how many bytes or entries it got.
async fn timed(work: impl Future<Output = Outcome<u64>>) -> Outcome<serde_json::Value> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let got = work.await?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Ok(json!({"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib(), "got": got}))
}

/// What this process has used so far.
fn usage() -> libc::rusage {
    // SAFETY: getrusage fills the value that it is given; all its fields are plain numbers.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    }
}

/// Processor time, in user and system mode.
fn cpu_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The largest resident size; what was read from the disk beforehand is in it.
fn peak_mib() -> f64 {
    usage().ru_maxrss as f64 / 1024.0
}
