//! One lane for each partition: when somebody waited longer than a patience for an acknowledgement.

use checkers::availability::Availability;
use checkers::history::Key;

use crate::report::timeline::svg::Canvas;

const HEIGHT: f64 = 16.0;

/// The lane of one partition; silences of at most `patience` nanoseconds are not drawn.
pub(super) fn partition(canvas: &mut Canvas, key: &Key, found: &Availability, patience: u64) {
    let top = canvas.ground(HEIGHT);
    canvas.label(top + 12.0, &key.to_string());
    let long = found.silences.iter();
    for silence in long.filter(|silence| silence.nanos() > patience) {
        canvas.bar("dead", (silence.from, silence.until), top, HEIGHT);
    }
}
