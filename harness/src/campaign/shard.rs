//! Which part of a campaign this machine does: shard i of n takes the units with id mod n == i.
//!
//! In: `--shard 0/4`, or `--shard env` on Kubernetes, whose Indexed Jobs tell each pod its index
//! (`JOB_COMPLETION_INDEX`); how many there are the manifest has to say (`VERDICT_SHARDS`).
//! Invariant: the shards of any n are a partition of all units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The variable that a Kubernetes Indexed Job sets in each pod.
pub const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The variable that holds the number of shards beside it: the `completions` of the Job.
pub const COUNT_VARIABLE: &str = "VERDICT_SHARDS";

/// Shard `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether the unit with this id belongs to it.
    pub fn takes(self, id: &str) -> bool {
        let number = u64::from_str_radix(id, 16).unwrap_or(0);
        number % self.count == self.index
    }

    /// The shard that the environment names; `variable` looks a variable up.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let number = |name: &str| {
            let text = variable(name).ok_or_else(|| {
                format!("--shard env needs the variable {name}; set it, or write --shard 0/4")
            })?;
            let parsed = text.parse::<u64>();
            parsed.map_err(|_| format!("{name} is `{text}`; it must be a number"))
        };
        Self::new(number(INDEX_VARIABLE)?, number(COUNT_VARIABLE)?)
    }

    fn new(index: u64, count: u64) -> Result<Self, String> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(format!(
            "there is no shard {index} of {count}; the first of {count} is 0/{count}"
        ))
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "env" {
            return Self::of_environment(|name| std::env::var(name).ok());
        }
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (index, count) =
            numbers.ok_or_else(|| format!("`{text}` is no shard; write 0/4, or env"))?;
        Self::new(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_unit_belongs_to_exactly_one_shard(number: u64, count in 1_u64..50) {
            let id = format!("{number:016x}");
            let takers = (0..count).filter(|&index| Shard { index, count }.takes(&id));
            prop_assert_eq!(takers.count(), 1);
        }
    }

    #[test]
    fn a_shard_is_written_or_comes_from_the_environment() {
        for (text, wanted) in [
            ("0/4", Ok((0, 4))),
            ("3/4", Ok((3, 4))),
            (
                "4/4",
                Err("there is no shard 4 of 4; the first of 4 is 0/4"),
            ),
            (
                "0/0",
                Err("there is no shard 0 of 0; the first of 0 is 0/0"),
            ),
            ("1", Err("`1` is no shard; write 0/4, or env")),
            ("-1/4", Err("`-1/4` is no shard; write 0/4, or env")),
        ] {
            let parsed = text
                .parse::<Shard>()
                .map(|shard| (shard.index, shard.count));
            assert_eq!(parsed, wanted.map_err(str::to_owned), "{text}");
        }
        let variables = |index: &'static str, count: Option<&'static str>| {
            Shard::of_environment(move |name| match name {
                INDEX_VARIABLE => Some(index.to_owned()),
                _ => count.map(str::to_owned),
            })
        };
        assert_eq!(variables("2", Some("3")), Ok(Shard { index: 2, count: 3 }));
        let error = variables("2", None).expect_err("no count");
        assert!(error.contains(COUNT_VARIABLE), "{error}");
        assert!(variables("x", Some("3")).is_err());
    }
}
