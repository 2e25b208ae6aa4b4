//! Data with planted faults, from files to file and page.

use std::path::PathBuf;

use super::{report, scan};
use crate::analyze::planted::{PIXELS, add, frame, nerve, plant, write};
use crate::analyze::{Scan, ScanError};
use crate::data::Recorded;

/// What a planted pair must be found as: names, difference, whether the masks differ.
type Planted = (&'static str, &'static str, u32, bool);

const PLANTED: [Planted; 6] = [
    // Exact, with the same mask.
    ("1_1", "1_5", 0, false),
    // Near, by 40 pixels of one grey level, each with the other's mask.
    ("1_2", "2_2", 40, false),
    // The same frame, another mask.
    ("2_1", "2_9", 0, true),
    // Across patients, once with and once without nerve.
    ("1_3", "3_3", 999, true),
    // A chain: 3_1 to 3_7 to 3_8, the ends 1200 apart.
    ("3_1", "3_7", 600, false),
    ("3_7", "3_8", 600, false),
];

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn planted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn scan(&self, threshold: u32, quick: bool) -> anyhow::Result<Scan> {
        let [out, csv] = ["out/scan", "out/pairs.csv"].map(|name| self.path(name));
        let data = self.folder.path().into();
        scan::run(&scan::Arguments { data, out: out.clone(), threshold, csv: Some(csv), quick })?;
        Ok(Scan::load(&out)?)
    }

    fn report(&self, scan: Option<&str>) -> anyhow::Result<String> {
        let out = self.path("out/report.html");
        let scan = scan.map(|name| self.path(name));
        let (data, duplicates) = (self.folder.path().into(), 1000);
        report::run(&report::Arguments { data, scan, out: out.clone(), duplicates, groups: 24 })?;
        Ok(std::fs::read_to_string(out)?)
    }
}

#[test]
fn planted_pairs_are_found_and_nothing_else() {
    let case = Case::planted();
    for quick in [false, true] {
        let scan = case.scan(1000, quick).unwrap();
        let name = |i: u32| scan.frames[i as usize].name.as_str();
        let mut found: Vec<_> = scan
            .matches
            .iter()
            .map(|m| (name(m.pair.a), name(m.pair.b), m.pair.sad, m.mask_sad > 0))
            .collect();
        found.sort();
        let mut planted = PLANTED;
        planted.sort();
        assert_eq!(found, planted, "quick: {quick}");
        assert_eq!(scan.whole.is_none(), quick);
        if let Some(whole) = scan.whole {
            assert_eq!(whole.histogram.iter().sum::<u64>(), 16 * 15 / 2);
            // The planted pairs and the ends of the chain.
            assert_eq!(whole.histogram[0], 7);
            assert_eq!(whole.nearest[0], Some((4, 0)), "1_1 is most like 1_5");
        }
    }
    let csv = std::fs::read_to_string(case.path("out/pairs.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + PLANTED.len());
    // Ten pixels by ten more rows, or the whole nerve, times 255.
    for line in ["1_1,1_5,0,0", "2_1,2_9,0,25500", "1_3,3_3,999,765000"] {
        assert!(csv.contains(line), "{line} in {csv}");
    }
}

#[test]
fn the_report_counts_what_was_planted() {
    let case = Case::planted();
    let html = case.report(None).unwrap();
    // Under 1000: pairs, masks differ, nerve in one only, two patients, groups, frames.
    assert!(html.contains("<td>1,000<td>6<td>2<td>1<td>2<td>5<td>11</tr>"), "{html}");
    assert!(html.contains("<td>100<td>3<td>1<td>0<td>1<td>3<td>6</tr>"));
    // One more under the scan's own limit: the ends of the chain.
    assert!(html.contains("<td>100,000<td>7<td>"));
    assert_eq!(html.matches("<div class=group>").count(), 5 + 2, "groups, and pairs across patients");
    assert!(html.contains("nerve in some only") && html.contains("Every file can be used"));
    for outside in ["http:", "https:", "<script", "<link", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    case.scan(5000, false).unwrap();
    assert!(case.report(Some("out/scan")).unwrap().contains("<td>5,000<td>7<td>"));
}

#[test]
fn the_report_is_made_when_files_are_bad() {
    let case = Case::planted();
    std::fs::remove_file(case.path("1_4_mask.tif")).unwrap();
    std::fs::remove_file(case.path("2_4.tif")).unwrap();
    std::fs::write(case.path("3_4.tif"), "hello <b>").unwrap();
    image::RgbImage::new(580, 420).save(case.path("7_1.png")).unwrap();
    write(&case.path("7_1_mask.tif"), &nerve(1));
    image::GrayImage::new(256, 256).save(case.path("7_2.png")).unwrap();
    write(&case.path("7_2_mask.tif"), &nerve(1));
    add(case.folder.path(), "8_1", &[0; PIXELS], &[77; PIXELS]);
    let html = case.report(None).unwrap();
    for part in [
        "5 cannot be used",
        "1_4.tif: has no mask",
        "2_4_mask.tif: has no frame",
        "3_4.tif: is cut short or damaged",
        "7_1.png: is",
        "not gray",
        "7_2.png: is 256x256",
        "8_1: every pixel is 0",
        "8_1_mask: 243600 pixels are neither 0 nor 255",
        "14</b>frames",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
}

#[test]
fn a_scan_of_other_data_is_refused() {
    let case = Case::planted();
    case.scan(1000, true).unwrap();
    write(&case.path("2_3_mask.tif"), &nerve(2));
    let error = format!("{:#}", case.report(Some("out/scan")).unwrap_err());
    assert!(error.contains("belongs to other data (frame or mask 2_3 has changed)"), "{error}");
    std::fs::remove_file(case.path("2_3_mask.tif")).unwrap();
    let error = format!("{:#}", case.report(Some("out/scan")).unwrap_err());
    assert!(error.contains("frame 2_4 where 2_3 was scanned"), "{error}");
    let data = Recorded::load(case.folder.path(), |_| (), &|_| ()).unwrap();
    let mut scan = case.scan(1000, true).unwrap();
    scan.frames.pop();
    assert!(matches!(scan.check(&data), Err(ScanError::OtherData(_))));
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { folder };
    let error = |result: anyhow::Result<Scan>| format!("{:#}", result.unwrap_err());
    assert!(error(case.scan(1, true)).contains("no frames here"));
    std::fs::write(case.path("1_1.tif"), "x").unwrap();
    assert!(error(case.scan(1, true)).contains("1_1.tif: has no mask"), "all files are bad");
    std::fs::write(case.path("bad"), "img1,img2").unwrap();
    let report = format!("{:#}", case.report(Some("bad")).unwrap_err());
    assert!(report.contains("bad: is not a scan"), "{report}");
    let report = format!("{:#}", case.report(Some("none")).unwrap_err());
    assert!(report.contains("none: cannot be read"), "{report}");
}

#[test]
fn one_frame_without_nerve_is_a_data_set() {
    let case = Case { folder: tempfile::tempdir().unwrap() };
    add(case.folder.path(), "1_1", &frame(1), &nerve(0));
    let scan = case.scan(1000, false).unwrap();
    assert_eq!((scan.matches.len(), scan.whole.unwrap().nearest), (0, vec![None]));
    assert!(case.report(None).unwrap().contains("No frame has a nerve."));
}
