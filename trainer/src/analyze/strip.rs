//! Frames of a group side by side, masks outlined.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::file::Scan;
use super::picture;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, NERVE, Recorded};
use crate::util::text::grouped;

/// Frames of a group that are pictured.
const FRAMES: usize = 5;
/// Okabe and Ito's colours, bright ones.
const COLOURS: [&str; FRAMES] = ["#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73"];

/// Draws groups of frames of one data set.
#[derive(Debug)]
pub struct Strips<'a> {
    data: &'a Recorded,
    /// Difference and mask difference of listed pairs.
    known: BTreeMap<(u32, u32), (u32, u32)>,
}

impl<'a> Strips<'a> {
    /// For the frames of `data` and the pairs of its `scan`.
    pub fn new(data: &'a Recorded, scan: &Scan) -> Self {
        let known = scan.matches.iter().map(|m| ((m.pair.a, m.pair.b), (m.pair.sad, m.mask_sad)));
        Self { data, known: known.collect() }
    }

    /// One group: its frames, then the first with every outline.
    pub fn strip(&self, group: &[u32]) -> Result<String> {
        let shown = &group[..group.len().min(FRAMES)];
        let frames: Vec<_> = shown.iter().map(|&i| &self.data.frames[i as usize]).collect();
        let paths: Vec<String> =
            frames.iter().map(|frame| picture::outline(&picture::inside(&frame.mask, NERVE))).collect();
        let mut html = format!("<div class=group><p>{}</p><div class=strip>", self.caption(group));
        let mut first = String::new();
        for (i, frame) in frames.iter().enumerate() {
            let image = picture::grey(self.data.luma(frame))?;
            let area = match frame.area() {
                0 => "no nerve".into(),
                area => format!("{} px", grouped(area)),
            };
            let (colour, path) = (COLOURS[i], path(&paths[i], COLOURS[i]));
            _ = write!(
                html,
                "<figure>{}<figcaption><i style='background:{colour}'></i>{} · {area}</figcaption></figure>",
                svg(&image, &path),
                frame.name
            );
            if i == 0 {
                first = image;
            }
        }
        let all: String = paths.iter().zip(COLOURS).map(|(p, colour)| path(p, colour)).collect();
        let more = group.len() - shown.len();
        let more = if more > 0 { format!(", and {more} more frames") } else { String::new() };
        _ = write!(
            html,
            "<figure>{}<figcaption>all masks{more}</figcaption></figure></div></div>",
            svg(&first, &all)
        );
        Ok(html)
    }

    /// How far apart frames and masks are, at most, of the pairs that are listed.
    fn caption(&self, group: &[u32]) -> String {
        let pairs = group.iter().enumerate().flat_map(|(i, &a)| group[i + 1..].iter().map(move |&b| (a, b)));
        let known = pairs.filter_map(|(a, b)| self.known.get(&(a.min(b), a.max(b))).map(|k| (k, a, b)));
        let (mut sad, mut mask, mut crosses) = (0, 0, false);
        for ((pair_sad, mask_sad), a, b) in known {
            sad = sad.max(*pair_sad);
            mask = mask.max(*mask_sad);
            let [a, b] = [a, b].map(|i| self.data.frames[i as usize].patient);
            crosses |= a != b;
        }
        let with = group.iter().filter(|&&i| self.data.frames[i as usize].area() > 0).count();
        let verdict = if with > 0 && with < group.len() {
            "<b class=bad>nerve in some only</b>".into()
        } else if mask > 0 {
            let most = if group.len() > 2 { "up to " } else { "" };
            format!("<b class=bad>masks differ by {most}{} pixels</b>", grouped(mask.div_ceil(255) as usize))
        } else {
            "masks agree".into()
        };
        let crosses = if crosses { " · <b class=bad>two patients</b>" } else { "" };
        let apart = match sad {
            0 => "identical".into(),
            sad if group.len() > 2 => format!("up to {} apart", grouped(sad as usize)),
            sad => format!("{} apart", grouped(sad as usize)),
        };
        format!("{} frames, {apart} · {verdict}{crosses}", group.len())
    }
}

fn svg(image: &str, paths: &str) -> String {
    format!(
        "<svg viewBox='0 0 {FRAME_WIDTH} {FRAME_HEIGHT}'><image width={FRAME_WIDTH} \
         height={FRAME_HEIGHT} href='{image}'/>{paths}</svg>"
    )
}

fn path(path: &str, colour: &str) -> String {
    format!("<path class=outline stroke='{colour}' d='{path}'/>")
}
