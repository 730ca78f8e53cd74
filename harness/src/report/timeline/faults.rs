//! The faults: when each was injected, proven, healed and recovered from, each with its sign.

use crate::report::FaultRow;
use crate::report::timeline::svg::{Canvas, Glyph, width_of};
use crate::report::words::shortened;

const HEIGHT: f64 = 31.0;
/// Faults that are drawn; the table has those behind.
pub(super) const FAULTS_MAX: usize = 150;
/// Rows that are drawn: beyond them faults that overlap have no label.
const ROWS_MAX: usize = 8;
/// Letters of a label.
const LABEL_MAX: usize = 42;

/// The faults, in as many rows as overlap asks for and the picture has room for.
pub(super) fn lanes(canvas: &mut Canvas, faults: &[FaultRow]) {
    let mut injected: Vec<(u64, &FaultRow)> = faults
        .iter()
        .filter_map(|fault| Some((fault.from?, fault)))
        .take(FAULTS_MAX)
        .collect();
    injected.sort_by_key(|(from, _)| *from);
    let mut rows = Rows::default();
    for (from, fault) in injected {
        let x = canvas.axis.x(from);
        let last = fault.recovered.or(fault.until);
        let last = canvas.axis.x(last.unwrap_or(canvas.axis.end()));
        let whole = format!("{} {} {}", fault.number, fault.name, fault.target);
        let label = shortened(&whole, LABEL_MAX);
        let (top, is_free) = rows.place(canvas, x, last.max(x + width_of(&label)) + 10.0);
        one(canvas, fault, from, top);
        if is_free {
            canvas.text("", x - 4.0, top + 11.0, &label);
        }
    }
}

/// Rows of faults, each with its top and how far it is taken.
#[derive(Default)]
struct Rows(Vec<(f64, f64)>);

impl Rows {
    /// The top of a row that is free from `x` on, taken until `end`; where every row is taken,
    /// that of the one that is free the soonest, which has no room for a label.
    fn place(&mut self, canvas: &mut Canvas, x: f64, end: f64) -> (f64, bool) {
        if let Some((top, taken)) = self.0.iter_mut().find(|(_, taken)| *taken < x) {
            *taken = end;
            return (*top, true);
        }
        if self.0.len() < ROWS_MAX {
            let top = canvas.lane(HEIGHT);
            if self.0.is_empty() {
                canvas.label(top + 12.0, "faults");
            }
            self.0.push((top, end));
            return (top, true);
        }
        let soonest = self
            .0
            .iter()
            .min_by(|(_, one), (_, other)| one.total_cmp(other));
        (soonest.map_or(0.0, |(top, _)| *top), false)
    }
}

fn one(canvas: &mut Canvas, fault: &FaultRow, from: u64, top: f64) {
    let y = top + 22.0;
    let until = fault.until.unwrap_or(canvas.axis.end());
    let class = if fault.is_effective {
        "fault"
    } else {
        "fault vacuous"
    };
    canvas.open(&format!("{} {}, {}", fault.number, fault.name, fault.times));
    canvas.bar(class, (from, until), y - 1.5, 3.0);
    if let Some(recovered) = fault.recovered {
        canvas.bar("recovering", (until, recovered), y - 0.5, 1.0);
    }
    canvas.close();
    let proof = shortened(&fault.proof, 300);
    // Above, on and below the line, so that signs of one moment do not hide each other.
    let signs = [
        (
            Some(from),
            Glyph::Down,
            -5.0,
            "inject",
            "injected".to_owned(),
        ),
        (fault.until, Glyph::Up, 5.0, "heal", "healed".to_owned()),
        (
            fault.recovered,
            Glyph::Ring,
            0.0,
            "recover",
            fault.recovery.clone(),
        ),
        (
            fault.proven,
            Glyph::Diamond,
            0.0,
            "prove",
            format!("effect proven: {proof}"),
        ),
    ];
    for (at, glyph, offset, class, title) in signs {
        if let Some(at) = at {
            canvas.sign(class, glyph, (at, y + offset), &shortened(&title, 320));
        }
    }
}

/// A pale band through all lanes below `top` for each fault that had an effect.
pub(super) fn bands(canvas: &mut Canvas, faults: &[FaultRow], top: f64) {
    let height = canvas.floor() - top;
    let effective = faults.iter().filter(|fault| fault.is_effective);
    for fault in effective.take(FAULTS_MAX) {
        if let Some(from) = fault.from {
            let span = (from, fault.until.unwrap_or(canvas.axis.end()));
            canvas.bar("band", span, top, height);
        }
    }
}
