//! Bar charts as inline SVG, drawn with the page's style sheet.

use std::fmt::Write;

use crate::util::text::short;

const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;
/// Marks on the vertical axis, about.
const MARKS: f64 = 4.0;

/// Equally wide bars side by side.
#[derive(Debug, Default)]
pub struct Bars<'a> {
    /// Height of each bar, and of a second one stacked on it.
    pub bars: Vec<[f64; 2]>,
    /// What a bar says under the pointer.
    pub titles: Vec<String>,
    /// Label at a place on the horizontal axis, counted in bars.
    pub marks: Vec<(f64, String)>,
    pub x: &'a str,
    pub y: &'a str,
    /// Powers of ten, from one half; bars of 0 are left out.
    pub logarithmic: bool,
}

impl Bars<'_> {
    /// An `<svg>` element.
    pub fn svg(&self) -> String {
        let most = self.bars.iter().map(|[a, b]| a + b).fold(1.0, f64::max);
        let scale = Scale::new(most, self.logarithmic);
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let step = width / self.bars.len().max(1) as f64;
        let y = |value: f64| TOP + height * (1.0 - scale.place(value));
        let mut svg = format!("<svg class=chart viewBox='0 0 {WIDTH} {HEIGHT}' role=img>");
        for value in scale.marks() {
            let (at, label) = (y(value), short(value));
            _ = write!(svg, "<path class=grid d='M{LEFT} {at:.1}h{width}'/>");
            _ = write!(svg, "<text class=y x='{}' y='{:.1}'>{label}</text>", LEFT - 6.0, at + 4.0);
        }
        for (i, [a, b]) in self.bars.iter().enumerate() {
            let gap = if step > 5.0 { 1.0 } else { 0.0 };
            let x = LEFT + i as f64 * step;
            let mut bar = |class: &str, low: f64, high: f64| {
                if high > low {
                    let title = self.titles.get(i).map_or("", String::as_str);
                    let (top, tall) = (y(high), y(low) - y(high));
                    _ = write!(
                        svg,
                        "<rect class={class} x='{x:.2}' y='{top:.1}' width='{:.2}' height='{tall:.1}'>\
                         <title>{title}</title></rect>",
                        step - gap
                    );
                }
            };
            bar("bar", 0.0, *a);
            bar("more", *a, a + b);
        }
        for (place, label) in &self.marks {
            let x = LEFT + place * step;
            _ = write!(svg, "<text class=x x='{x:.1}' y='{}'>{label}</text>", TOP + height + 17.0);
        }
        let (middle, low) = (LEFT + width / 2.0, HEIGHT - 6.0);
        _ = write!(svg, "<path class=axis d='M{LEFT} {:.1}h{width}'/>", TOP + height);
        _ = write!(svg, "<text class='x name' x='{middle}' y='{low}'>{}</text>", self.x);
        let centre = TOP + height / 2.0;
        _ = write!(
            svg,
            "<text class='x name' transform='translate(13 {centre}) rotate(-90)'>{}</text></svg>",
            self.y
        );
        svg
    }
}

/// The vertical axis.
struct Scale {
    top: f64,
    step: Option<f64>,
}

impl Scale {
    fn new(most: f64, logarithmic: bool) -> Self {
        if logarithmic {
            return Self { top: 10f64.powf(most.log10().ceil().max(1.0)), step: None };
        }
        let rough = most / MARKS;
        let power = 10f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= rough).unwrap_or(10.0);
        let step = (nice * power).max(1e-9);
        Self { top: (most / step).ceil() * step, step: Some(step) }
    }

    /// From 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        // One half, so that a bar of one shows.
        let log = |v: f64| (v.max(0.5) / 0.5).log10();
        match self.step {
            Some(_) => value / self.top,
            None => log(value) / log(self.top),
        }
    }

    fn marks(&self) -> Vec<f64> {
        match self.step {
            Some(step) => (0..=(self.top / step).round() as usize).map(|i| i as f64 * step).collect(),
            None => (0..=self.top.log10().round() as i32).map(|power| 10f64.powi(power)).collect(),
        }
    }
}

/// About eight round numbers from 0 to `most`.
pub fn linear_marks(most: f64) -> Vec<f64> {
    let rough = (most / 8.0).max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= rough).unwrap_or(10.0);
    (0..=(most / step) as usize).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        assert_eq!(Scale::new(37.0, false).marks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Scale::new(1234.0, true).marks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(Scale::new(10.0, true).place(10.0), 1.0);
        assert!(Scale::new(10.0, true).place(1.0) > 0.1);
        assert_eq!(linear_marks(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn empty_bars_draw_nothing() {
        let svg = Bars { bars: vec![[0.0, 0.0], [3.0, 1.0]], logarithmic: true, ..Bars::default() }.svg();
        assert_eq!(svg.matches("<rect").count(), 2);
    }
}
