//! Exact searches for small models, where a history gives no order away.

pub(crate) mod register;
