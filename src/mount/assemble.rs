//! Puts the rooms together, and finds out whether the folder can be mounted at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::error::MountError;
use super::options::Options;
use crate::fs::{Filesystem, Rules, Stale};
use crate::local::failpoint;
use crate::local::journal::{self, Facts, Journal, OpenError, Place};
use crate::local::lock::StateLock;
use crate::local::receipts::Receipts;
use crate::local::recovery::Recovery;
use crate::local::store::Store;
use crate::model::attributes::Defaults;
use crate::model::descriptors::Shares;
use crate::model::entry::{Entry, Kind};
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::model::policy::Verify;
use crate::model::temporary::TemporaryNames;
use crate::remote::{self, Client, ClientOptions, Credentials, ErrorKind, is_out_of_reach};

/// A filesystem that is ready for the kernel.
pub struct Assembled {
    /// The journeys.
    pub fs: Arc<Filesystem>,
    /// What the kernel must forget.
    pub stale: UnboundedReceiver<Stale>,
    /// The way to Files.com, for new credentials.
    pub client: Client,
    /// When the key ends, where it says.
    pub key_expires: Option<Moment>,
    /// Nobody else uses the state folder, nor the cache folder.
    pub lock: StateLock,
    /// What works in the background.
    pub errands: JoinHandle<()>,
}

/// Opens the local rooms, asks Files.com who we are and whether the folder is there, and takes up what an
/// earlier mount owed. No more is kept open than `shares` say.
pub async fn assemble(options: &Options, shares: &Shares) -> Result<Assembled, MountError> {
    let client = client_of(options)?;
    client.limit_calls(shares.connections);
    let lock = StateLock::take(&options.state_dir)?.with_cache(&options.cache_dir)?;
    let path = options.state_dir.join("journal.sqlite");
    let opened = match Journal::open(&path) {
        Ok(opened) => Ok(opened),
        Err(OpenError::Damaged(why)) => Err(why),
        Err(error) => return Err(MountError::Journal { path, error }),
    };
    let place = Place { site: options.base.origin().ascii_serialization(), folder: options.folder.clone() };
    let known = match &opened {
        Ok((_, facts)) => belongs_here(facts, &place, options)?,
        Err(_) => false,
    };

    let site = match ask_site(&client, options).await {
        Ok(site) => Some(site),
        Err(MountError::Remote(error)) if options.offline_start && known && is_out_of_reach(error.kind()) => {
            tracing::warn!(
                "Files.com cannot be reached; mounting what is known of {}: {error}",
                options.source
            );
            None
        }
        Err(error) => return Err(error),
    };
    // Only now is anything changed: a mount that does not come about leaves things as they were.
    let (journal, facts) = match opened {
        Ok(opened) => opened,
        Err(why) => begin_anew(&path, &why)?,
    };
    let (store, left) = Store::open(&options.state_dir, &options.cache_dir)
        .map_err(|error| local(&options.state_dir, error))?;
    store.share(shares);
    store.keep_from(facts.owed.iter().map(|owed| owed.id));
    failpoint::reach("recover.journal-open");
    let plan = Recovery::plan(facts, left);
    let path = options.state_dir.join("receipts.sqlite");
    let receipts = Receipts::open(&path).map_err(|error| MountError::Receipts { path, error })?;
    if !known {
        // Whatever they are of, it is another folder.
        receipts.forget_all();
    }
    let (fs, stale) = Filesystem::new(rules(options), client.clone(), store, journal, receipts);
    // What is taken up waits for steps that may have been taken before.
    let errands = tokio::spawn(fs.clone().run_errands());
    let Some(SiteFacts { key_expires, root, listing }) = site else {
        fs.start_unseen()?;
        fs.recover(plan, place).await?;
        return Ok(Assembled { fs, stale, client, key_expires: None, lock, errands });
    };
    if let Some(entry) = root {
        fs.describe_root(entry)?;
    }
    // Where changes of names wait, the listing is of a moment before them.
    let is_known = listing.is_whole && plan.steps.is_empty();
    if is_known {
        fs.take_root_listing(listing.entries, listing.asked)?;
    }
    fs.recover(plan, place).await?;
    if !is_known {
        // Whoever looks first finds it under way.
        let fs = fs.clone();
        tokio::spawn(async move { fs.list_root().await });
    }
    Ok(Assembled { fs, stale, client, key_expires, lock, errands })
}

fn client_of(options: &Options) -> Result<Client, remote::Error> {
    Client::new(ClientOptions {
        base: options.base.clone(),
        credentials: options.credentials.clone(),
        network_timeout: options.network_timeout,
        max_uploads: options.max_uploads,
        max_downloads: options.max_downloads,
        bandwidth_up: options.bandwidth_up.clone(),
        bandwidth_down: options.bandwidth_down.clone(),
        allow_http: options.allow_http,
    })
}

/// What Files.com says before anything is mounted.
struct SiteFacts {
    key_expires: Option<Moment>,
    /// The folder that is mounted; the site's own root has no entry.
    root: Option<Entry>,
    /// What is in it, as far as one page goes.
    listing: FirstPage,
}

/// Asks with other credentials what a mount asks before it comes about; answers with the end of the key, where it says.
/// Changes nothing anywhere, whenever it is dropped.
pub(super) async fn try_credentials(options: &Options) -> Result<Option<Moment>, MountError> {
    let facts = ask_site(&client_of(options)?, options).await?;
    Ok(facts.key_expires)
}

/// The first page of the folder that is mounted.
struct FirstPage {
    entries: Vec<Entry>,
    /// There are no more.
    is_whole: bool,
    asked: Instant,
}

/// Asks everything at the same time: each question on its own would cost a round trip, and the first of a
/// connection two or three. Of several refusals the one is told that explains the others.
async fn ask_site(client: &Client, options: &Options) -> Result<SiteFacts, MountError> {
    let (asked, folder) = (Instant::now(), &options.folder);
    let credentials = check_credentials(client, &options.credentials);
    let others = async {
        tokio::join!(
            check_folder(client, folder),
            client.list_first_page(folder),
            check_digests(client, options.verify)
        )
    };
    let (key_expires, (root, listing, digests)) = match &options.credentials {
        Credentials::ApiKey(_) => {
            let (key_expires, others) = tokio::join!(credentials, others);
            (key_expires?, others)
        }
        // A session comes first, and one that is refused is not asked for four times.
        Credentials::Login { .. } => (credentials.await?, others.await),
    };
    let (root, (entries, is_whole)) = (root?, listing?);
    digests?;
    Ok(SiteFacts { key_expires, root, listing: FirstPage { entries, is_whole, asked } })
}

/// A fresh journal in the place of a damaged one, which is kept. No fact explains what is in the spool then, so
/// all of it is set aside and named; nothing is deleted.
fn begin_anew(path: &Path, why: &str) -> Result<(Journal, Facts), MountError> {
    let kept = journal::set_aside(path).map_err(|error| local(path, error))?;
    tracing::error!(
        "the journal of an earlier mount is damaged ({why}); it is kept at {}, and what was owed is set aside in \
         the quarantine folder beside it, file by file",
        kept.display()
    );
    Journal::open(path).map_err(|error| MountError::Journal { path: path.to_owned(), error })
}

/// Was this very folder mounted before? What is owed to another one must not be sent here.
fn belongs_here(facts: &Facts, here: &Place, options: &Options) -> Result<bool, MountError> {
    match &facts.place {
        Some(there) if there != here && !facts.is_empty() => Err(MountError::OtherPlace {
            state_dir: options.state_dir.clone(),
            there: format!("{}:{}", there.site, there.folder),
            here: format!("{}:{}", here.site, here.folder),
        }),
        there => Ok(there.as_ref() == Some(here)),
    }
}

fn rules(options: &Options) -> Rules {
    Rules {
        folder: options.folder.clone(),
        mountpoint: options.mountpoint.clone(),
        defaults: Defaults::with_umask(options.umask, options.uid, options.gid),
        close: options.close,
        verify: options.verify,
        metadata: options.metadata,
        names: options.names,
        hard_links: options.hard_links,
        symlinks: options.symlinks,
        dir_ttl: options.dir_ttl,
        temporary: TemporaryNames::with(options.temporary_names.iter().cloned()),
        temporary_hold: options.temporary_hold,
        max_uploads: options.max_uploads,
        cache_size: options.cache_size,
        network_timeout: options.network_timeout,
    }
}

fn local(path: &Path, error: std::io::Error) -> MountError {
    MountError::Local { path: path.to_owned(), error }
}

async fn check_credentials(client: &Client, credentials: &Credentials) -> Result<Option<Moment>, MountError> {
    match credentials {
        Credentials::ApiKey(_) => {
            let key = client.api_key().await?;
            Ok(key.expires_at)
        }
        Credentials::Login { .. } => {
            client.log_in().await?;
            Ok(None)
        }
    }
}

async fn check_folder(client: &Client, folder: &RemotePath) -> Result<Option<Entry>, MountError> {
    if folder.is_root() {
        return Ok(None);
    }
    match client.stat(folder).await? {
        None => Err(MountError::FolderMissing(folder.clone())),
        Some(entry) if entry.kind == Kind::File => Err(MountError::NotAFolder(folder.clone())),
        Some(entry) => Ok(Some(entry)),
    }
}

/// Does the site state MD5s, where they are required?
async fn check_digests(client: &Client, verify: Verify) -> Result<(), MountError> {
    if verify != Verify::Strict {
        return Ok(());
    }
    match client.site().await {
        Ok(site) if site.checksums.md5 == Some(false) => Err(MountError::NoMd5),
        Ok(_) => Ok(()),
        // Not every key may read the site's settings: then the first file will tell.
        Err(error) if error.kind() == ErrorKind::Permission => {
            tracing::warn!(
                "this key may not read the site's settings; whether MD5 is on shows with the first file"
            );
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
