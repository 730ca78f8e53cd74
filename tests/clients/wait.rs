//! Waiting on conditions, never on time alone; every wait has an end.

use std::time::Duration;

use libtest_mimic::Failed;
use tokio::time::{Instant, sleep};

/// How long one answer may take on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long a client may take over everything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Asks `ask` again and again until it has a value.
pub(crate) async fn until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Failed>,
) -> Result<T, Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().await? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            return Err(format!("{what} did not happen in {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for `future`, and gives up with a word on `what`.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Failed> {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.map_err(|_| format!("{what} did not happen in {PATIENCE:?}").into())
}
