//! What can be wrong with a configuration, in one line that says what would be right.

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No key of this name exists.
    #[error("unknown key {key}: did you mean {nearest}?")]
    UnknownKey {
        /// The key as given.
        key: String,
        /// The known key that is spelled most alike.
        nearest: &'static str,
    },
    /// The value does not fit the key.
    #[error("bad value for {key}: {value:?} is not {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A key without default was not set.
    #[error("{key} is not set: it needs {expected}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What would be right.
        expected: String,
    },
    /// A line is not `key=value`.
    #[error("line {line}: {text:?} is not key=value")]
    NotAPair {
        /// The line's number, from 1; 0 for a `--set` argument.
        line: usize,
        /// The line.
        text: String,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// The name in `known` with the smallest edit distance from `given`.
pub(super) fn nearest(given: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known
        .min_by_key(|name| edit_distance(given, name))
        .unwrap_or("")
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut current = vec![i + 1];
        let mut diagonal = i;
        for (r, above) in right.iter().zip(previous.iter().skip(1)) {
            let before = current.last().copied().unwrap_or(i);
            let substituted = diagonal + usize::from(l != *r);
            current.push(substituted.min(before + 1).min(above + 1));
            diagonal = *above;
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_insertions_deletions_and_substitutions() {
        for (left, right, want) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edit_distance(left, right), want, "{left} {right}");
        }
    }
}
