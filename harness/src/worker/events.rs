//! The worker's end of events: told to the harness, and waited for until it has taken note.
//!
//! In: what happens in the client. Out: lines on stdout, and the harness's acknowledgements.
//! Invariant: `tell` returns only after the acknowledgement, or when there can be none any more:
//! then the worker is about to end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::worker::protocol::{Event, Reply, Told};

/// One line to the harness.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub enum Out {
    /// The answer to a request.
    Reply(Reply),
    /// Something unasked.
    Event(Event),
}

/// Tells and waits. Clones share the numbers.
#[derive(Clone, Debug)]
pub struct Events {
    lines: mpsc::Sender<Out>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    last: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Events {
    /// Events that go out with `lines`.
    pub fn new(lines: mpsc::Sender<Out>) -> Self {
        Self {
            lines,
            shared: Arc::default(),
        }
    }

    /// A number that no event and no commit of this worker had.
    pub fn number(&self) -> u64 {
        self.shared.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells the harness and waits until it has taken note.
    pub async fn tell(&self, told: Told) {
        let event = self.number();
        let (sender, acknowledged) = oneshot::channel();
        self.lock().insert(event, sender);
        if self
            .lines
            .send(Out::Event(Event { event, told }))
            .await
            .is_ok()
        {
            // Without an acknowledgement stdin has ended, and so will this process.
            let _ = acknowledged.await;
        }
    }

    /// The harness has taken note of `event`.
    pub fn acknowledged(&self, event: u64) {
        if let Some(waiting) = self.lock().remove(&event) {
            let _ = waiting.send(());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn telling_ends_with_the_acknowledgement_of_that_event() {
        let (lines, mut out) = mpsc::channel(4);
        let events = Events::new(lines);
        let ended = Told::CommitEnded {
            commit: 1,
            error: None,
        };
        let telling = tokio::spawn({
            let events = events.clone();
            async move { events.tell(ended).await }
        });
        let Some(Out::Event(event)) = out.recv().await else {
            panic!("no event");
        };
        events.acknowledged(event.event + 1);
        assert!(!telling.is_finished());
        events.acknowledged(event.event);
        telling.await.expect("no panic");
    }
}
