//! Why a run could not be carried out: neither a verdict nor an observation of the cluster.

use thiserror::Error;

use crate::cli::exit::Exit;

/// A run that could not be carried out. It says nothing about the promises.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunFailure {
    /// The machine refuses what the run needs.
    #[error("this machine cannot run it: {0}; `verdict doctor` says what would allow it")]
    MachineCannot(String),
    /// What the user asked for cannot be done, and the message says what can.
    #[error("{0}")]
    Unusable(String),
    /// The harness, or what it started, is at fault.
    #[error("{0}")]
    Harness(String),
    /// The user asked to end.
    #[error("interrupted; everything was stopped")]
    Interrupted,
}

impl RunFailure {
    /// A fault of the harness with the message of `error`.
    pub fn harness(error: impl std::fmt::Display) -> Self {
        Self::Harness(error.to_string())
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::MachineCannot(_) => Exit::MachineCannot,
            Self::Unusable(_) => Exit::Usage,
            Self::Harness(_) | Self::Interrupted => Exit::HarnessFault,
        }
    }
}
