//! (skeleton)
pub mod disk;
