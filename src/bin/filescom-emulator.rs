//! `filescom-emulator`: Files.com in miniature on a loopback port.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use filescomfs::emulator::{Emulator, Key, NameRule, PermissionSet, Settings, User};

/// Files.com in miniature: its API and its storage, with faults on request.
///
/// The first line of standard output is the base URL. GET / there lists the admin routes.
/// With neither --api-key nor --user, any key and any login is accepted.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Address of the storage
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    storage_listen: String,
    /// Base of signed URLs, where clients reach the storage under another address
    #[arg(long, value_name = "URL")]
    storage_url: Option<String>,
    /// A key to accept; may be repeated. Behind the key, with commas: set=full or set=files_only,
    /// path=FOLDER, permissions=lrwod, expires=UNIXSECONDS, name=NAME
    #[arg(long, value_name = "KEY")]
    api_key: Vec<String>,
    /// A user to accept; may be repeated
    #[arg(long, value_name = "NAME:PASSWORD")]
    user: Vec<String>,
    /// Keeps content and index in this folder instead of in memory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Pause before each API request
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Pause before each storage request [default: that of the API]
    #[arg(long, value_name = "MS")]
    storage_latency_ms: Option<u64>,
    /// Megabits per second that all uploads share, and all downloads
    #[arg(long, value_name = "MBIT")]
    bandwidth_mbit: Option<f64>,
    /// Digests that the site states: md5, crc32, both with a comma, or none
    #[arg(long, value_name = "LIST", default_value = "md5,crc32")]
    checksums: String,
    /// How long after completion digests appear
    #[arg(long, value_name = "MS", default_value_t = 50)]
    checksum_delay_ms: u64,
    /// How long moves and copies take
    #[arg(long, value_name = "MS", default_value_t = 0)]
    migration_delay_ms: u64,
    /// How long deleted folders stay visible
    #[arg(long, value_name = "MS", default_value_t = 0)]
    folder_delete_delay_ms: u64,
    /// The smallest part that is not the last, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 5_242_880)]
    part_size_min: u64,
    /// ETags of the storage are no digests, as on remote mounts
    #[arg(long)]
    opaque_etags: bool,
    /// Compares names by the older published rule
    #[arg(long)]
    latin_names: bool,
    /// Settings as a JSON object, as POST /admin/settings takes them; they win over the other flags
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// Prints each request on standard error
    #[arg(long)]
    log: bool,
}

impl Arguments {
    fn settings(self) -> anyhow::Result<Settings> {
        let mut settings = Settings {
            listen: self.listen,
            storage_listen: self.storage_listen,
            storage_url: self.storage_url,
            data: self.data,
            keys: self.api_key.iter().map(|text| key(text)).collect::<Result<_, _>>()?,
            users: self.user.iter().map(|text| user(text)).collect::<Result<_, _>>()?,
            latency_ms: self.latency_ms,
            storage_latency_ms: self.storage_latency_ms.unwrap_or(self.latency_ms),
            bandwidth_bits: self.bandwidth_mbit.map(|mbit| (mbit * 1e6) as u64),
            checksum_delay_ms: self.checksum_delay_ms,
            migration_delay_ms: self.migration_delay_ms,
            folder_delete_delay_ms: self.folder_delete_delay_ms,
            part_size_min: self.part_size_min,
            opaque_etags: self.opaque_etags,
            log_to_stderr: self.log,
            ..Settings::default()
        };
        (settings.md5, settings.crc32) = (false, false);
        for name in self.checksums.split(',').filter(|name| *name != "none") {
            match name {
                "md5" => settings.md5 = true,
                "crc32" => settings.crc32 = true,
                _ => bail!("--checksums takes md5, crc32 or none, not {name}"),
            }
        }
        if self.latin_names {
            settings.names = NameRule::Latin;
        }
        if let Some(text) = &self.settings {
            let mut all = serde_json::to_value(&settings)?;
            let changes: serde_json::Map<_, _> =
                serde_json::from_str(text).context("--settings is not a JSON object")?;
            if let Some(all) = all.as_object_mut() {
                all.extend(changes);
            }
            settings = serde_json::from_value(all).context("--settings")?;
        }
        Ok(settings)
    }
}

fn key(text: &str) -> anyhow::Result<Key> {
    let mut words = text.split(',');
    let mut key = Key { key: words.next().unwrap_or_default().to_owned(), ..Key::default() };
    for word in words {
        match word.split_once('=') {
            Some(("set", "full")) => key.permission_set = PermissionSet::Full,
            Some(("set", "files_only")) => key.permission_set = PermissionSet::FilesOnly,
            Some(("path", path)) => key.path = Some(path.to_owned()),
            Some(("permissions", letters)) => key.permissions = letters.to_owned(),
            Some(("expires", seconds)) => key.expires_at = Some(seconds.parse().context("expires")?),
            Some(("name", name)) => key.name = name.to_owned(),
            _ => bail!("--api-key does not know {word}"),
        }
    }
    Ok(key)
}

fn user(text: &str) -> anyhow::Result<User> {
    let (name, password) = text.split_once(':').context("--user takes NAME:PASSWORD")?;
    Ok(User { name: name.to_owned(), password: password.to_owned(), ..User::default() })
}

fn main() -> anyhow::Result<()> {
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(ansi).with_target(false).init();
    let settings = Arguments::parse().settings()?;
    // Before the first line of output: whoever has read it may send a signal.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ends = {
        let _inside = runtime.enter();
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let place = settings.data.as_ref().map(|data| format!(", with --data {}", data.display()));
    let place =
        format!("on {} and {}{}", settings.listen, settings.storage_listen, place.unwrap_or_default());
    let emulator =
        Emulator::start(settings).with_context(|| format!("the emulator does not start {place}"))?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", emulator.base_url())?;
    output.flush()?;
    runtime.block_on(async {
        tokio::select! {
            _ = ends.0.recv() => {}
            _ = ends.1.recv() => {}
        }
    });
    Ok(())
}
