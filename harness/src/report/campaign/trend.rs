//! The trend over campaigns: small pictures, and the same numbers as a table.
//!
//! In: the digests of earlier campaigns and of this one. Out: one curve for each number.

use std::fmt::Write as _;

use crate::report::campaign::past::Digest;
use crate::report::words::thousands;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 44.0;
const MARGIN: f64 = 5.0;

/// One number over all campaigns.
pub(super) struct Curve {
    pub(super) heading: &'static str,
    pub(super) now: String,
    pub(super) picture: String,
}

/// One campaign in numbers.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) started: String,
    pub(super) broken: String,
    pub(super) runs: String,
    pub(super) an_hour: String,
    pub(super) share: String,
    /// Whether there is a page to lead to: this campaign's own has no link to itself.
    pub(super) is_past: bool,
}

type Words<'a> = &'a dyn Fn(f64) -> String;
type Measure = fn(&Digest) -> f64;

/// The curves.
pub(super) fn curves(past: &[Digest], now: &Digest) -> Vec<Curve> {
    let whole = |value: f64| thousands(value.round() as u64);
    let share = |value: f64| format!("{value:.0} %");
    let measures: [(&str, Measure, Words<'_>); 4] = [
        ("broken promises", |of| of.numbers.broken as f64, &whole),
        ("runs", |of| of.numbers.runs as f64, &whole),
        ("effective runs an hour", |of| of.numbers.an_hour(), &whole),
        ("effective share", |of| of.numbers.share() * 100.0, &share),
    ];
    let curve = |(heading, measure, word): (&'static str, Measure, &dyn Fn(f64) -> String)| {
        let values: Vec<f64> = past.iter().chain([now]).map(measure).collect();
        let ends = [values.first(), values.last()].map(|value| word(*value.unwrap_or(&0.0)));
        let [first, last] = ends;
        let label = format!(
            "{heading}: from {first} to {last} over {} campaigns",
            values.len()
        );
        Curve {
            heading,
            picture: draw(&values, &label),
            now: last,
        }
    };
    measures.into_iter().map(curve).collect()
}

/// The numbers, the newest first.
pub(super) fn lines(past: &[Digest], now: &Digest) -> Vec<Line> {
    let line = |digest: &Digest| Line {
        name: digest.name.clone(),
        started: digest
            .started
            .chars()
            .take(16)
            .collect::<String>()
            .replace('T', " "),
        broken: thousands(digest.numbers.broken),
        runs: thousands(digest.numbers.runs),
        an_hour: thousands(digest.numbers.an_hour().round() as u64),
        share: format!("{:.0} %", digest.numbers.share() * 100.0),
        is_past: digest.name != now.name,
    };
    let all = past.iter().chain([now]);
    all.rev().map(line).collect()
}

/// A curve from zero, its last point marked.
fn draw(values: &[f64], label: &str) -> String {
    let top = values.iter().copied().fold(1.0, f64::max);
    let step = (WIDTH - 2.0 * MARGIN) / (values.len().saturating_sub(1).max(1)) as f64;
    let place = |(index, value): (usize, &f64)| {
        let x = MARGIN + step * index as f64;
        (x, HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * value / top)
    };
    let mut points = String::new();
    let mut last = (MARGIN, HEIGHT - MARGIN);
    for (x, y) in values.iter().enumerate().map(place) {
        // Writing into a string cannot fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
        last = (x, y);
    }
    let (x, y) = last;
    let base = HEIGHT - MARGIN;
    format!(
        concat!(
            r#"<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">"#,
            r#"<path class="base" d="M0 {}H{}"/><polyline points="{}"/>"#,
            r#"<circle cx="{:.1}" cy="{:.1}" r="3"/></svg>"#
        ),
        WIDTH,
        HEIGHT,
        label,
        base,
        WIDTH,
        points.trim_end(),
        x,
        y
    )
}
