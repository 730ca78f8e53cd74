//! One row of a configuration table: a key's name, type, default and meaning.
//!
//! In: a raw string. Out: the parsed number, flag or text, or an error that says what is expected.

use super::ConfigError;

/// The type of a key's value, with its bounds (both inclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// An integer of 32 bits.
    Int(i64, i64),
    /// An integer of 64 bits.
    Long(i64, i64),
    /// Any text.
    Text,
    /// A comma-separated list.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// One known key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value when it is not set; `None` if the key must be set.
    pub default: Option<&'static str>,
    /// What it does, in one line; units included.
    pub doc: &'static str,
}

impl Key {
    /// A row of a table.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            doc,
        }
    }

    /// Checks `value` against the type and the bounds.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        let fits = match self.kind {
            Kind::Bool => matches!(value, "true" | "false"),
            Kind::Int(min, max) | Kind::Long(min, max) => value
                .parse::<i64>()
                .is_ok_and(|number| (min..=max).contains(&number)),
            Kind::Text | Kind::List => true,
            Kind::OneOf(words) => words.contains(&value),
        };
        if fits {
            Ok(())
        } else {
            Err(self.bad(value, self.expected()))
        }
    }

    /// The error for `value`, which is not `expected`.
    pub(super) fn bad(&self, value: &str, expected: impl Into<String>) -> ConfigError {
        ConfigError::BadValue {
            key: self.name,
            value: value.to_owned(),
            expected: expected.into(),
        }
    }

    /// What a value of this key has to be, in words.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Bool => "true or false".to_owned(),
            Kind::Int(min, i64::MAX) | Kind::Long(min, i64::MAX) => {
                format!("a whole number of at least {min}")
            }
            Kind::Int(min, max) | Kind::Long(min, max) => {
                format!("a whole number from {min} to {max}")
            }
            Kind::Text => "a text".to_owned(),
            Kind::List => "a comma-separated list".to_owned(),
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// The largest value of Kafka's 32-bit keys.
pub(super) const INT_MAX: i64 = i32::MAX as i64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_the_error_names_them() {
        let key = Key::new("k", Kind::Int(1, 3), Some("1"), "");
        assert!(key.check("1").is_ok() && key.check("3").is_ok());
        for bad in ["0", "4", "x", "", "1.5", " 1"] {
            let message = key.check(bad).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("bad value for k: {bad:?} is not a whole number from 1 to 3")
            );
        }
    }
}
