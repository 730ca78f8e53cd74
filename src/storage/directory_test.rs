//! A log directory in memory: requests, recovery, and random operations with crashes.
