//! The guarantee matrix: promises as rows, classes of faults as columns, and the runs that fill it.
//!
//! In: a row pack, a column and a seed. Out: the plan of one run, and after it one outcome for
//! each row that the run covered.
//! Invariant: every row and every column has one name, which commands, files and pages share.

pub mod column;
pub mod control;
pub mod outcome;
pub mod plan;
pub mod row;
mod scene;
pub mod struck;

pub use column::{COLUMNS, Column};
pub use outcome::RowOutcome;
pub use plan::plan;
pub use row::{Pack, Row};
