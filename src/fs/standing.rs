//! Where one file stands, by what is known of its newest bytes and by the receipts of earlier proofs.

use super::Filesystem;
use super::core::Core;
use crate::model::content::State;
use crate::model::ino::Ino;
use crate::model::path::RemotePath;
use crate::model::proof::Fingerprint;
use crate::model::receipt::Receipt;

/// What Files.com holds under a path, as far as this mount knows.
#[derive(Debug, Clone)]
pub(super) struct There {
    pub path: RemotePath,
    pub version: Fingerprint,
}

/// The version of `ino` that Files.com holds under the path that the tree shows; `None` while anything
/// about bytes or names is owed.
pub(super) fn there(core: &Core, ino: Ino) -> Option<There> {
    let file = core.tree.file(ino).ok()?;
    let version = file.published.filter(|_| *file.content.state() == State::Clean)?;
    let path = core.tree.path(ino)?;
    core.backlog.last_at(&path).is_none().then_some(There { path, version })
}

impl Filesystem {
    /// The receipt of what Files.com holds now of `ino`, if it was proven here.
    async fn receipt_of(&self, ino: Ino) -> Option<Receipt> {
        let There { path, version } = there(&self.core(), ino)?;
        let receipt = self.receipts.at(&path).await.ok()??;
        receipt.is_of(&version).then_some(receipt)
    }

    /// Waits until the receipts of all proofs so far are in their file.
    pub async fn keep_receipts(&self) {
        self.receipts.flush().await;
    }

    /// What `getfattr -n user.filescomfs.NAME` tells of a file; `None` for other names.
    pub async fn told_of(&self, ino: Ino, name: &str) -> Option<String> {
        match name {
            "state" => self.state_of(ino).await.map(str::to_owned),
            "error" => {
                let core = self.core();
                let file = core.tree.file(ino).ok()?;
                let contradiction = file.contradicted.as_ref().map(ToString::to_string);
                file.failure.as_ref().map(ToString::to_string).or(contradiction)
            }
            "md5" => {
                let known = {
                    let core = self.core();
                    let file = core.tree.file(ino).ok()?;
                    if file.contradicted.is_some() {
                        return None;
                    }
                    file.proven.or(file.published.and_then(|version| version.md5))
                };
                match known {
                    Some(md5) => Some(md5.to_string()),
                    None => {
                        let receipt = self.receipt_of(ino).await.filter(|r| !r.basis.is_weak())?;
                        Some(receipt.md5.to_string())
                    }
                }
            }
            _ => None,
        }
    }

    /// One word for where the newest bytes of a file are.
    async fn state_of(&self, ino: Ino) -> Option<&'static str> {
        {
            let core = self.core();
            match core.tree.file(ino).ok()?.content.state() {
                State::Dirty(_) => return Some("dirty"),
                State::Sealed(_) if core.uploading.contains_key(&ino) => return Some("uploading"),
                State::Sealed(_) => return Some("owed"),
                State::Held(_) => return Some("held"),
                // A rename waits: Files.com has it under another name.
                State::Clean if there(&core, ino).is_none() => return Some("owed"),
                State::Clean if core.tree.file(ino).ok()?.contradicted.is_some() => return Some("damaged"),
                State::Clean => {}
            }
        }
        Some(match self.receipt_of(ino).await {
            Some(receipt) if receipt.basis.is_weak() => "weak",
            Some(_) => "verified",
            None => "stored",
        })
    }
}
