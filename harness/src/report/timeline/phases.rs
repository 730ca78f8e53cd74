//! The strip with the phases of the run.

use crate::report::timeline::svg::{Canvas, width_of};
use crate::run::events::{Event, What};

const HEIGHT: f64 = 18.0;

/// One strip with the phases of the run.
pub(super) fn lane(canvas: &mut Canvas, events: &[Event]) {
    let top = canvas.lane(HEIGHT);
    canvas.label(top + 13.0, "phase");
    let begin = |event: &Event| match event.what {
        What::Phase { phase } => Some((event.time, phase.word())),
        _ => None,
    };
    let mut begins: Vec<(u64, &'static str)> = events.iter().filter_map(begin).collect();
    begins.push((canvas.axis.end(), ""));
    for pair in begins.windows(2) {
        let &[(from, word), (until, _)] = pair else {
            continue;
        };
        canvas.bar("lane", (from, until), top, HEIGHT);
        let room = canvas.axis.x(until) - canvas.axis.x(from);
        if width_of(word) + 6.0 < room {
            canvas.text("soft", canvas.axis.x(from) + 4.0, top + 13.0, word);
        }
    }
}
