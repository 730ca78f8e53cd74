//! The faults: when each was injected, proven, healed and recovered from, each with its sign.

use crate::report::FaultRow;
use crate::report::timeline::svg::{Canvas, Glyph, width_of};
use crate::report::words::shortened;

const HEIGHT: f64 = 31.0;
/// Faults that are drawn; the table has those behind.
pub(super) const FAULTS_MAX: usize = 150;
/// Letters of a label.
const LABEL_MAX: usize = 42;

/// The faults, in as many rows as overlap asks for.
pub(super) fn lanes(canvas: &mut Canvas, faults: &[FaultRow]) {
    let mut injected: Vec<(u64, &FaultRow)> = faults
        .iter()
        .filter_map(|fault| Some((fault.from?, fault)))
        .take(FAULTS_MAX)
        .collect();
    injected.sort_by_key(|(from, _)| *from);
    let mut rows: Vec<(f64, f64)> = Vec::new();
    for (from, fault) in injected {
        let label = shortened(
            &format!("{} {} {}", fault.number, fault.name, fault.target),
            LABEL_MAX,
        );
        let x = canvas.axis.x(from);
        let last = fault.recovered.or(fault.until).unwrap_or(canvas.axis.end());
        let end = (x + width_of(&label) + 10.0).max(canvas.axis.x(last) + 10.0);
        let row = rows.iter_mut().find(|(_, taken)| *taken < x);
        let top = if let Some((top, taken)) = row {
            *taken = end;
            *top
        } else {
            let top = canvas.lane(HEIGHT);
            if rows.is_empty() {
                canvas.label(top + 12.0, "faults");
            }
            rows.push((top, end));
            top
        };
        one(canvas, fault, from, top);
        canvas.text("", x - 4.0, top + 11.0, &label);
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
