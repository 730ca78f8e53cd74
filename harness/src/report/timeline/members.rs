//! One lane for each member of a group: which partitions it owned when, one row for each
//! partition, the same row in every lane, so that two owners at once stand above each other; and
//! below it what the member did.

use std::collections::BTreeMap;

use checkers::history::Key;

use crate::report::digest::{Digest, End, Member, Span};
use crate::report::timeline::clients::{self, Room};
use crate::report::timeline::svg::{Canvas, Glyph, width_of};

/// The height of the row of one partition.
const ROW: f64 = 9.0;
const ROWS_MAX: usize = 12;
/// Spans over all members that are drawn.
const SPANS_MAX: usize = 1_200;

/// The generations; then for each member what it owned and what it did.
pub(super) fn lanes(canvas: &mut Canvas, digest: &Digest, room: &mut Room) {
    if digest.members.is_empty() {
        return;
    }
    generations(canvas, &digest.generations);
    let mut rows: Vec<&Key> = digest
        .members
        .iter()
        .flat_map(|member| member.spans.iter().map(|span| &span.key))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    let spans: usize = digest.members.iter().map(|member| member.spans.len()).sum();
    for member in &digest.members {
        if !room.take() {
            continue;
        }
        // Many spans are many rebalances: then only the first of each member have room.
        let share = member.spans.len() * SPANS_MAX / spans.max(SPANS_MAX);
        lane(canvas, member, &rows, share);
        let acts = digest
            .clients
            .iter()
            .filter(|client| *client.name == *member.name);
        for client in acts {
            canvas.closer();
            clients::lanes(canvas, client, room);
        }
        canvas.apart();
    }
}

/// When each generation was first heard of, as far as there is room.
fn generations(canvas: &mut Canvas, generations: &BTreeMap<i32, u64>) {
    let top = canvas.lane(14.0);
    canvas.label(top + 11.0, "generation");
    let mut taken = 0.0;
    for (generation, at) in generations {
        let (x, label) = (canvas.axis.x(*at), generation.to_string());
        if x < taken {
            continue;
        }
        taken = x + width_of(&label) + 8.0;
        canvas.path("tick", &format!("M{x:.1} {top:.1}v14"));
        canvas.text("epoch", x + 3.0, top + 11.0, &label);
    }
}

fn lane(canvas: &mut Canvas, member: &Member, rows: &[&Key], spans: usize) {
    let shown = rows.len().clamp(2, ROWS_MAX);
    let height = shown as f64 * ROW + 4.0;
    let top = canvas.ground(height);
    canvas.label(top + 11.0, &format!("{} owns", member.name));
    for span in member.spans.iter().take(spans) {
        let row = rows.iter().position(|key| **key == span.key).unwrap_or(0);
        own(canvas, span, top + 2.0 + (row % shown) as f64 * ROW);
    }
    if spans < member.spans.len() {
        canvas.note(top + 22.0, "not all drawn");
    }
    for at in member.crashes.iter().take(SPANS_MAX) {
        canvas.sign(
            "op-fail",
            Glyph::Cross,
            (*at, top + height / 2.0),
            "the member dies",
        );
    }
}

fn own(canvas: &mut Canvas, span: &Span, top: f64) {
    let until = span.until.unwrap_or(canvas.axis.end());
    let end = match span.end {
        End::Revoked => "given up",
        End::Lost => "lost",
        End::Crashed => "the member died",
        End::Left => "the member left",
        End::Open => "never given up",
    };
    canvas.open(&format!(
        "{} in generation {}, until {}: {end}",
        span.key,
        span.generation,
        crate::report::words::seconds(until)
    ));
    let class = match span.end {
        End::Lost | End::Crashed => "owns cut",
        End::Revoked | End::Left | End::Open => "owns",
    };
    canvas.bar(class, (span.from, until), top, ROW - 1.5);
    canvas.close();
    let (from, room) = (
        canvas.axis.x(span.from),
        canvas.axis.x(until) - canvas.axis.x(span.from),
    );
    let label = span.key.partition().to_string();
    if room > width_of(&label) + 4.0 {
        canvas.text("tiny", from + 2.0, top + ROW - 2.0, &label);
    }
}
