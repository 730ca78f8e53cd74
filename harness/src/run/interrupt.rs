//! Ctrl-C and SIGTERM: the run ends early but cleanly.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::run::failure::RunFailure;

/// Whether the user asked to end. Clones agree.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP in this runtime.
    pub fn listen() -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            sender.send_replace(true);
            // The sender lives on, so that a receiver never takes its end for a sign.
            std::future::pending::<()>().await;
        });
        Ok(Self(receiver))
    }

    /// One that comes when the sender says so.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, watch::Sender<bool>) {
        let (sender, receiver) = watch::channel(false);
        (Self(receiver), sender)
    }

    /// Whether the sign has come.
    pub fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// The output of `future`, unless the sign comes first.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Result<T, RunFailure> {
        let mut receiver = self.0.clone();
        tokio::select! {
            output = future => Ok(output),
            _ = receiver.wait_for(|come| *come) => Err(RunFailure::Interrupted),
        }
    }
}
