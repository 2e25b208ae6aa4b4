//! What carts kept for retraining, as drafts: frames with the masks that the carts' models drew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::{DynamicImage, ImageFormat};
use nervelight_engines::{HEIGHT, WIDTH};
use serde::Deserialize;

use crate::data::drafts::{DRAFTS, Draft, DraftMask, Drafts, MadeBy, frame_of_crop};
use crate::data::{self, FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::{Progress, sha256, write_gray};

/// The items of an export.
const INDEX: &str = "harvest.jsonl";
/// The version of them that is read.
const SCHEMA: u32 = 1;

/// A line of an export; what else it holds is not needed here.
#[derive(Debug, Deserialize)]
struct Item {
    case: String,
    item: String,
    event: String,
    ms: u64,
    why: String,
    reason: Option<String>,
    figures: Figures,
    width: usize,
    height: usize,
    spacing_mm: Option<[f32; 2]>,
    model: Model,
    crop_sha256: String,
    map_sha256: String,
}

#[derive(Debug, Deserialize)]
struct Figures {
    uncertainty: f64,
}

#[derive(Debug, Deserialize)]
struct Model {
    name: String,
    digest: String,
    threshold: u8,
    min_area: u32,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct Taken {
    /// Frames that are new.
    pub frames: usize,
    /// Cases that they are of.
    pub cases: usize,
    /// Frames that were imported before.
    pub known: usize,
    /// Where they lie.
    pub folder: PathBuf,
    /// What could not be used.
    pub left_out: Vec<String>,
}

/// Imports the exports in the folders `from` into the data set `to`. What was imported before stays as it is, so that an
/// export that has grown can be imported again.
///
/// # Errors
/// When a folder is no export, or nothing can be written.
pub fn harvest(from: &[PathBuf], to: &Path) -> Result<Taken> {
    let mut items = vec![];
    for folder in from {
        items.extend(read(folder)?.into_iter().map(|item| (folder.as_path(), item)));
    }
    // By case and time, so that numbers follow one another as the frames did.
    items.sort_by(|(_, a), (_, b)| (&a.case, a.ms, &a.item).cmp(&(&b.case, b.ms, &b.item)));
    let mut drafts = Drafts::find(to)?.unwrap_or_else(Drafts::none);
    let folder = to.join(DRAFTS);
    fs::create_dir_all(&folder).with_context(|| format!("{}: make", folder.display()))?;
    sweep(&folder, &drafts)?;
    let mut known: BTreeSet<_> =
        drafts.drafts.iter().map(|draft| (draft.case.clone(), draft.item.clone())).collect();
    let mut numbers = Numbers::of(&drafts, &[&to.join("train"), &folder, to])?;
    let mut taken = Taken { folder: folder.clone(), ..Taken::default() };
    let mut cases = BTreeSet::new();
    let mut progress = Progress::new("import", 0, items.len());
    for (from, item) in items {
        progress.advance(1);
        if !known.insert((item.case.clone(), item.item.clone())) {
            taken.known += 1;
            continue;
        }
        match draft(from, &item, &mut numbers) {
            Ok((draft, luma, mask)) => {
                let file = |end: &str| folder.join(format!("{}{end}.tif", draft.name));
                let (width, height) = (FRAME_WIDTH as u32, FRAME_HEIGHT as u32);
                write_gray(&file(""), width, height, &luma)?;
                write_gray(&file("_mask"), width, height, &mask.pixels)?;
                cases.insert(draft.case.clone());
                drafts.drafts.push(draft);
                taken.frames += 1;
            }
            Err(error) => taken.left_out.push(format!("{error:#}")),
        }
    }
    progress.finish();
    taken.cases = cases.len();
    // Last: what it does not name is swept when it is tried again.
    drafts.save(to)?;
    Ok(taken)
}

/// Removes frames that an interrupted import left.
fn sweep(folder: &Path, drafts: &Drafts) -> Result<()> {
    let named: BTreeSet<_> = drafts.drafts.iter().map(|draft| draft.name.as_str()).collect();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = stem.strip_suffix("_mask").unwrap_or(&stem);
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_frame = name.split_once('_').is_some_and(|(s, n)| is_number(s) && is_number(n));
        if is_frame && path.extension().is_some_and(|e| e == "tif") && !named.contains(name) {
            fs::remove_file(&path).with_context(|| format!("{}: remove", path.display()))?;
        }
    }
    Ok(())
}

/// Numbers of cases and of their frames, behind those that are taken.
struct Numbers {
    cases: BTreeMap<String, u32>,
    next: u32,
    frames: BTreeMap<u32, u32>,
}

impl Numbers {
    fn of(drafts: &Drafts, folders: &[&Path]) -> Result<Self> {
        let mut frames = BTreeMap::<u32, u32>::new();
        for folder in folders {
            for (patient, number) in data::highest(folder)? {
                let highest = frames.entry(patient).or_default();
                *highest = number.max(*highest);
            }
        }
        // Also of frames that were rejected, or whose files are gone.
        for draft in &drafts.drafts {
            let number = draft.name.split_once('_').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
            let highest = frames.entry(draft.patient).or_default();
            *highest = number.max(*highest);
        }
        let next = frames.keys().next_back().map_or(1, |highest| highest + 1);
        let cases = drafts.drafts.iter().map(|draft| (draft.case.clone(), draft.patient)).collect();
        Ok(Self { cases, next, frames })
    }

    /// Of the next frame of a case.
    fn take(&mut self, case: &str) -> (u32, u32) {
        let patient = match self.cases.get(case) {
            Some(patient) => *patient,
            None => {
                self.cases.insert(case.into(), self.next);
                self.next += 1;
                self.next - 1
            }
        };
        let number = self.frames.entry(patient).or_default();
        *number += 1;
        (patient, *number)
    }
}

fn draft(from: &Path, item: &Item, numbers: &mut Numbers) -> Result<(Draft, Vec<u8>, DraftMask)> {
    let name = format!("{}_{}", item.case, item.item);
    let crop = picture(&from.join("crops").join(format!("{name}.png")), &item.crop_sha256)?;
    let map = picture(&from.join("maps").join(format!("{name}.png")), &item.map_sha256)?;
    let luma = frame_of_crop(&crop);
    let mask = DraftMask::of_map(&map, item.model.threshold, item.model.min_area);
    let (patient, number) = numbers.take(&item.case);
    let draft = Draft {
        name: format!("{patient}_{number}"),
        patient,
        case: item.case.clone(),
        item: item.item.clone(),
        event: item.event.clone(),
        ms: item.ms,
        why: item.why.clone(),
        reason: item.reason.clone(),
        uncertainty: item.figures.uncertainty,
        area: mask.area(),
        spacing_mm: item.spacing_mm,
        model: MadeBy { name: item.model.name.clone(), digest: item.model.digest.clone() },
        picture: sha256(&luma),
        mask: mask.digest.clone(),
    };
    Ok((draft, luma, mask))
}

/// A crop's or map's pixels out of a file with this digest.
fn picture(path: &Path, digest: &str) -> Result<Vec<u8>> {
    let shown = path.display();
    let contents = fs::read(path).with_context(|| format!("{shown}: read; export it again"))?;
    if sha256(&contents) != digest {
        bail!("{shown}: is damaged; export it again");
    }
    match image::load_from_memory_with_format(&contents, ImageFormat::Png) {
        Ok(DynamicImage::ImageLuma8(image)) if image.dimensions() == (WIDTH as u32, HEIGHT as u32) => {
            Ok(image.into_raw())
        }
        Ok(_) => bail!("{shown}: is no 8-bit gray picture of {WIDTH}x{HEIGHT}"),
        Err(error) => bail!("{shown}: cannot be decoded ({error})"),
    }
}

/// The items of an export.
fn read(folder: &Path) -> Result<Vec<Item>> {
    let path = folder.join(INDEX);
    let shown = path.display();
    let text = fs::read_to_string(&path).with_context(|| {
        format!("{shown}: read; --harvest is a folder that `nervelightd harvest export` wrote")
    })?;
    let mut items = vec![];
    for (number, line) in text.lines().enumerate() {
        let line_of = number + 1;
        let version: Version = serde_json::from_str(line)
            .with_context(|| format!("{shown}:{line_of}: is no item of an export; export it again"))?;
        if version.schema != SCHEMA {
            bail!(
                "{shown}:{line_of}: is of schema {}, not {SCHEMA}; use a newer nervelight-train",
                version.schema
            );
        }
        let item: Item = serde_json::from_str(line)
            .with_context(|| format!("{shown}:{line_of}: is no item of an export; export it again"))?;
        // They become names of files.
        let is_name = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_name(&item.case) || !is_name(&item.item) {
            bail!("{shown}:{line_of}: case and item are 16 hexadecimal digits each; export it again");
        }
        if (item.width, item.height) != (WIDTH, HEIGHT) {
            bail!("{shown}:{line_of}: is of {}x{}, not {WIDTH}x{HEIGHT}", item.width, item.height);
        }
        items.push(item);
    }
    Ok(items)
}

#[derive(Deserialize)]
struct Version {
    schema: u32,
}
