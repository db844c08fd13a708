//! Signed URLs: made by the API, checked by the storage.
//!
//! The signature is an HMAC-MD5 over method, path and query under a secret of this run. Only its shape
//! is Amazon's; clients treat it as opaque. Nothing is remembered of a URL: all that matters is in it.

use md5::{Digest, Md5};
use url::form_urlencoded::Serializer;

use super::call::Call;
use super::clock::Time;
use super::errors::StorageError;
use super::hex::hex;

const SIGNATURE: &str = "X-Amz-Signature";

/// Signs and checks.
#[derive(Debug)]
pub(super) struct Signer {
    /// Where the storage listens, such as `http://127.0.0.1:4042`.
    listens: String,
    secret: [u8; 32],
}

impl Signer {
    pub(super) fn new(listens: String) -> Self {
        Self { listens, secret: rand::random() }
    }

    /// A URL for one method on one object, good from the call on for `life` seconds.
    pub(super) fn url(
        &self,
        call: &Call<'_>,
        method: &str,
        path: &str,
        life: u64,
        more: &[(&str, &str)],
    ) -> String {
        let now = call.now;
        let base = call.settings.storage_url.as_ref().unwrap_or(&self.listens);
        let date = now.amz();
        let mut query = Serializer::new(String::new());
        query
            .append_pair("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
            .append_pair("X-Amz-Credential", "EMULATOR/us-east-1/s3/aws4_request")
            .append_pair("X-Amz-Date", &date)
            .append_pair("X-Amz-Expires", &life.to_string())
            .append_pair("X-Amz-SignedHeaders", "host");
        query.extend_pairs(more);
        let query = query.finish().replace('+', "%20");
        let signature = self.sign(method, path, &query);
        format!("{}{path}?{query}&{SIGNATURE}={signature}", base.trim_end_matches('/'))
    }

    /// Refuses what was not signed here or is past its time.
    pub(super) fn check(&self, method: &str, path: &str, query: &str, now: Time) -> Result<(), StorageError> {
        let denied = |text: &str| StorageError::new(403, "AccessDenied", text);
        let (signed, signature) =
            query.rsplit_once("&X-Amz-Signature=").ok_or_else(|| denied("Access Denied"))?;
        let field = |name: &str| {
            url::form_urlencoded::parse(signed.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v)
        };
        let date = field("X-Amz-Date").and_then(|text| Time::from_amz(&text));
        let life = field("X-Amz-Expires").and_then(|text| text.parse::<u64>().ok());
        let (Some(date), Some(life)) = (date, life) else {
            return Err(denied("Query-string authentication requires X-Amz-Date and X-Amz-Expires"));
        };
        if self.sign(method, path, signed) != signature {
            return Err(StorageError::new(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            ));
        }
        let expires = date.plus_seconds(life);
        if now >= expires {
            return Err(StorageError::expired(life, expires, now));
        }
        Ok(())
    }

    fn sign(&self, method: &str, path: &str, query: &str) -> String {
        let mut block = [0u8; 64];
        block[..32].copy_from_slice(&self.secret);
        let inner = Md5::new()
            .chain_update(block.map(|byte| byte ^ 0x36))
            .chain_update(method)
            .chain_update("\n")
            .chain_update(path)
            .chain_update("\n")
            .chain_update(query)
            .finalize();
        hex(&Md5::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize())
    }
}
