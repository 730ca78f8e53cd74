//! Reads a plan from a file and refuses one that cannot be run, in one line that names the file,
//! the field and the remedy.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::plan::Plan;
use crate::plan::validate::{Complaint, complaint};

/// A plan that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("{}: cannot read the plan: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The text is not a plan.
    #[error("{}:{line}:{column}: not a plan: {reason}; see any run's plan.json", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A field has a value that makes no sense.
    #[error("{}: {field} is {value}; {remedy}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// Its value.
        value: String,
        /// What would be right.
        remedy: String,
    },
}

impl Plan {
    /// Reads the plan at `path`.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|error| PlanError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Self::parse(&text, path)
    }

    /// Reads a plan from `text`; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(|error| PlanError::Malformed {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            reason: reason(&error),
        })?;
        plan.check(path)?;
        Ok(plan)
    }

    /// Refuses a plan that cannot be run; `path` is for messages.
    pub fn check(&self, path: &Path) -> Result<(), PlanError> {
        match complaint(self) {
            None => Ok(()),
            Some(Complaint {
                field,
                value,
                remedy,
            }) => Err(PlanError::Invalid {
                path: path.to_owned(),
                field,
                value,
                remedy,
            }),
        }
    }
}

/// The parser's message without the position, which the line already carries.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}
