//! Numbers and times in words, the same everywhere on the page.

use crate::report::FaultRow;
use crate::run::events::{Event, What};
use crate::run::summary::{Liveness, Summary};

/// Sentences of one list that are shown.
const SENTENCES_MAX: usize = 40;

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

/// Nanoseconds since the start of the run as `12.345`, where milliseconds matter.
pub(super) fn moment(nanos: u64) -> String {
    format!("{:.3}", nanos as f64 / 1e9)
}

/// Milliseconds since the start of the run as `12.345 s`.
pub(super) fn millis(millis: u64) -> String {
    format!("{:.3} s", millis as f64 / 1e3)
}

/// The text, or as much of it as fits into `max` letters with a sign that there is more.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(max.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// One noun, or several.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// The numbers of the run at a glance: name and value.
pub(super) fn numbers(summary: &Summary, faults: &[FaultRow]) -> Vec<(&'static str, String)> {
    let counts = summary.verdict.counts;
    let effective = faults.iter().filter(|fault| fault.is_effective).count();
    let mut numbers = vec![
        ("acknowledged", thousands(counts.acknowledged)),
        ("failed for certain", thousands(counts.failed)),
        ("in doubt", thousands(counts.unknown)),
        ("records read", thousands(counts.read)),
        ("partitions", thousands(counts.partitions)),
        ("faults proven", format!("{effective} of {}", faults.len())),
        (
            "duration",
            format!("{:.1} s", summary.duration_ms as f64 / 1e3),
        ),
        ("lines of history", thousands(counts.events)),
    ];
    if let Liveness::Recovered { after_ms } = summary.liveness {
        let after = format!("{:.1} s", after_ms as f64 / 1e3);
        numbers.insert(6, ("whole after healing", after));
    }
    numbers
}

/// Whether the cluster was whole again after healing, unless the run's sentence says it.
pub(super) fn availability(summary: &Summary) -> String {
    match &summary.liveness {
        Liveness::Recovered { after_ms } => format!(
            "The cluster was whole and made progress {:.1} s after the last fault was healed.",
            *after_ms as f64 / 1e3
        ),
        Liveness::NotRecovered { reason } | Liveness::NotReached { reason }
            if summary.sentence.contains(reason.as_str()) =>
        {
            String::new()
        }
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
    let notes: Vec<String> = events.iter().filter_map(note).collect();
    first(&notes)
}

/// The first sentences of a list, shortened, and how many more there are.
pub(super) fn first<'a>(sentences: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut sentences = sentences.into_iter();
    let kept = sentences.by_ref().take(SENTENCES_MAX);
    let mut kept: Vec<String> = kept.map(|text| shortened(text, 600)).collect();
    let more = sentences.count();
    if more > 0 {
        kept.push(format!("And {more} more, not shown here."));
    }
    kept
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
    fn long_texts_are_shortened_at_letters_not_at_bytes() {
        assert_eq!(shortened("kürzer", 6), "kürzer");
        assert_eq!(shortened("kürzer", 4), "kür…");
        assert_eq!(shortened("", 0), "");
    }

    #[test]
    fn structures_read_as_text() {
        let value = serde_json::json!({"nodes": ["n1", "n2"], "held": 3});
        assert_eq!(plain(&value), "held 3, nodes n1, n2");
    }
}
