//! The verdict command (skeleton).
fn main() {}
