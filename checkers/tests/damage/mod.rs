//! Histories whose numbers are damaged.
//!
//! In: a legal history, and what stands where a digit stood. Out: whether the damaged file is
//! refused by the line, or judged without a problem. Invariant: nothing that a file says panics.

use checkers::contract::Contract;
use checkers::history::History;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What a number is replaced by.
const INSTEAD: &[&str] = &[
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "0",
    "9007199254740991",
    "18446744073709551615",
    "\"x\"",
    "",
];

/// Which digits are replaced, and by what.
pub(crate) fn damages() -> impl Strategy<Value = Vec<(Index, &'static str)>> {
    vec((any::<Index>(), select(INSTEAD)), 1..6)
}

/// Damages `history`, and reads and judges what comes of it.
pub(crate) fn is_borne(
    history: &History,
    damages: Vec<(Index, &str)>,
) -> Result<(), TestCaseError> {
    let mut text = json(history);
    for (place, instead) in damages {
        let is_digit = |at: &usize| text.as_bytes()[*at].is_ascii_digit();
        let digits: Vec<usize> = (1..text.len()).filter(is_digit).collect();
        let at = digits[place.index(digits.len())];
        text.replace_range(at..=at, instead);
    }
    match History::read(text.as_bytes()) {
        Err(error) => prop_assert!(error.to_string().starts_with("line "), "{error}"),
        Ok(history) => {
            for check in checkers::check(&history, &Contract::of(&history)).checks {
                prop_assert_eq!(check.problem, None);
            }
        }
    }
    Ok(())
}

fn json(history: &History) -> String {
    let header = serde_json::to_string(&history.header).expect("writes");
    let ops = history.ops.iter();
    let ops = ops.map(|op| serde_json::to_string(op).expect("writes"));
    let lines = std::iter::once(header).chain(ops);
    lines.map(|line| line + "\n").collect()
}
