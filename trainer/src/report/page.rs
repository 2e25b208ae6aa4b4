//! The page of `evaluate`.

use std::fmt::Write;

use anyhow::Result;

use super::bars::Bars;
use super::charts::{Spot, Spots, reliability};
use super::head::head;
use super::{curves, picture};
use crate::evaluate::{Case, Evaluation};
use crate::metrics::bootstrap::RESAMPLES;
use crate::metrics::{MEASURES, Measure, SoftMetrics, Summary, percent};
use crate::util::text::{escape, grouped};

/// Worst and best frames that are pictured.
const PICTURED: [usize; 2] = [12, 6];
/// Bars of the histogram of Dice.
const BARS: usize = 20;

const NAVIGATION: &str = "<nav><a href='#figures'>Figures</a><a href='#patients'>Patients</a>\
    <a href='#sizes'>Size</a><a href='#presence'>Presence</a><a href='#reliability'>Reliability</a>\
    <a href='#cases'>Cases</a><a href='#curves'>Curves</a><a href='#origin'>Origin</a></nav>";

/// The page.
pub fn html(evaluation: &Evaluation, summary: &Summary) -> Result<String> {
    let mut page = head("Evaluation", &evaluation.title, &evaluation.warnings);
    page += &tiles(evaluation, summary);
    page += NAVIGATION;
    page += &figures(evaluation, summary);
    page += &patients(summary);
    page += &sizes(evaluation, summary);
    page += &presence(evaluation);
    page += &calibration(summary);
    page += &cases(evaluation)?;
    page += &all_curves(evaluation);
    page += &origin(evaluation);
    Ok(page + "</main></html>\n")
}

fn tiles(evaluation: &Evaluation, summary: &Summary) -> String {
    let tile = |number: &str, label: &str, small: &str| {
        format!("<div><b>{number}</b>{label}<small>{small}</small></div>")
    };
    let mut html = "<div class=tiles>".to_owned();
    for name in ["dice", "iou", "surface_dice", "hd95_found", "sensitivity", "specificity"] {
        let (Some(measure), Some(figure)) = (Measure::named(name), summary.figures.get(name)) else {
            continue;
        };
        html += &tile(
            &measure.text(figure.estimate.mean),
            measure.label,
            &measure.range(figure.estimate.interval),
        );
    }
    let frames = format!("{} with nerve", grouped(summary.nerve_frames));
    html += &tile(&grouped(summary.frames), "frames", &frames);
    html += &tile(&grouped(summary.patients.len()), "patients", "");
    html += "</div>";
    let points: Vec<_> = evaluation
        .points()
        .iter()
        .map(|point| {
            format!("threshold <b>{:.2}</b>, least area <b>{}</b> pixels", point.threshold, point.min_area)
        })
        .collect();
    let origin = escape(&evaluation.origin);
    html + &format!("<p><b>Operating point</b>: {}; {origin}.</p>", points.join(" · "))
}

fn figures(evaluation: &Evaluation, summary: &Summary) -> String {
    let mut html = "<h2 id=figures>Figures</h2><div class=scroll><table><tr><th class=name>figure\
        <th>mean of frames<th>95% interval<th>mean of patients<th>95% interval<th>all empty\
        <th class=name>over</tr>"
        .to_owned();
    for measure in &MEASURES {
        let Some(figure) = summary.figures.get(measure.name) else { continue };
        let e = &figure.estimate;
        _ = write!(
            html,
            "<tr><td class=name>{}<td><b>{}</b><td>{}<td>{}<td>{}<td>{}<td class=name><span class=about>{}, {}</span></tr>",
            measure.label,
            measure.text(e.mean),
            measure.range(e.interval),
            measure.text(e.patient_mean),
            measure.range(e.patient_interval),
            measure.text(figure.all_empty),
            grouped(e.frames),
            measure.about
        );
    }
    _ = write!(
        html,
        "</table></div><p class=about><b>All empty</b> is what a network scores that never shows anything. \
         Intervals: patients are drawn anew {} times, percentiles 2.5 to 97.5; with fewer than about ten \
         patients they are too narrow, and without a single error they cannot show that one is possible. \
         HD95: 95% Hausdorff distance in pixels, the larger of both directions. \
         Surface Dice: part of both contours within {} pixels of the other. Both weigh contours by their \
         length. Where the nerve is missed there is no distance: HD95 takes the frame's diagonal ({:.0}) and \
         surface Dice 0; of frames without nerve only presence counts.</p>",
        grouped(RESAMPLES),
        summary.tolerance,
        evaluation.ruler.diagonal()
    );
    let dice = MEASURES.iter().find(|m| m.name == "dice");
    let values = dice.into_iter().flat_map(|m| evaluation.cases.iter().filter_map(|c| (m.of)(&c.scored)));
    let mut bars = vec![[0.0, 0.0]; BARS];
    for value in values {
        let bar = &mut bars[((value * BARS as f64) as usize).min(BARS - 1)];
        // Frames whose nerve is missed stand apart.
        bar[usize::from(value == 0.0)] += 1.0;
    }
    let edge = |i: usize| i as f64 / BARS as f64;
    let chart = Bars {
        titles: (0..BARS)
            .map(|i| format!("{:.2} to {:.2}: {}", edge(i), edge(i + 1), bars[i][0] + bars[i][1]))
            .collect(),
        bars,
        marks: (0..=BARS).step_by(2).map(|i| (i as f64, format!("{:.1}", edge(i)))).collect(),
        x: "Dice of a frame with nerve",
        y: "frames",
        logarithmic: false,
    };
    html + "<h3>How Dice is spread</h3><p class=legend><i class=bar></i>found <i class=more></i>Dice 0</p>"
        + &chart.svg()
}

fn patients(summary: &Summary) -> String {
    let mut html = "<h2 id=patients>Patients</h2><p class=about>Dot: mean Dice of the patient's frames with \
        nerve. Box: the middle half of them; line: from 5% to 95%. Dashed: mean of all patients with its 95% \
        interval.</p>"
        .to_owned();
    let spots = summary.patients.iter().filter_map(|p| {
        let ([low, first, _, third, high], mean) = (p.spread?, (*p.means.first()?)?);
        Some(Spot {
            label: p.patient.to_string(),
            title: format!("patient {}: Dice {mean:.3}, {} frames with nerve", p.patient, p.nerve_frames),
            value: mean,
            whisker: Some([low, high]),
            inner: Some([first, third]),
        })
    });
    let dice = summary.figures.get("dice").map(|figure| &figure.estimate);
    html += &Spots {
        spots: spots.collect(),
        mean: dice.and_then(|e| e.patient_mean),
        band: dice.and_then(|e| e.patient_interval),
        x: "patient",
        y: "Dice",
    }
    .svg();
    html +=
        "<details><summary>Table</summary><div class=scroll><table><tr><th>patient<th>frames<th>with nerve";
    for measure in &MEASURES {
        _ = write!(html, "<th>{}", measure.label);
    }
    html += "</tr>";
    for p in &summary.patients {
        _ = write!(html, "<tr><td>{}<td>{}<td>{}", p.patient, p.frames, p.nerve_frames);
        for (measure, mean) in MEASURES.iter().zip(&p.means) {
            _ = write!(html, "<td>{}", measure.text(*mean));
        }
        html += "</tr>";
    }
    html + "</table></div></details>"
}

fn sizes(evaluation: &Evaluation, summary: &Summary) -> String {
    let mut html = "<h2 id=sizes>By size of the nerve</h2>".to_owned();
    if summary.sizes.is_empty() {
        return html + "<p class=none>No frame has a nerve.</p>";
    }
    html += "<p class=about>Quarters of the frames with nerve, smallest first; intervals over patients.</p>";
    let label = |[least, most]: [u32; 2]| format!("{}–{}", grouped(least as usize), grouped(most as usize));
    let spots = summary.sizes.iter().filter_map(|size| {
        let value = size.dice.mean?;
        let title = format!("{} pixels: Dice {value:.3}", label(size.area));
        Some(Spot { label: label(size.area), title, value, whisker: size.dice.interval, inner: None })
    });
    html += &Spots {
        spots: spots.collect(),
        mean: None,
        band: None,
        x: "area of the nerve in pixels",
        y: "Dice",
    }
    .svg();
    html += "<table><tr><th>pixels<th>frames<th>patients<th>Dice<th>95% interval<th>IoU<th>95% interval</tr>";
    let [dice, iou] = [&MEASURES[0], &MEASURES[1]];
    for size in &summary.sizes {
        _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            label(size.area),
            size.dice.frames,
            size.dice.patients,
            dice.text(size.dice.mean),
            dice.range(size.dice.interval),
            iou.text(size.iou.mean),
            iou.range(size.iou.interval)
        );
    }
    html += "</table>";
    let soft = evaluation.soft();
    html += "<h3>Soft figures, as the original project publishes them</h3><p class=about>Without a threshold, \
             mean over batches.</p><table><tr>";
    SoftMetrics::NAMES.iter().for_each(|name| html += &format!("<th>{}", name.replace('_', " ")));
    html += "</tr><tr>";
    soft.values().iter().for_each(|value| html += &format!("<td>{value:.4}"));
    html + "</tr></table>"
}

fn presence(evaluation: &Evaluation) -> String {
    let count = |truth: bool, shown: bool| {
        let is = |c: &&Case| {
            let o = c.scored.outcome;
            (o.truth > 0) == truth && (o.shown > 0) == shown
        };
        grouped(evaluation.cases.iter().filter(is).count())
    };
    format!(
        "<h2 id=presence>Presence</h2><table><tr><th class=name>frames<th>nerve shown<th>none shown</tr>\
         <tr><td class=name>with nerve<td>{}<td>{} missed</tr>\
         <tr><td class=name>without nerve<td>{} invented<td>{}</tr></table>",
        count(true, true),
        count(true, false),
        count(false, true),
        count(false, false)
    )
}

fn calibration(summary: &Summary) -> String {
    let c = &summary.calibration;
    let mut rows = String::new();
    for bin in c.bins.iter().filter(|bin| bin.pixels > 0) {
        let [probability, nerve] = [bin.probability, bin.nerve].map(|v| percent(Some(v)));
        _ = write!(rows, "<tr><td>{probability}<td>{nerve}<td>{}</tr>", grouped(bin.pixels as usize));
    }
    format!(
        "<h2 id=reliability>Reliability</h2><div class=pair><div>{}</div><div><p>Expected calibration error \
         <b>{}</b> over the {} of pixels with a probability of 1% or more; <b>{}</b> over all pixels, most of \
         them background that no network gets wrong.</p><p class=about>The pixels are chosen by the \
         prediction, not by the truth: a band around the true nerve would leave out what is shown elsewhere. \
         Ten bins of equal width. On the dashed line a probability is as often right as it says; under it the \
         network is too sure.</p><details><summary>Table</summary><table><tr><th>mean probability<th>nerve\
         <th>pixels</tr>{rows}</table></details></div></div>",
        reliability(c),
        percent(c.ece),
        percent(c.considered),
        percent(c.ece_all)
    )
}

fn cases(evaluation: &Evaluation) -> Result<String> {
    let order = evaluation.worst_first();
    let nerve = |case: &&&Case| case.scored.outcome.truth > 0;
    let [worst, best] = PICTURED;
    let best: Vec<&Case> = order.iter().rev().filter(nerve).take(best).copied().collect();
    let worst: Vec<&Case> =
        order.iter().take(worst).filter(|c| c.scored.outcome.dice() < 1.0).copied().collect();
    let mut html = "<h2 id=cases>Cases</h2><p class=legend><i style='background:#ff05ff'></i>found \
        <i style='background:#ffd705'></i>missed <i style='background:#05ff58'></i>invented</p>"
        .to_owned();
    for (name, cases) in [("Worst", worst), ("Best", best)] {
        if cases.is_empty() {
            continue;
        }
        _ = write!(html, "<h3>{name}</h3><div class=cases>");
        for case in cases {
            let o = case.scored.outcome;
            let hd95 = case.scored.hd95.filter(|_| o.shown > 0).map(|d| format!(", HD95 {d:.0} px"));
            let what = match (o.truth, o.shown) {
                (0, _) => "no nerve, one shown".into(),
                (_, 0) => "missed".into(),
                _ => format!("Dice {:.2}{}", o.dice(), hd95.unwrap_or_default()),
            };
            _ = write!(
                html,
                "<figure><img src='{}' alt='frame {2}'><figcaption>patient {1}, frame {2}: {what}</figcaption></figure>",
                picture::case(case, evaluation.ruler.width)?,
                case.scored.patient,
                escape(&case.scored.frame)
            );
        }
        html += "</div>";
    }
    Ok(html)
}

fn all_curves(evaluation: &Evaluation) -> String {
    let mut html = "<h2 id=curves>Curves of training</h2>".to_owned();
    let mut any = false;
    for root in &evaluation.runs {
        let svg = curves::svg(root);
        if !svg.is_empty() {
            any = true;
            _ = write!(html, "<h3>{}</h3>{svg}", escape(&root.display().to_string()));
        }
    }
    if any { html } else { html + "<p class=none>No run was given, or it has no metrics.csv.</p>" }
}

fn origin(evaluation: &Evaluation) -> String {
    let mut html = "<h2 id=origin>Settings and origin</h2><table class=facts>".to_owned();
    for (name, value) in &evaluation.facts {
        _ = write!(html, "<tr><td>{name}<td>{}</tr>", escape(value));
    }
    html += "</table>";
    for root in &evaluation.runs {
        if let Ok(settings) = std::fs::read_to_string(root.join("config.toml")) {
            _ = write!(
                html,
                "<details><summary>Settings of {}</summary><pre>{}</pre></details>",
                escape(&root.display().to_string()),
                escape(&settings)
            );
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{data, evaluation};

    #[test]
    fn the_page_needs_nothing_else_and_says_what_is_wrong() {
        let data = data(2, 2);
        let evaluation = evaluation(&data);
        let page = html(&evaluation, &evaluation.summary()).unwrap();
        for outside in ["http://", "https://", "<script", "<link", "@import", "src='//", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("class=warning>LEAKY: split by frame"), "the label comes first");
        assert!(page.contains("runs/&lt;first&gt;") && !page.contains("<first>"));
        assert!(page.contains("missed") && page.contains("all empty") && page.contains("1 missed"));
        assert!(!page.contains("NaN") && !page.contains(">inf"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        for tag in ["table", "div", "figure", "details", "h2", "p", "b", "g"] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
