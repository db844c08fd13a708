//! Stand-in until the control socket arrives.
use serde_json::Value;
use std::path::Path;
#[allow(missing_docs)]
pub enum Request {
    Status,
    Drain { timeout_ms: u64 },
}
#[allow(missing_docs)]
pub struct Listener;
#[allow(missing_docs)]
pub fn listen(_: &Path) -> std::io::Result<Listener> {
    Ok(Listener)
}
#[allow(missing_docs)]
pub async fn serve<F, Fut>(_: Listener, _answer: F)
where
    F: Fn(Request) -> Fut + Send + 'static,
    Fut: Future<Output = Value> + Send,
{
    std::future::pending().await
}
#[allow(missing_docs)]
pub fn remove(_: &Path) {}
