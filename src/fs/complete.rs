//! The completion: parts that are with the storage become a file, under the name that it has at this moment.

use std::collections::BTreeMap;
use std::time::Instant;

use super::job::{Job, Trouble};
use super::upload::Parcel;
use super::{Filesystem, told};
use crate::model::attributes::{Attributes, on_the_wire};
use crate::model::entry::Entry;
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::node::Body;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;
use crate::remote::{Completion, ErrorKind};

impl Filesystem {
    /// Makes the parts a file, under the name that it has at this moment.
    pub(super) async fn complete(
        &self,
        job: &Job,
        parcel: &Parcel,
    ) -> Result<(Entry, RemotePath, Attributes), Trouble> {
        let _naming = self.naming.take(job.ino).await.map_err(Failure::from)?;
        let _shape = self.paths_stay(&[job.ino]).await.map_err(Failure::from)?;
        if !self.is_wanted(job) {
            return Err(Trouble::Overtaken);
        }
        let (path, attributes, completion) = {
            let core = self.core();
            let node = core.tree.node(job.ino).map_err(|_| Trouble::Overtaken)?;
            let path = core.tree.path(job.ino).ok_or(Trouble::Overtaken)?;
            if core.backlog.last_at(&path).is_some() {
                return Err(Trouble::Behind);
            }
            let etags = (1..).zip(parcel.sent.parts.iter().map(|part| part.etag.clone())).collect();
            let completion = Completion {
                reference: parcel.reference.clone(),
                etags,
                size: job.size,
                mtime: Some(on_the_wire(node.attributes.mtime)),
                metadata: self.metadata(&core, node),
            };
            (path, node.attributes, completion)
        };
        let sought = parcel.sought(job);
        let doubtful = self.may_be_completed(job, &path);
        if doubtful {
            // Asked for by an earlier attempt, whose answer nobody heard.
            if let Some(entry) = self.remote.find(&path, &sought).await? {
                tracing::info!("{path} was completed before; nothing is sent again");
                self.note_completion(job.ino, &entry);
                let shown = as_shown(attributes, &entry);
                return Ok((entry, path, shown));
            }
        }
        self.note_completing(job, &path).await;
        let mut answer = self.remote.complete_upload(&path, &completion, &sought).await;
        if let Err(error) = &answer
            && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Permission)
            && !completion.metadata.is_empty()
        {
            // Remote server mounts take no metadata, and some keys may not write any: the bytes count.
            let bare = Completion { metadata: BTreeMap::new(), ..completion };
            let why = told(error);
            answer = self.remote.complete_upload(&path, &bare, &sought).await;
            if answer.is_ok() {
                self.metadata_refused(&why);
            }
        }
        let entry = match answer {
            Ok(entry) => entry,
            Err(error) => {
                if error.is_in_doubt() {
                    self.note_doubt(job, parcel);
                }
                return Err(match error.kind() {
                    // It was carried out, and is not there any more.
                    ErrorKind::OutcomeUnknown if doubtful => Trouble::Lost(told(&error)),
                    _ => error.into(),
                });
            }
        };
        if entry.name == path.name() {
            self.note_completion(job.ino, &entry);
        }
        Ok((entry, path, attributes))
    }

    /// Files.com has something under this path from now on, proven or not: whoever renames or deletes the
    /// file before the proof does so there, too.
    fn note_completion(&self, ino: Ino, entry: &Entry) {
        if let Ok(node) = self.core().tree.node_mut(ino) {
            node.touched = Some(Instant::now());
            if let Body::File(file) = &mut node.body {
                file.published = Some(entry.fingerprint());
                file.perhaps = None;
            }
        }
    }

    /// Files.com may have these bytes: whoever deletes or renames the file sees to it that they go.
    fn note_doubt(&self, job: &Job, parcel: &Parcel) {
        if let Ok(file) = self.core().tree.file_mut(job.ino) {
            let md5 = Some(parcel.sent.digest.md5);
            let sent = Fingerprint { size: job.size, created: None, changed: None, md5, crc32: None };
            file.perhaps = Some(Box::new(sent));
        }
    }
}

/// Attributes as an entry shows that they were sent: others are still owed.
fn as_shown(ours: Attributes, entry: &Entry) -> Attributes {
    match entry.provided {
        Some(provided) if provided != on_the_wire(ours.mtime) => Attributes { mtime: provided, ..ours },
        _ => ours,
    }
}
