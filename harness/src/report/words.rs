//! Numbers and times in words, the same everywhere on the page.

use checkers::verdict::Verdict;

use crate::report::FaultRow;
use crate::run::events::{Event, What};
use crate::run::summary::Liveness;

/// `1234567` as `1 234 567`, with narrow spaces that do not break.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Nanoseconds since the start of the run as `12.3 s`.
pub(super) fn seconds(nanos: u64) -> String {
    format!("{:.1} s", nanos as f64 / 1e9)
}

/// One noun, or several.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// What ran, in two sentences.
pub(super) fn summary(verdict: &Verdict, faults: &[FaultRow]) -> String {
    let counts = verdict.counts;
    let injected = faults.iter().filter(|fault| fault.from.is_some()).count();
    let effective = faults.iter().filter(|fault| fault.is_effective).count();
    format!(
        "{} acknowledged, {} failed for certain, {} with an unknown outcome; {} read on {}. \
         {} planned, {injected} injected, {effective} with a proven effect.",
        count(counts.acknowledged, "record"),
        thousands(counts.failed),
        thousands(counts.unknown),
        thousands(counts.read),
        count(counts.partitions, "partition"),
        count(faults.len() as u64, "fault"),
    )
}

/// Whether the cluster was whole again after healing.
pub(super) fn availability(liveness: &Liveness) -> String {
    match liveness {
        Liveness::Recovered { after_ms } => format!(
            "The cluster was whole and made progress {:.1} s after the last fault was healed.",
            *after_ms as f64 / 1e3
        ),
        Liveness::NotRecovered { reason } => format!("After healing: {reason}."),
        Liveness::NotReached { reason } => format!("The run ended early: {reason}."),
    }
}

/// What the harness found worth noting.
pub(super) fn notes(events: &[Event]) -> Vec<String> {
    let note = |event: &Event| match &event.what {
        What::Note { text } => Some(format!("{}: {text}", seconds(event.time))),
        _ => None,
    };
    events.iter().filter_map(note).collect()
}

/// A JSON value as a person would write it.
pub(super) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        serde_json::Value::Object(fields) => {
            let field =
                |(name, value): (&String, &serde_json::Value)| format!("{name} {}", plain(value));
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        for (number, wanted) in [
            (7, "7"),
            (999, "999"),
            (1000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(thousands(number).replace('\u{202f}', " "), wanted);
        }
    }

    #[test]
    fn structures_read_as_text() {
        let value = serde_json::json!({"nodes": ["n1", "n2"], "held": 3});
        assert_eq!(plain(&value), "held 3, nodes n1, n2");
    }
}
