//! Tests of the coordinator: synchronous calls that assert answers, state and effects.
