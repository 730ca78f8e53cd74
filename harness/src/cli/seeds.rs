//! `--seed 7` and `--seed 1..50`.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// The seeds that one invocation runs, in order; both ends are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub RangeInclusive<u64>);

impl Seeds {
    /// How many there are.
    pub fn count(&self) -> u64 {
        (self.0.end() - self.0.start()).saturating_add(1)
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.parse::<u64>()
                .map_err(|_| format!("`{part}` is no seed; write 7 or 1..50"))
        };
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, number(text)?),
            Some((first, last)) => (number(first)?, number(last.trim_start_matches('='))?),
        };
        if first > last {
            return Err(format!(
                "{first}..{last} is empty; write the smaller seed first"
            ));
        }
        Ok(Self(first..=last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_number_or_an_inclusive_range() {
        for (text, wanted) in [
            ("7", Ok(7..=7)),
            ("1..50", Ok(1..=50)),
            ("1..=50", Ok(1..=50)),
            ("5..2", Err("5..2 is empty; write the smaller seed first")),
            ("x", Err("`x` is no seed; write 7 or 1..50")),
            ("1..", Err("`` is no seed; write 7 or 1..50")),
            ("-1", Err("`-1` is no seed; write 7 or 1..50")),
        ] {
            assert_eq!(
                text.parse::<Seeds>().map(|s| s.0),
                wanted.map_err(str::to_owned),
                "{text}"
            );
        }
    }
}
