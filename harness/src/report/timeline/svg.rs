//! The canvas: a time axis, a growing stack of lanes, and the few shapes that they need.

use std::fmt::Write as _;

/// The width of the picture, in its own units.
const WIDTH: f64 = 1280.0;
/// Where the time axis begins: the labels stand left of it.
pub(super) const LEFT: f64 = 132.0;
/// Where it ends.
pub(super) const RIGHT: f64 = WIDTH - 14.0;
const AXIS_HEIGHT: f64 = 24.0;
const LANE_GAP: f64 = 6.0;
/// Roughly the width of a letter, for texts that have to fit.
const LETTER_WIDTH: f64 = 6.0;
/// The distances between two ticks that may be chosen, in milliseconds.
const TICKS: &[u64] = &[
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000,
    120_000, 300_000, 600_000,
];
const TICKS_MAX: u64 = 16;

/// Time to horizontal position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    begin: u64,
    end: u64,
}

/// The signs that mark a moment; each has a shape of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    /// A triangle that points down.
    Down,
    /// A triangle that points up.
    Up,
    /// A square on its corner.
    Diamond,
    /// A ring.
    Ring,
    /// Two crossed strokes.
    Cross,
}

impl Glyph {
    /// Its path around a point.
    pub(super) fn path(self, x: f64, y: f64) -> String {
        match self {
            Self::Down => format!("M{:.1} {:.1}h9l-4.5 8z", x - 4.5, y - 4.0),
            Self::Up => format!("M{:.1} {:.1}h9l-4.5 -8z", x - 4.5, y + 4.0),
            Self::Diamond => format!("M{:.1} {:.1}l4 4l-4 4l-4 -4z", x, y - 4.0),
            Self::Ring => format!("M{:.1} {:.1}a3.5 3.5 0 1 1 0 .01z", x - 3.5, y),
            Self::Cross => format!("M{:.1} {:.1}l6 6m0 -6l-6 6", x - 3.0, y - 3.0),
        }
    }
}

/// The width that a text takes, roughly.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER_WIDTH
}

impl Axis {
    /// An axis from zero to `end`, in nanoseconds; `end` is positive.
    pub(super) fn new(end: u64) -> Self {
        Self::between(0, end)
    }

    /// An axis between two moments, in nanoseconds.
    pub(super) fn between(begin: u64, end: u64) -> Self {
        let end = end.max(begin + 1);
        Self { begin, end }
    }

    /// The begin of the axis.
    pub(super) fn begin(self) -> u64 {
        self.begin
    }

    /// The end of the axis.
    pub(super) fn end(self) -> u64 {
        self.end
    }

    /// The position of a moment.
    pub(super) fn x(self, nanos: u64) -> f64 {
        let since = nanos.clamp(self.begin, self.end) - self.begin;
        LEFT + (RIGHT - LEFT) * (since as f64 / (self.end - self.begin) as f64)
    }

    /// Round moments along the axis, in milliseconds.
    fn ticks(self) -> Vec<u64> {
        let (begin, end) = (self.begin.div_ceil(1_000_000), self.end / 1_000_000);
        let length = end.saturating_sub(begin);
        let step = TICKS
            .iter()
            .find(|step| length / **step <= TICKS_MAX)
            .copied();
        let step = step.unwrap_or(length.div_ceil(TICKS_MAX).max(1));
        (begin.next_multiple_of(step)..=end)
            .step_by(step as usize)
            .collect()
    }
}

/// A growing picture.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) axis: Axis,
    body: String,
    bottom: f64,
}

impl Canvas {
    /// An empty picture.
    pub(super) fn new(axis: Axis) -> Self {
        Self {
            axis,
            body: String::new(),
            bottom: 4.0,
        }
    }

    /// Where the next lane begins.
    pub(super) fn bottom(&self) -> f64 {
        self.bottom
    }

    /// Where the last lane ends.
    pub(super) fn floor(&self) -> f64 {
        self.bottom - LANE_GAP
    }

    /// Takes a lane of this height and gives its top.
    pub(super) fn lane(&mut self, height: f64) -> f64 {
        let top = self.bottom;
        self.bottom += height + LANE_GAP;
        top
    }

    /// The next lane belongs to the last one.
    pub(super) fn closer(&mut self) {
        self.bottom -= LANE_GAP - 2.0;
    }

    /// The next lane is another matter.
    pub(super) fn apart(&mut self) {
        self.bottom += LANE_GAP;
    }

    /// Takes a lane of this height, draws its ground over the whole axis and gives its top.
    pub(super) fn ground(&mut self, height: f64) -> f64 {
        let top = self.lane(height);
        self.bar("lane", (self.axis.begin, self.axis.end), top, height);
        top
    }

    /// A rectangle between two moments; nothing if both are before or behind the axis.
    pub(super) fn bar(&mut self, class: &str, span: (u64, u64), top: f64, height: f64) {
        if span.1 < self.axis.begin || span.0 > self.axis.end {
            return;
        }
        let (from, until) = (self.axis.x(span.0), self.axis.x(span.1));
        let width = (until - from).max(1.0);
        self.put(format_args!(
            concat!(
                r#"<rect class="{}" x="{:.1}" y="{:.1}" "#,
                r#"width="{:.1}" height="{:.1}"/>"#
            ),
            class, from, top, width, height
        ));
    }

    /// A text at a position.
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        ));
    }

    /// The label of a lane, left of the axis.
    pub(super) fn label(&mut self, y: f64, text: &str) {
        self.label_of("name", y, text);
    }

    /// A second label of a lane, such as its scale.
    pub(super) fn note(&mut self, y: f64, text: &str) {
        self.label_of("soft", y, text);
    }

    fn label_of(&mut self, class: &str, y: f64, text: &str) {
        let text = escape(text);
        let x = LEFT - 8.0;
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="end">{text}</text>"#
        ));
    }

    /// A line through points.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        if points.len() < 2 {
            return;
        }
        let mut list = String::new();
        for (x, y) in points {
            let _ = write!(list, "{x:.1},{y:.1} ");
        }
        let list = list.trim_end();
        self.put(format_args!(
            r#"<polyline class="{class}" points="{list}"/>"#
        ));
    }

    /// A shape from its path; nothing for an empty one.
    pub(super) fn path(&mut self, class: &str, path: &str) {
        if !path.is_empty() {
            self.put(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        }
    }

    /// A sign at a moment, with what it stands for.
    pub(super) fn sign(&mut self, class: &str, glyph: Glyph, at: (u64, f64), title: &str) {
        let path = glyph.path(self.axis.x(at.0), at.1);
        let title = escape(title);
        self.put(format_args!(
            r#"<path class="{class}" d="{path}"><title>{title}</title></path>"#
        ));
    }

    /// Everything up to the matching [`Canvas::close`] belongs to what `title` says.
    pub(super) fn open(&mut self, title: &str) {
        let title = escape(title);
        self.put(format_args!("<g><title>{title}</title>"));
    }

    /// Ends what [`Canvas::open`] began.
    pub(super) fn close(&mut self) {
        self.put(format_args!("</g>"));
    }

    fn put(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = self.body.write_fmt(shape);
        self.body.push('\n');
    }

    /// Closes the picture with its axis; title and description are for those who do not see it.
    pub(super) fn finish(mut self, title: &str, description: &str) -> String {
        let bottom = self.floor();
        let mut grid = String::new();
        for tick in self.axis.ticks() {
            let x = self.axis.x(tick * 1_000_000);
            let _ = writeln!(
                grid,
                r#"<line class="grid" x1="{x:.1}" y1="0" x2="{x:.1}" y2="{bottom:.1}"/>"#
            );
            let text = escape(&seconds_of(tick));
            self.put(format_args!(
                r#"<text class="soft" x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                bottom + 15.0
            ));
        }
        let height = bottom + AXIS_HEIGHT;
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">\n\
             <title>{}</title><desc>{}</desc>\n{grid}{}</svg>",
            escape(title),
            escape(description),
            self.body
        )
    }
}

/// Milliseconds as seconds, with as many digits as they need.
fn seconds_of(millis: u64) -> String {
    if millis.is_multiple_of(1000) {
        format!("{} s", millis / 1000)
    } else {
        let text = format!("{:.3}", millis as f64 / 1e3);
        format!("{} s", text.trim_end_matches('0'))
    }
}

/// The patterns that the classes of the style name; once a page.
pub(in crate::report) const PATTERNS: &str = r#"<svg class="patterns" aria-hidden="true"><defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern>
<pattern id="cross" width="8" height="8" patternUnits="userSpaceOnUse"
><path class="cross-line" d="M0 0L8 8M8 0L0 8"/></pattern>
</defs></svg>"#;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_runs_from_the_labels_to_the_margin() {
        let axis = Axis::new(10);
        assert!((axis.x(0) - LEFT).abs() < 1e-9);
        assert!((axis.x(10) - RIGHT).abs() < 1e-9);
        assert!(axis.x(99) <= RIGHT);
    }

    #[test]
    fn any_length_has_a_readable_number_of_ticks() {
        for millis in [0, 1, 3, 29, 400, 3_000, 90_000, 90_000_000] {
            for begin in [0, 1_234_567_890] {
                let end = begin + millis * 1_000_000;
                let ticks = Axis::between(begin, end).ticks();
                let most = TICKS_MAX as usize + 2;
                assert!(ticks.len() <= most, "{millis} from {begin}: {ticks:?}");
                let least = usize::from(millis > 1) + usize::from(millis > 1000) * 4;
                assert!(ticks.len() >= least, "{millis} from {begin}: {ticks:?}");
            }
        }
        assert_eq!(seconds_of(1_250), "1.25 s");
        assert_eq!(seconds_of(2_000), "2 s");
    }

    #[test]
    fn text_cannot_break_out_of_the_picture() {
        let mut canvas = Canvas::new(Axis::new(1));
        canvas.text("soft", 0.0, 0.0, "<script>&");
        assert!(canvas.finish("", "").contains("&lt;script&gt;&amp;"));
    }
}
