//! Checkers (skeleton).
