//! What the checks ask of the service: little enough that a test can stand in for it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::model::digest::{ETag, Md5};
use crate::model::entry::Entry;
use crate::model::moment::Moment;
use crate::model::path::RemotePath;
use crate::remote::{ApiKey, Client, Completion, Error, ErrorKind, Session, Site, Sought};

/// A call that failed, as the checklist tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What happened.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { kind: error.kind(), detail: error.to_string(), remedy: error.remedy().into_owned() }
    }
}

/// An upload that was completed.
pub struct Uploaded {
    /// The file as the completion shows it.
    pub entry: Entry,
    /// What the storage answered to its one part.
    pub etag: ETag,
}

/// The service, as far as the checks go. Methods are those of [`Client`].
pub trait Service {
    async fn api_key(&self) -> Result<ApiKey, Refusal>;
    async fn log_in(&self) -> Result<Session, Refusal>;
    async fn site(&self) -> Result<Site, Refusal>;
    fn clock_skew(&self) -> Option<i64>;
    async fn probe_list(&self, path: &RemotePath) -> Result<(), Refusal>;
    async fn stat(&self, path: &RemotePath) -> Result<Option<Entry>, Refusal>;
    async fn upload(
        &self,
        path: &RemotePath,
        bytes: Bytes,
        mtime: Moment,
        metadata: BTreeMap<String, String>,
    ) -> Result<Uploaded, Refusal>;
    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), Refusal>;
    async fn read(&self, path: &RemotePath) -> Result<Vec<u8>, Refusal>;
    async fn delete(&self, path: &RemotePath) -> Result<(), Refusal>;
}

impl Service for Client {
    async fn api_key(&self) -> Result<ApiKey, Refusal> {
        Ok(self.api_key().await?)
    }

    async fn log_in(&self) -> Result<Session, Refusal> {
        Ok(self.log_in().await?)
    }

    async fn site(&self) -> Result<Site, Refusal> {
        Ok(self.site().await?)
    }

    fn clock_skew(&self) -> Option<i64> {
        self.clock_skew()
    }

    async fn probe_list(&self, path: &RemotePath) -> Result<(), Refusal> {
        Ok(self.probe_list(path).await?)
    }

    async fn stat(&self, path: &RemotePath) -> Result<Option<Entry>, Refusal> {
        Ok(self.stat(path).await?)
    }

    async fn upload(
        &self,
        path: &RemotePath,
        bytes: Bytes,
        mtime: Moment,
        metadata: BTreeMap<String, String>,
    ) -> Result<Uploaded, Refusal> {
        let (size, md5) = (bytes.len() as u64, Md5::of(&bytes));
        let upload = self.begin_upload(path, Some(size)).await?;
        let etag = self.put_part(&upload.first, bytes).await?;
        let etags = vec![(upload.first.number, etag.clone())];
        let completion =
            Completion { reference: upload.reference, etags, size, mtime: Some(mtime), metadata };
        let sought = Sought { size, md5, object: ETag::composite(&[md5]), replaces: None };
        Ok(Uploaded { entry: self.complete_upload(path, &completion, &sought).await?, etag })
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), Refusal> {
        Ok(self.rename(from, to, false).await?)
    }

    async fn read(&self, path: &RemotePath) -> Result<Vec<u8>, Refusal> {
        let download = self.open_download(path).await?;
        let mut body = self.fetch(&download, None).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn delete(&self, path: &RemotePath) -> Result<(), Refusal> {
        self.delete(path, None).await?;
        Ok(())
    }
}
