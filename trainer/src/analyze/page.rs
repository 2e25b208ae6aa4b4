//! The report as HTML: no script, no network, one file.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Result;

use super::file::Scan;
use super::findings::{Count, Findings};
use super::profile;
use super::strip::Strips;
use crate::data::similar::BUCKET;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, Recorded};
use crate::report::{Bars, linear_marks};
use crate::util::text::{escape, grouped, short};

/// Pairs, beside the groups, that are pictured.
const PAIRS: usize = 8;
/// Lines of a list.
const LINES: usize = 200;
/// Bars of a histogram, about.
const BARS: usize = 150;
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
        include_str!("../report/page.css"),
        env!("NERVELIGHT_REVISION")
    );
    page += &tiles(data, scan, findings, shown);
    page += NAVIGATION;
    page += &files(data, findings);
    page += &profile::patients(findings);
    page += &profile::masks(findings)?;
    page += &profile::greys(findings);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_every_value() {
        let (bars, _) = decades(&[0, 9, 10, 12, 99, 100, 5_000_000]);
        assert_eq!(bars.iter().map(|b| b[0]).sum::<f64>(), 7.0);
        assert_eq!((bars[0][0], bars[3][0], bars[4][0]), (4.0, 1.0, 1.0));
    }
}
