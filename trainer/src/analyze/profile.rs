//! Sections of the report on what frames and masks look like.

use std::fmt::Write;

use anyhow::Result;

use super::findings::{Findings, Patient};
use super::grey::Grey;
use super::picture;
use crate::report::{Bars, linear_marks};
use crate::util::text::{grouped, short};

/// Letters that fit below a chart.
const LETTERS: usize = 130;
/// Frames with and without nerve.
pub fn patients(findings: &Findings) -> String {
    let patients = &findings.patients;
    let bar = |p: &Patient| [p.nerve as f64, (p.frames.len() - p.nerve) as f64];
    // Labels must not run into each other.
    let longest = patients.keys().next_back().map_or(1, |id| id.to_string().len());
    let every = (patients.len() * (longest + 1)).div_ceil(LETTERS).max(1);
    let chart = Bars {
        bars: patients.values().map(bar).collect(),
        titles: patients
            .iter()
            .map(|(id, p)| format!("patient {id}: {} of {} with nerve", p.nerve, p.frames.len()))
            .collect(),
        marks: patients
            .keys()
            .enumerate()
            .step_by(every)
            .map(|(i, id)| (i as f64 + 0.5, id.to_string()))
            .collect(),
        x: "patient",
        y: "frames",
        logarithmic: false,
    };
    let mut html = format!(
        "<h2 id=patients>Patients</h2><p class=legend><i class=bar></i>with nerve <i class=more></i>without</p>{}\
         <details><summary>Table</summary><table><tr><th>patient<th>frames<th>with nerve<th>share\
         <th>mean nerve<th>mean grey<th>clipped</tr>",
        chart.svg()
    );
    for (id, patient) in patients {
        let grey = Grey::sum(patient.frames.iter().map(|&i| &findings.greys[i]));
        let frames = patient.frames.len();
        _ = write!(
            html,
            "<tr><td>{id}<td>{frames}<td>{}<td>{:.0}%<td>{} px<td>{:.1}<td>{:.2}%</tr>",
            patient.nerve,
            100.0 * patient.nerve as f64 / frames as f64,
            grouped(patient.area / patient.nerve.max(1)),
            grey.mean(),
            100.0 * grey.share(255)
        );
    }
    html + "</table></details>"
}

/// Areas and places of nerves.
pub fn masks(findings: &Findings) -> Result<String> {
    let mut areas: Vec<usize> = findings.areas.iter().copied().filter(|area| *area > 0).collect();
    areas.sort_unstable();
    let (Some(least), Some(most)) = (areas.first(), areas.last()) else {
        return Ok("<h2 id=masks>Masks</h2><p class=none>No frame has a nerve.</p>".into());
    };
    let width = [100, 200, 250, 500, 1000, 2500, 5000, 10_000].into_iter().find(|w| most / w < 60);
    let width = width.unwrap_or(10_000);
    let mut bars = vec![[0.0, 0.0]; most / width + 1];
    for area in &areas {
        bars[area / width][0] += 1.0;
    }
    let end = (bars.len() * width) as f64;
    let chart = Bars {
        titles: (0..bars.len())
            .map(|i| format!("{} to {}: {}", i * width, (i + 1) * width, bars[i][0]))
            .collect(),
        bars,
        marks: linear_marks(end).into_iter().map(|v| (v / width as f64, short(v))).collect(),
        x: "area of the nerve in pixels",
        y: "frames",
        logarithmic: false,
    };
    let peak = findings.often.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let heat: Vec<f32> = findings.often.iter().map(|share| share / peak).collect();
    let stops = (0..=8).map(|i| picture::colour(i as f32 / 8.0).map(|c| c.to_string()).join(" "));
    let ramp: Vec<String> = stops.map(|stop| format!("rgb({stop})")).collect();
    Ok(format!(
        "<h2 id=masks>Masks</h2><p>{} of {} frames have a nerve; area {} to {} pixels, median {}.</p>{}\
         <div class=maps><figure><img src='{}' alt='mean frame'><figcaption>Mean of all frames</figcaption>\
         </figure><figure><img src='{}' alt='mean mask'><figcaption>Where nerves are: share of frames with a \
         nerve<span class=ramp style='background:linear-gradient(90deg,{})'></span>\
         <span class=ends><span>0</span><span>{:.0}%</span></span></figcaption></figure></div>",
        grouped(areas.len()),
        grouped(findings.areas.len()),
        grouped(*least),
        grouped(*most),
        grouped(areas[areas.len() / 2]),
        chart.svg(),
        picture::grey(&findings.mean)?,
        picture::heat(&heat)?,
        ramp.join(","),
        peak * 100.0
    ))
}

/// Brightness.
pub fn greys(findings: &Findings) -> String {
    let all = Grey::sum(&findings.greys);
    let chart = |bars: Vec<f64>, x, y| {
        let titles = bars.iter().enumerate().map(|(level, n)| format!("{level}: {n}")).collect();
        let bars = bars.into_iter().map(|n| [n, 0.0]).collect();
        let marks = (0..=256).step_by(32).map(|level| (level as f64, level.to_string())).collect();
        Bars { bars, titles, marks, x, y, logarithmic: false }.svg()
    };
    let mut means = vec![0.0; 256];
    findings.greys.iter().for_each(|grey| means[grey.mean() as usize] += 1.0);
    let percent = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
    let heads: Vec<String> = percent.map(|p| format!("<th>{:.0}%", p * 100.0)).into();
    let cells: Vec<String> = percent.map(|p| format!("<td>{}", all.percentile(p))).into();
    format!(
        "<h2 id=grey>Grey levels</h2><table><tr><th>mean{}<th>black (0)<th>clipped (255)</tr>\
         <tr><td>{:.1}{}<td>{:.2}%<td>{:.3}%</tr></table><p>Percentages are percentiles of all pixels.</p>\
         <h3>All pixels</h3>{}<h3>Mean of each frame</h3>{}",
        heads.concat(),
        all.mean(),
        cells.concat(),
        100.0 * all.share(0),
        100.0 * all.share(255),
        chart(all.counts.iter().map(|&n| n as f64).collect(), "grey level", "pixels"),
        chart(means, "mean grey level", "frames")
    )
}
