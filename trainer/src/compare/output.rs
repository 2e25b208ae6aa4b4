//! A comparison as table, page and CSV.

use std::fmt::Write;

use super::comparison::{Comparison, PatientChange};
use super::saved::SavedEvaluation;
use crate::metrics::{Change, FrameMetrics, flip, percent};
use crate::report::head;
use crate::util::text::escape;
use crate::util::{self, csv_text};

/// Lines of a list on the terminal.
const LINES: usize = 10;
/// Lines of a list on the page.
const PAGE_LINES: usize = 100;

/// Warnings of both.
fn warnings(comparison: &Comparison) -> Vec<String> {
    let of = |name: &'static str, e: &SavedEvaluation| {
        e.about.warnings.iter().map(|warning| format!("{name}: {warning}")).collect::<Vec<_>>()
    };
    [of("A", &comparison.a), of("B", &comparison.b)].concat()
}

/// Figures of one measure: A, B, difference, interval, part above 0.
pub fn cells(change: &Change) -> [String; 5] {
    let Change { measure, means, interval, above } = change;
    let signed = |value: f64| format!("{}{}", if value >= 0.0 { "+" } else { "" }, measure.text(Some(value)));
    let interval = interval.map(|ends| ends.map(signed)).map(|[low, high]| format!("{low} to {high}"));
    [
        measure.text(Some(means[0])),
        measure.text(Some(means[1])),
        signed(change.difference()),
        interval.unwrap_or_else(|| "–".into()),
        // Of what did not change, no draw is above or below.
        if change.is_unchanged() { "same".into() } else { percent(*above) },
    ]
}

/// Patients that got clearly worse, and better with the most first.
fn moved(comparison: &Comparison) -> [Vec<&PatientChange>; 2] {
    let worse = comparison.patients.iter().filter(|p| p.is_worse()).collect();
    let better = comparison.patients.iter().rev().filter(|p| p.is_better()).collect();
    [worse, better]
}

/// Prints the table and the lists.
pub fn print(comparison: &Comparison) {
    outln!("A: {} ({})", comparison.a.folder.display(), comparison.a.about.title);
    outln!("B: {} ({})", comparison.b.folder.display(), comparison.b.about.title);
    warnings(comparison).iter().for_each(|warning| outln!("{warning}"));
    outln!("{} frames\n", comparison.a.frames.len());
    let mut table = util::table(["", "A", "B", "B - A", "95% interval", "above 0"]);
    for change in &comparison.changes {
        table.add_row([change.measure.label.to_owned()].into_iter().chain(cells(change)));
    }
    out!("{}", util::lines(&table));
    for (what, patients) in ["worse", "better"].into_iter().zip(moved(comparison)) {
        outln!("\n{} patients got {what} by more than 0.01 in Dice", patients.len());
        for p in patients.iter().take(LINES) {
            outln!(
                "  patient {:>5}: {:.3} to {:.3} ({:+.3}), {} frames, presence wrong {} to {}",
                p.patient,
                p.dice[0],
                p.dice[1],
                p.difference(),
                p.frames,
                p.wrong[0],
                p.wrong[1]
            );
        }
        rest(patients.len());
    }
    let flips = comparison.flips();
    outln!("\n{} frames where only one of them shows a nerve", flips.len());
    for pair in flips.iter().take(LINES) {
        outln!("  {:>10}: {}", pair[0].frame, flip(*pair));
    }
    rest(flips.len());
    let fallen = comparison.fallen();
    outln!("\n{} frames whose Dice fell, most first", fallen.len());
    for [a, b] in fallen.iter().take(LINES) {
        outln!("  {:>10}: {:.3} to {:.3}", a.frame, a.outcome.dice(), b.outcome.dice());
    }
    rest(fallen.len());
}

fn rest(count: usize) {
    if count > LINES {
        outln!("  and {} more; --out FILE.html or FILE.csv lists them", count - LINES);
    }
}

/// Columns of the comparison of every frame.
const FRAME: [&str; 10] = [
    "frame",
    "patient",
    "truth_pixels",
    "a_shown",
    "b_shown",
    "a_dice",
    "b_dice",
    "difference",
    "a_hd95",
    "b_hd95",
];

/// Every frame: a line each.
///
/// # Errors
/// None that a comparison can cause.
pub fn frames_csv(comparison: &Comparison) -> csv::Result<String> {
    let row = |[a, b]: [&FrameMetrics; 2]| {
        let [x, y] = [a, b].map(|frame| frame.outcome.dice());
        let [far, near] = [a, b].map(|frame| frame.hd95.map(|d| format!("{d:.3}")).unwrap_or_default());
        [
            a.frame.clone(),
            a.patient.to_string(),
            a.outcome.truth.to_string(),
            a.outcome.shown.to_string(),
            b.outcome.shown.to_string(),
            format!("{x:.4}"),
            format!("{y:.4}"),
            format!("{:.4}", y - x),
            far,
            near,
        ]
    };
    csv_text(FRAME, comparison.pairs().map(row))
}

/// The page.
pub fn html(comparison: &Comparison) -> String {
    let [a, b] = [&comparison.a, &comparison.b].map(|e| e.about.title.as_str());
    let mut page = head("Comparison", &format!("A {a} · B {b}"), &warnings(comparison));
    _ = write!(
        page,
        "<p>A: {}<br>B: {}</p><h2>Figures</h2><div class=scroll><table><tr><th class=name>figure<th>A<th>B\
         <th>B − A<th>95% interval<th>above 0<th class=name>over</tr>",
        escape(&comparison.a.folder.display().to_string()),
        escape(&comparison.b.folder.display().to_string())
    );
    for change in &comparison.changes {
        let cells = cells(change).join("<td>");
        let Change { measure, .. } = change;
        _ = write!(
            page,
            "<tr><td class=name>{}<td>{cells}<td class=name><span class=about>{}</span></tr>",
            measure.label, measure.about
        );
    }
    _ = write!(
        page,
        "</table></div><p class=about>{} frames, each compared with itself. Intervals: patients are drawn anew. \
         Above 0: the part of the draws in which B has the larger figure; of HD95 less is better.</p>\
         <h2>Patients</h2><table><tr><th>patient<th>frames<th>Dice A<th>Dice B<th>B − A<th>presence wrong A<th>B</tr>",
        comparison.a.frames.len()
    );
    for p in &comparison.patients {
        let class = if p.is_worse() { " class=worse" } else { "" };
        _ = write!(
            page,
            "<tr{class}><td>{}<td>{}<td>{:.3}<td>{:.3}<td>{:+.3}<td>{}<td>{}</tr>",
            p.patient,
            p.frames,
            p.dice[0],
            p.dice[1],
            p.difference(),
            p.wrong[0],
            p.wrong[1]
        );
    }
    page += "</table><p class=about>Red: worse by more than 0.01 in Dice.</p><h2>Presence that changed</h2>";
    let list = |pairs: &[[&FrameMetrics; 2]], about: &dyn Fn([&FrameMetrics; 2]) -> String| {
        let mut html = "<table><tr><th>frame<th>patient<th>Dice A<th>Dice B<th class=name></tr>".to_owned();
        for pair in pairs.iter().take(PAGE_LINES) {
            let [x, y] = pair.map(|frame| frame.outcome.dice());
            let (name, patient) = (escape(&pair[0].frame), pair[0].patient);
            let about = about(*pair);
            _ = write!(html, "<tr><td>{name}<td>{patient}<td>{x:.3}<td>{y:.3}<td class=name>{about}</tr>");
        }
        let more = pairs.len().saturating_sub(PAGE_LINES);
        let more = if more > 0 { format!("<p>and {more} more</p>") } else { String::new() };
        html + "</table>" + &more
    };
    let (flips, fallen) = (comparison.flips(), comparison.fallen());
    page += &if flips.is_empty() {
        "<p class=none>None.</p>".into()
    } else {
        list(&flips, &|pair| flip(pair).into())
    };
    page += "<h2>Frames whose Dice fell</h2>";
    let by = |[a, b]: [&FrameMetrics; 2]| format!("{:+.3}", b.outcome.dice() - a.outcome.dice());
    page += &if fallen.is_empty() { "<p class=none>None.</p>".into() } else { list(&fallen, &by) };
    page + "</main></html>\n"
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::comparison;
    use super::*;

    #[test]
    fn every_frame_is_in_the_csv_and_the_page_needs_nothing_else() {
        let mut comparison = comparison();
        let csv = frames_csv(&comparison).unwrap();
        assert!(csv.contains("\n1_1,1,4,4,4,1.0000,0.5000,-0.5000,2.000,2.000\n"), "{csv}");
        assert!(csv.contains("\n1_2,1,0,0,3,1.0000,0.0000,-1.0000,,\n"), "{csv}");
        assert_eq!(csv.lines().count(), 5);
        comparison.b.about.warnings.push("LEAKY: split by frame".into());
        let page = html(&comparison);
        assert!(page.contains("class=warning>B: LEAKY") && page.contains("nerve invented now"));
        assert!(
            page.contains("<tr class=worse><td>1<td>2<td>1.000<td>0.500<td>-0.500<td>0<td>1</tr>"),
            "{page}"
        );
        assert!(!page.contains("http") && !page.contains("NaN") && !page.contains("<script"));
    }
}
