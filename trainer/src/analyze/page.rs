//! The report as HTML: no script, no network, one file.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use super::chart::{Bars, short};
use super::file::Scan;
use super::findings::{Count, Findings};
use super::grey::Grey;
use super::pairs::BUCKET;
use super::picture;
use super::strip::Strips;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, Recorded};

/// Pairs, beside the groups, that are pictured.
const PAIRS: usize = 8;
/// Lines of a list.
const LINES: usize = 200;
/// Bars of a histogram, about.
const BARS: usize = 150;
/// Letters that fit below a chart.
const LETTERS: usize = 130;
/// Bars for each power of ten.
const PER_DECADE: usize = 4;

const NAVIGATION: &str = "<nav><a href='#files'>Files</a><a href='#patients'>Patients</a>\
    <a href='#masks'>Masks</a><a href='#grey'>Grey levels</a><a href='#differences'>Differences</a>\
    <a href='#duplicates'>Duplicates</a><a href='#crossing'>Across patients</a></nav>";

/// What the person asked for.
#[derive(Debug)]
pub struct Shown<'a> {
    pub title: &'a str,
    /// Groups to picture.
    pub groups: usize,
    /// Difference under which frames are duplicates.
    pub duplicates: u32,
}

/// The page.
pub fn html(data: &Recorded, scan: &Scan, findings: &Findings, shown: &Shown) -> Result<String> {
    let title = escape(shown.title);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'><title>Data: {title}</title>\
         <style>{}</style><main><h1>Data report</h1><p class=sub>{title} · nervelight-train {}</p>",
        include_str!("page.css"),
        env!("NERVELIGHT_REVISION")
    );
    page += &tiles(data, scan, findings, shown);
    page += NAVIGATION;
    page += &files(data, findings);
    page += &patients(findings);
    page += &masks(findings)?;
    page += &greys(findings);
    page += &differences(scan, findings);
    let strips = Strips::new(data, scan);
    page += &duplicates(&strips, findings, shown)?;
    page += &crossing(&strips, data, findings)?;
    page += &near(&strips, findings, shown)?;
    Ok(page + "</main></html>\n")
}

fn tiles(data: &Recorded, scan: &Scan, findings: &Findings, shown: &Shown) -> String {
    let frames = data.frames.len();
    let duplicates = findings.counts.iter().find(|count| count.limit == shown.duplicates);
    let (pairs, differing) = duplicates.map_or((0, 0), |count| (count.pairs, count.differing));
    let crossing = findings.crossing.len();
    let tile = |bad: bool, number: &str, label: &str| {
        format!("<div{}><b>{number}</b>{label}</div>", if bad { " class=bad" } else { "" })
    };
    let share = 100.0 * findings.nerves() as f64 / frames.max(1) as f64;
    let [n, patients] = [frames, findings.patients.len()].map(grouped);
    format!(
        "<div class=tiles>{}{}{}{}{}{}{}</div>",
        tile(false, &n, "frames"),
        tile(false, &patients, "patients"),
        tile(false, &format!("{share:.1}%"), "frames with nerve"),
        tile(pairs > 0, &grouped(pairs), &format!("pairs under {}", grouped(shown.duplicates as usize))),
        tile(differing > 0, &grouped(differing), "of them with differing masks"),
        tile(
            crossing > 0,
            &grouped(crossing),
            &format!("pairs under {} across patients", grouped(scan.limit as usize))
        ),
        tile(!data.problems.is_empty(), &grouped(data.problems.len()), "files that cannot be used"),
    )
}

fn differences(scan: &Scan, findings: &Findings) -> String {
    let frames = scan.frames.len();
    let mut html = format!(
        "<h2 id=differences>Differences</h2><p>The difference of two frames is the sum of absolute differences of their \
         {FRAME_WIDTH}×{FRAME_HEIGHT} pixels. All {} pairs were compared. Pairs under a limit link frames \
         into groups.</p><table><tr><th>difference under<th>pairs<th>masks differ<th>nerve in only one\
         <th>two patients<th>groups<th>frames in groups</tr>",
        grouped(frames * frames.saturating_sub(1) / 2)
    );
    for Count { limit, pairs, differing, contradicting, crossing, groups, frames } in &findings.counts {
        let cells = [*limit as usize, *pairs, *differing, *contradicting, *crossing, *groups, *frames];
        html += &format!("<tr><td>{}</tr>", cells.map(grouped).join("<td>"));
    }
    html += "</table>";
    let Some(whole) = &scan.whole else {
        return html + "<p class=none>A quick scan has no histogram; scan without --quick for one.</p>";
    };
    let joined = whole.histogram.len().div_ceil(BARS).max(1);
    let counts: Vec<u64> = whole.histogram.chunks(joined).map(|c| c.iter().sum()).collect();
    let width = f64::from(BUCKET) * joined as f64;
    let bars = Bars {
        titles: (0..counts.len())
            .map(|i| {
                format!("{} to {}: {}", short(i as f64 * width), short((i + 1) as f64 * width), counts[i])
            })
            .collect(),
        bars: counts.iter().map(|&c| [c as f64, 0.0]).collect(),
        marks: linear_marks(counts.len() as f64 * width).into_iter().map(|v| (v / width, short(v))).collect(),
        x: "difference of a pair",
        y: "pairs",
        logarithmic: true,
    };
    html += &format!("<h3>All pairs</h3>{}", bars.svg());
    let nearest: Vec<u32> = whole.nearest.iter().flatten().map(|(_, sad)| *sad).collect();
    let Some(least) = nearest.iter().min() else { return html };
    let (bars, marks) = decades(&nearest);
    let bars =
        Bars { bars, marks, x: "difference from the most similar frame", y: "frames", ..Bars::default() };
    html += &format!(
        "<h3>Each frame and the one most like it</h3>{}<p>The least difference of all is {}. Frames far \
         left of the hill are stored twice, or nearly.</p>",
        bars.svg(),
        grouped(*least as usize)
    );
    html
}

/// Values by power of ten; those under 10 in the first bar.
fn decades(values: &[u32]) -> (Vec<[f64; 2]>, Vec<(f64, String)>) {
    let place = |v: u32| (f64::from(v.max(10)).log10() * PER_DECADE as f64) as usize - PER_DECADE;
    let count = values.iter().map(|&v| place(v) + 1).max().unwrap_or(1).next_multiple_of(PER_DECADE);
    let mut bars = vec![[0.0, 0.0]; count];
    for &value in values {
        bars[place(value)][0] += 1.0;
    }
    let mark = |i: usize| {
        let label = if i == 0 { "under 10".into() } else { short(10f64.powi(i as i32 + 1)) };
        ((i * PER_DECADE) as f64 + if i == 0 { 0.8 } else { 0.0 }, label)
    };
    (bars, (0..=count / PER_DECADE).map(mark).collect())
}

/// About eight round numbers from 0 to `most`.
fn linear_marks(most: f64) -> Vec<f64> {
    let rough = (most / 8.0).max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= rough).unwrap_or(10.0);
    (0..=(most / step) as usize).map(|i| i as f64 * step).collect()
}

fn duplicates(strips: &Strips, findings: &Findings, shown: &Shown) -> Result<String> {
    let total = findings.groups.len();
    let limit = grouped(shown.duplicates as usize);
    let mut html =
        format!("<h2 id=duplicates>Duplicates</h2><p>Groups of frames less than {limit} apart: {total}");
    if total == 0 {
        return Ok(html + ".</p>");
    }
    let pictured = total.min(shown.groups);
    _ = write!(
        html,
        "; {pictured} are shown, contradictions first. Each mask is outlined in its frame's colour; the last \
         picture has all of them.</p>"
    );
    for group in &findings.groups[..pictured] {
        html += &strips.strip(group)?;
    }
    Ok(html)
}

fn crossing(strips: &Strips, data: &Recorded, findings: &Findings) -> Result<String> {
    let pairs = &findings.crossing;
    let mut html = "<h2 id=crossing>Near-duplicates across patients</h2>".to_owned();
    if pairs.is_empty() {
        return Ok(html + "<p>None: a split by patient keeps them apart.</p>");
    }
    _ = write!(
        html,
        "<p>Pairs of two patients: {}; the closest {} shown. A split by patient does not keep them apart.</p>",
        grouped(pairs.len()),
        pairs.len().min(PAIRS)
    );
    for m in &pairs[..pairs.len().min(PAIRS)] {
        html += &strips.strip(&[m.pair.a, m.pair.b])?;
    }
    html += "<details><summary>List</summary><table><tr><th>frames<th>difference<th>masks differ by</tr>";
    for m in pairs.iter().take(LINES) {
        let [a, b] = [m.pair.a, m.pair.b].map(|i| &data.frames[i as usize].name);
        let [sad, mask] = [m.pair.sad, m.mask_sad / 255].map(|n| grouped(n as usize));
        _ = write!(html, "<tr><td>{a} {b}<td>{sad}<td>{mask} pixels</tr>");
    }
    html += "</table>";
    html += &rest(pairs.len());
    Ok(html + "</details>")
}

fn near(strips: &Strips, findings: &Findings, shown: &Shown) -> Result<String> {
    let pairs = &findings.near;
    if pairs.is_empty() {
        return Ok(String::new());
    }
    let mut html = format!(
        "<h2 id=near>Near-duplicates with differing masks</h2><p>{} further pairs, {} apart or more, have masks that \
         differ; those {} that differ most are shown.</p>",
        grouped(pairs.len()),
        grouped(shown.duplicates as usize),
        pairs.len().min(PAIRS)
    );
    for m in &pairs[..pairs.len().min(PAIRS)] {
        html += &strips.strip(&[m.pair.a, m.pair.b])?;
    }
    Ok(html)
}

fn patients(findings: &Findings) -> String {
    let patients = &findings.patients;
    let bar = |p: &super::findings::Patient| [p.nerve as f64, (p.frames.len() - p.nerve) as f64];
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

fn masks(findings: &Findings) -> Result<String> {
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

fn greys(findings: &Findings) -> String {
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

fn files(data: &Recorded, findings: &Findings) -> String {
    let list = |lines: &[String]| {
        let unique: BTreeSet<&String> = lines.iter().collect();
        let items: String = unique.iter().take(LINES).map(|line| format!("<li>{}", escape(line))).collect();
        format!("<ul>{items}</ul>{}", rest(unique.len()))
    };
    let mut html = "<h2 id=files>Files</h2>".to_owned();
    match data.problems.len() {
        0 => html += "<p>Every file can be used.</p>",
        n => {
            _ = write!(html, "<h3>{n} cannot be used and are left out of this report</h3>");
            html += &list(&data.problems);
        }
    }
    if !findings.odd.is_empty() {
        _ = write!(html, "<h3>{} can be used, but are odd</h3>{}", findings.odd.len(), list(&findings.odd));
    }
    html
}

fn rest(count: usize) -> String {
    match count.saturating_sub(LINES) {
        0 => String::new(),
        more => format!("<p>and {} more</p>", grouped(more)),
    }
}

/// `15,873,795`
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As HTML text.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_for_people() {
        assert_eq!(["0", "999", "1,000", "15,873,795"], [0, 999, 1000, 15_873_795].map(grouped));
        assert_eq!(escape("<b>'&'"), "&lt;b&gt;&#39;&amp;&#39;");
        assert_eq!(linear_marks(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn decades_hold_every_value() {
        let (bars, _) = decades(&[0, 9, 10, 12, 99, 100, 5_000_000]);
        assert_eq!(bars.iter().map(|b| b[0]).sum::<f64>(), 7.0);
        assert_eq!((bars[0][0], bars[3][0], bars[4][0]), (4.0, 1.0, 1.0));
    }
}
