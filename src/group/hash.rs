//! Which partition of `__consumer_offsets` a group belongs to.
//!
//! Source: Kafka's `GroupCoordinatorService.partitionFor`: `Utils.abs(groupId.hashCode()) % n`.

/// The partition of `group_id` among `partitions`, which must be at least 1.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Java's `Utils.abs`: the smallest integer, which has no absolute value, becomes 0.
    (hash & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are what Java's `hashCode` gives for these texts.
    #[test]
    fn the_hash_is_that_of_java() {
        for (group_id, partitions, expected) in [
            ("", 50, 0),
            ("a", 50, 97 % 50),
            ("ab", 1000, (97 * 31 + 98) % 1000),
            ("polygenelubricants", 50, 0), // hashes to i32::MIN
            ("hello", 50, 99_162_322 % 50),
            ("ä", 1000, 228),
        ] {
            assert_eq!(
                partition_for(group_id, partitions),
                expected,
                "{group_id:?}"
            );
        }
    }
}
