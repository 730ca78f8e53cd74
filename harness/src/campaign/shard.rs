//! Which part of a campaign this machine does: shard i of n takes the units with id mod n == i.
//!
//! In: `--shard 0/4`, or `--shard env` on Kubernetes, whose Indexed Jobs tell each pod its index
//! (`JOB_COMPLETION_INDEX`); how many there are the manifest has to say (`VERDICT_SHARDS`).
//! Invariant: the shards of any n are a partition of all units.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The variable that a Kubernetes Indexed Job sets in each pod.
pub const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The variable that holds the number of shards beside it: the `completions` of the Job.
pub const COUNT_VARIABLE: &str = "VERDICT_SHARDS";

/// Shard `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The shards that `parts` lack to be the whole: of each number of shards that there are any of,
/// unless those of one number are all there.
pub fn missing(parts: &BTreeSet<Shard>) -> Vec<Shard> {
    let counts: BTreeSet<u64> = parts.iter().map(|part| part.count).collect();
    let lacks = |count: u64| {
        let all = (0..count).map(move |index| Shard { index, count });
        all.filter(|shard| !parts.contains(shard))
            .collect::<Vec<_>>()
    };
    let lacking: Vec<Vec<Shard>> = counts.into_iter().map(lacks).collect();
    if lacking.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    lacking.into_iter().flatten().collect()
}

/// What the shards `parts` lack to be the whole, `unended` of which ran nothing or were not at
/// their end, in words; nothing if that is nothing.
pub fn lacks_words(parts: &BTreeSet<Shard>, unended: &BTreeSet<Shard>) -> Option<String> {
    let missing = missing(parts);
    let all = missing.len() + parts.len();
    let names = |shards: &mut dyn Iterator<Item = &Shard>| {
        shards.map(Shard::to_string).collect::<Vec<_>>().join(", ")
    };
    let gone = names(&mut missing.iter());
    let mut words = Vec::new();
    match missing.len() {
        0 => {}
        1 => words.push(format!("shard {gone} is missing: its units were not run")),
        some => words.push(format!(
            "{some} of {all} shards are missing: {gone}; their units were not run"
        )),
    }
    if !unended.is_empty() {
        let early = names(&mut unended.iter());
        words.push(format!("not at its end or without a run: {early}"));
    }
    (!words.is_empty()).then(|| words.join("; "))
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
    fn what_is_missing_of_the_whole_is_named() {
        let parts = |texts: &[&str]| -> BTreeSet<Shard> {
            texts
                .iter()
                .map(|text| text.parse().expect("a shard"))
                .collect()
        };
        for (there, wanted) in [
            (&["0/1"][..], None),
            (&["0/2", "1/2"], None),
            (
                &["1/2"],
                Some("shard 0/2 is missing: its units were not run"),
            ),
            (
                &["1/4", "3/4"],
                Some("2 of 4 shards are missing: 0/4, 2/4; their units were not run"),
            ),
            (&["0/1", "1/4"], None),
        ] {
            let lacks = lacks_words(&parts(there), &BTreeSet::new());
            assert_eq!(lacks.as_deref(), wanted, "{there:?}");
        }
        let lacks = lacks_words(&parts(&["0/2", "1/2"]), &parts(&["1/2"]));
        assert_eq!(
            lacks.as_deref(),
            Some("not at its end or without a run: 1/2")
        );
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
