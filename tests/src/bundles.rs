//! Bundles of tiny models that do as a test wants: each map is a simple function of its crop, so that a test knows every
//! pixel of it, and an engine takes a millisecond.

use std::path::Path;

use anyhow::Result;
use nervelight_engines::bundle::{Draft, Golden};
use nervelight_engines::{Bundle, HEIGHT, Manifest, Plane, WIDTH, plane};
use nervelight_phantom::Phantom;

use crate::onnx::{self, Model};

/// What a model computes of each pixel `x`, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recipe {
    /// `a * x + b`, cut to a byte.
    pub a: f32,
    /// See `a`.
    pub b: f32,
    /// Rounds of smoothing whose result does not count: each takes tens of milliseconds.
    pub rounds: u32,
    /// Fails on every crop that is not black.
    pub fails: bool,
    /// Takes minutes for every crop that is not black.
    pub hangs: bool,
    /// The golden frames say something else.
    pub lies: bool,
    /// The bundle's serial.
    pub serial: Option<u64>,
}

impl Recipe {
    /// `a * x + b`.
    pub fn new(a: f32, b: f32) -> Self {
        Self { a, b, ..Self::default() }
    }

    /// The map of `crop`.
    pub fn map(&self, crop: &Plane) -> Box<Plane> {
        let mut map = plane();
        for (p, &x) in map.iter_mut().zip(crop.iter()) {
            *p = (self.a * f32::from(x) + self.b).clamp(0.0, 255.0) as u8;
        }
        map
    }

    /// The threshold on a map's bytes.
    pub const THRESHOLD: u8 = 128;
    /// Least area of a nerve.
    pub const MIN_AREA: u32 = 200;

    /// Writes the bundle; a tar if `path` ends so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, version: &str) -> Result<Bundle> {
        let mut manifest = Manifest::new("tiny", version);
        (manifest.threshold, manifest.min_area) = (0.5, Self::MIN_AREA);
        manifest.serial = self.serial;
        manifest.provenance.network = format!("{} * x + {}", self.a, self.b);
        let mut draft = Draft::new(manifest);
        draft.file("fp32.onnx", self.model().encode());
        for (name, crop) in self.golden_crops()? {
            let map = match self.lies {
                true => Self { a: -self.a, b: 255.0 - self.b, ..*self }.map(&crop),
                false => self.map(&crop),
            };
            draft.golden(&Golden { name: name.into(), crop, map })?;
        }
        Ok(draft.write(path)?)
    }

    /// A black one; and phantoms, where the model does as it says.
    fn golden_crops(&self) -> Result<Vec<(&'static str, Box<Plane>)>> {
        let mut crops = vec![("black", plane())];
        if !self.fails && !self.hangs {
            crops.push(("phantom", phantom_crop(3, 10)?));
        }
        Ok(crops)
    }

    fn model(&self) -> Model {
        let mut model = Model::default();
        model.node("Cast", &["frame"], "x", &[onnx::int("to", onnx::FLOAT)]);
        model.constant("a", self.a);
        model.constant("b", self.b);
        model.constant("least", 0.0);
        model.constant("most", 255.0);
        model.node("Mul", &["x", "a"], "ax", &[]);
        model.node("Add", &["ax", "b"], "y0", &[]);
        let mut last = "y0".to_owned();
        let mut add = |model: &mut Model, term: &str| {
            let sum = format!("{last}+");
            model.node("Add", &[&last, term], &sum, &[]);
            last = sum;
        };
        if self.rounds > 0 {
            let mut smooth = "x".to_owned();
            for round in 0..self.rounds {
                let next = format!("s{round}");
                let attributes = [onnx::ints("kernel_shape", &[31, 31]), onnx::ints("pads", &[15; 4])];
                model.node("AveragePool", &[&smooth], &next, &attributes);
                smooth = next;
            }
            model.constant("nothing", 0.0);
            model.node("Mul", &[&smooth, "nothing"], "work", &[]);
            add(&mut model, "work");
        }
        if self.fails || self.hangs {
            // 0 where the crop is black, else its brightest pixel.
            model.node("ReduceMax", &["x"], "bright", &[onnx::int("keepdims", 0)]);
            model.node("Cast", &["bright"], "n", &[onnx::int("to", onnx::INT64)]);
        }
        if self.fails {
            model.vector("one", &[0.0]);
            model.node("Gather", &["one", "n"], "taken", &[]);
            add(&mut model, "taken");
        }
        if self.hangs {
            model.whole("million", 100_000_000);
            model.node("Mul", &["n", "million"], "times", &[]);
            model.counting_loop("times", "least", "counted");
            model.constant("none", 0.0);
            model.node("Mul", &["counted", "none"], "waited", &[]);
            add(&mut model, "waited");
        }
        model.node("Clip", &[&last, "least", "most"], "clipped", &[]);
        model.node("Cast", &["clipped"], "nerve", &[onnx::int("to", onnx::UINT8)]);
        model
    }
}

/// The middle of frame `n` of the patient `seed`.
///
/// # Errors
/// When it cannot be drawn.
pub fn phantom_crop(seed: u64, n: u64) -> Result<Box<Plane>> {
    use nervelight_phantom::{HEIGHT as ROWS, WIDTH as COLUMNS};
    let (mut luma, mut mask) = (vec![0; COLUMNS * ROWS], vec![0; COLUMNS * ROWS]);
    Phantom::new(seed).frame(n, &mut luma, &mut mask)?;
    let (left, top) = (((COLUMNS - WIDTH) / 2) & !1, ((ROWS - HEIGHT) / 2) & !1);
    let mut crop = plane();
    for (row, out) in crop.chunks_exact_mut(WIDTH).enumerate() {
        out.copy_from_slice(&luma[(top + row) * COLUMNS + left..][..WIDTH]);
    }
    Ok(crop)
}
