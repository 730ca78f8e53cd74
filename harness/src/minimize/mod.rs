//! Makes the plan of a failing run smaller: what is left is what the failure needs.
//!
//! In: a plan and the signatures of what it broke. Out: a plan that still breaks the same, what
//! was taken away, and for each fault that stays how often the rest ran clean without it.
//! Invariant: every plan that is kept has shown the same failure in a run of its own; a smaller
//! one is only given up after so many clean runs as the measured reproduction rate asks for.
//! Source: Zeller and Hildebrandt 2002 (ddmin); reference/faults.md §2.3.

mod ddmin;
pub mod process;
mod reduce;
pub mod search;
pub mod subject;
pub mod trial;

pub use reduce::words;
pub use search::{GivenUp, Needed, Outcome, minimize};
pub use trial::{Rate, Seen, Trial, measure};
