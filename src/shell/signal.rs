//! How a node is told to stop: by a handle, or by SIGTERM and SIGINT.
//!
//! In: signals, or calls of `Stopper`. Out: a `Shutdown` that the node watches. The first signal
//! asks for a controlled shutdown, the second one for an abrupt one.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How a node is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// Hand leaderships over, flush, write the clean-shutdown marker.
    Controlled,
    /// At once, as if the process had been killed.
    Abrupt,
}

/// Tells a node to stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Stop>);

impl Stopper {
    /// Asks for `stop`; a weaker request after a stronger one changes nothing.
    pub fn stop(&self, stop: Stop) {
        self.0.send_if_modified(|current| {
            let stronger = stop > *current;
            *current = stop.max(*current);
            stronger
        });
    }
}

/// The node's end of a `Stopper`.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Stop>);

impl Shutdown {
    /// A stopper and what it stops.
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(Stop::No);
        (Stopper(sender), Self(receiver))
    }

    /// A shutdown that SIGTERM and SIGINT cause. Needs a runtime of tokio.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (stopper, shutdown) = Self::new();
        tokio::spawn(async move {
            for stop in [Stop::Controlled, Stop::Abrupt] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!(?stop, "signal received");
                stopper.stop(stop);
            }
        });
        Ok(shutdown)
    }

    /// Whether anything was asked for yet.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() > Stop::No
    }

    /// Waits for a request that is stronger than `than`; forever once nobody can make one.
    pub async fn wait_beyond(&mut self, than: Stop) -> Stop {
        match self.0.wait_for(|stop| *stop > than).await {
            Ok(stop) => *stop,
            Err(_) => std::future::pending().await,
        }
    }
}
