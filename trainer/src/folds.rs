//! `split` and `check-split`: folds in a file, and whether anything crosses them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::analyze::below;
use crate::data::{Dataset, Split, SplitBy};

/// Frames that differ by less are one picture to a network: the sum of absolute differences of two
/// crops, 0 to 61,102,080.
const NEAR: u32 = 100_000;
/// At most this many crossings are listed.
const LISTED: usize = 20;

/// Arguments of `split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train split --data data/neck --out folds.json
  nervelight-train split --data data/neck --out folds.json --folds 10 --seed 7

Then, in the settings of each run: split_file = \"folds.json\" and fold = 1, 2, ...")]
pub struct Arguments {
    /// Directory of frames and masks
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Corrections that the runs will train with
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What folds consist of
    #[arg(long, value_enum, default_value = "patient")]
    by: SplitBy,
    /// Number of folds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    folds: u32,
    /// Another seed, other folds
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Arguments of `check-split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train check-split --data data/neck --split folds.json
  nervelight-train check-split --data data/neck --split runs/first/split.json --threshold 1000

Fails when a patient, or two frames that are nearly the same, are in different folds.")]
pub struct CheckArguments {
    /// Directory of frames and masks
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Corrections that the split was drawn with
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// A file of `split`, or split.json of a run
    #[arg(long, value_name = "FILE")]
    split: PathBuf,
    /// Two crops with a sum of absolute differences under this are nearly the same
    #[arg(long, value_name = "N", default_value_t = NEAR)]
    threshold: u32,
}

/// Draws and writes.
pub fn split(arguments: &Arguments) -> Result<()> {
    let Arguments { out, by, folds, seed, .. } = arguments;
    if out.exists() {
        bail!("{}: is there already; runs may depend on it, so choose another name", out.display());
    }
    let data = Dataset::open(&arguments.data, arguments.corrections.as_deref())?;
    let split = Split::draw(&data, *by, *folds as usize, *seed)?;
    split.save(out).with_context(|| format!("{}: write", out.display()))?;
    out!("{}", table(&split, &data)?);
    outln!("digest {} in {}", split.digest(), out.display());
    Ok(())
}

/// Frames of each fold.
fn table(split: &Split, data: &Dataset) -> Result<String> {
    let fold_of = split.fold_of()?;
    let mut text = format!("{:>5} {:>7} {:>7} {:>8}\n", "fold", "frames", "nerve", "patients");
    for fold in 1..=split.folds.len() {
        let frames: Vec<_> =
            data.frames.iter().filter(|f| fold_of.get(f.name.as_str()) == Some(&fold)).collect();
        let nerve = frames.iter().filter(|f| f.has_nerve()).count();
        let mut patients: Vec<_> = frames.iter().map(|f| f.patient).collect();
        patients.dedup();
        text += &format!("{fold:>5} {:>7} {nerve:>7} {:>8}\n", frames.len(), patients.len());
    }
    Ok(text)
}

/// Checks and reports.
pub fn check(arguments: &CheckArguments) -> Result<()> {
    let split = Split::load(&arguments.split)?;
    let data = Dataset::open(&arguments.data, arguments.corrections.as_deref())?;
    out!("{}", table(&split, &data)?);
    let crossings = crossings(&split, &data, arguments.threshold)?;
    if crossings.is_empty() {
        outln!("nothing crosses: no patient, and no pair of frames less than {} apart", arguments.threshold);
        return Ok(());
    }
    let count = crossings.len();
    let listed: Vec<_> = crossings.into_iter().take(LISTED).collect();
    let more = if count > LISTED { format!("\n  and {} more", count - LISTED) } else { String::new() };
    bail!(
        "{}: {count} crossings, so figures of this split flatter:\n  {}{more}\n\
         draw folds by patient; two patients that share pictures are one: rename the frames of one to \
         the other's number, or drop them (`nervelight-train analyze resolve`)",
        arguments.split.display(),
        listed.join("\n  ")
    )
}

/// What is in more than one fold: patients, and pairs of frames less than `threshold` apart.
pub fn crossings(split: &Split, data: &Dataset, threshold: u32) -> Result<Vec<String>> {
    let fold_of = split.fold_of()?;
    let mut found = vec![];
    for frame in data.frames.iter().filter(|f| !fold_of.contains_key(f.name.as_str())) {
        found.push(format!("frame {} is in no fold: the data are others, or have grown", frame.name));
    }
    let fold = |name: &str| fold_of.get(name).copied();
    let mut patients = BTreeMap::<u32, Vec<usize>>::new();
    for frame in &data.frames {
        patients.entry(frame.patient).or_default().extend(fold(&frame.name));
    }
    for (patient, mut folds) in patients {
        folds.sort_unstable();
        folds.dedup();
        if folds.len() > 1 {
            found.push(format!("patient {patient} is in folds {folds:?}"));
        }
    }
    let luma: Vec<&[u8]> = data.frames.iter().map(|f| &f.luma[..]).collect();
    for pair in below(&luma, data.width, threshold) {
        let [a, b] = [pair.a, pair.b].map(|i| data.frames[i as usize].name.as_str());
        if let (Some(x), Some(y)) = (fold(a), fold(b))
            && x != y
        {
            found.push(format!("frames {a} (fold {x}) and {b} (fold {y}) differ by {} only", pair.sad));
        }
    }
    Ok(found)
}

/// How far a run's figures can be trusted, in one line for its log; none when nothing crosses.
pub fn warning(split: &Split, data: &Dataset) -> Result<Option<String>> {
    let crossings = crossings(split, data, NEAR)?;
    let Some(first) = crossings.first() else {
        return Ok(None);
    };
    Ok(Some(format!(
        "LEAKY: {} crossings between folds, so the figures flatter: {first}{}. \
         `nervelight-train check-split` lists them",
        crossings.len(),
        if crossings.len() > 1 { ", ..." } else { "" }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;
    use crate::rng::Rng;

    fn data() -> Dataset {
        let frame = |patient: u32, n: u64| {
            let mut rng = Rng::new(&[u64::from(patient), n]);
            Frame {
                name: format!("{patient}_{n}"),
                patient,
                luma: (0..64 * 32).map(|_| rng.next() as u8).collect(),
                nerve: vec![u8::from(n.is_multiple_of(2)); 64 * 32].into(),
            }
        };
        let frames = (0..6).flat_map(|p| (0..4).map(move |n| frame(p, n))).collect();
        Dataset { frames, height: 32, width: 64, digest: "d".into(), corrections: None }
    }

    #[test]
    fn clean_folds_have_no_crossing() {
        let data = data();
        let split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        assert_eq!(crossings(&split, &data, 5000).unwrap(), Vec::<String>::new());
        assert!(warning(&split, &data).unwrap().is_none());
    }

    #[test]
    fn a_patient_in_two_folds_is_named() {
        let data = data();
        let mut split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        let moved = split.folds[0].pop().unwrap();
        split.folds[1].push(moved.clone());
        let found = crossings(&split, &data, 5000).unwrap();
        let patient = moved.split_once('_').unwrap().0;
        assert_eq!(found, [format!("patient {patient} is in folds [1, 2]")]);
        split.folds[1].pop();
        let found = crossings(&split, &data, 5000).unwrap();
        assert!(found.len() == 1 && found[0].contains(&moved) && found[0].contains("no fold"), "{found:?}");
        let more = [split.folds[0].pop().unwrap(), split.folds[2].pop().unwrap()];
        let found = crossings(&split, &data, 5000).unwrap();
        for name in more {
            assert!(
                found.iter().any(|line| line.contains(&format!("frame {name} is in no fold"))),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_near_duplicate_of_another_patient_is_named() {
        let mut data = data();
        let split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        let at = |name: &String| data.frames.iter().position(|f| f.name == *name).unwrap();
        let (a, b) = (at(&split.folds[0][0]), at(&split.folds[2][1]));
        data.frames[b].luma = data.frames[a].luma.clone();
        data.frames[b].luma[7] ^= 3;
        let found = crossings(&split, &data, 5000).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        for name in [&data.frames[a].name, &data.frames[b].name] {
            assert!(found[0].contains(name.as_str()), "{found:?}");
        }
        assert!(warning(&split, &data).unwrap().unwrap().starts_with("LEAKY: 1 crossings"));
    }
}
