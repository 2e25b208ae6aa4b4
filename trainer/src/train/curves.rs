//! Curves of a run as pictures: loss; IoU and Dice; false pixels; precision, recall and F-score.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::register_font;

use super::history::{Validation, comparable};
use super::run::RunDir;

const SIZE: (u32, u32) = (800, 500);
/// Okabe and Ito's colours, which stay apart for colour-blind eyes.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];

/// One line: a name and the value of each validation that has it, for training of all, else of comparable ones.
type Line = (&'static str, fn(&Validation) -> Option<f64>);

/// File name, label of the vertical axis, lines.
type Chart = (&'static str, &'static str, &'static [Line]);

/// SoftMetrics are in the order of [`crate::metrics::SoftMetrics::NAMES`].
const CHARTS: [Chart; 4] = [
    ("loss", "loss", &[("training", |r| r.train_loss), ("validation", |r| Some(r.loss))]),
    ("overlap", "IoU, Dice", &[("IoU", |r| Some(r.figures[0])), ("Dice", |r| Some(r.figures[1]))]),
    (
        "false-pixels",
        "pixels a batch",
        &[("false positives", |r| Some(r.figures[2])), ("false negatives", |r| Some(r.figures[3]))],
    ),
    (
        "precision-recall",
        "precision, recall, F",
        &[
            ("precision", |r| Some(r.figures[4])),
            ("recall", |r| Some(r.figures[5])),
            ("F-score", |r| Some(r.figures[6])),
        ],
    ),
];

/// Draws every chart of `history` into the run's folder `curves`, as PNG and SVG.
pub fn draw(run: &RunDir, history: &[Validation]) -> Result<()> {
    // The font is part of the program: servers often have none.
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| anyhow!("the built-in font cannot be read"))?;
    let folder = run.root().join("curves");
    std::fs::create_dir_all(&folder)?;
    for chart in &CHARTS {
        let png = folder.join(format!("{}.png", chart.0));
        draw_chart(&BitMapBackend::new(&png, SIZE).into_drawing_area(), chart, history)?;
        let svg = folder.join(format!("{}.svg", chart.0));
        draw_chart(&SVGBackend::new(&svg, SIZE).into_drawing_area(), chart, history)?;
    }
    Ok(())
}

fn draw_chart<B>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    (_, label, lines): &Chart,
    history: &[Validation],
) -> Result<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
{
    let points = |(name, value): &Line| -> Vec<(f64, f64)> {
        let of = |row: &Validation| Some((row.step as f64, value(row).filter(|y| y.is_finite())?));
        match *name {
            "training" => history.iter().filter_map(of).collect(),
            _ => comparable(history).filter_map(of).collect(),
        }
    };
    let values: Vec<f64> = lines.iter().flat_map(points).map(|(_, y)| y).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() {
        return Ok(());
    }
    let margin = ((high - low) * 0.05).max(1e-3);
    let steps = history.last().map_or(1, |r| r.step).max(1) as f64;

    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..steps, low - margin..high + margin)?;
    chart.configure_mesh().x_desc("batches").y_desc(*label).light_line_style(WHITE).draw()?;
    for (line @ (name, _), colour) in lines.iter().zip(COLOURS) {
        let line = LineSeries::new(points(line), colour.stroke_width(2));
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
        chart.draw_series(line)?.label(*name).legend(legend);
    }
    let mut labels = chart.configure_series_labels();
    labels.background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
