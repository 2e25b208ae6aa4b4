//! Tries models that are not in a bundle yet, in an engine that computes them right.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use nervelight_engines::bundle::Draft;
use nervelight_engines::golden::{self, Golden};
use nervelight_engines::{Backend, Bundle, Engine, EngineSettings, Precision};

use crate::data::Frame;
use crate::evaluate;
use crate::evaluate::checked_engine::{self, CheckedEngine};
use crate::metrics::{OperatingPoint, Prediction};

/// Runs models in an engine that computes them right.
pub struct Trials<'a> {
    bundle: &'a Bundle,
    /// Where a map becomes a yes or no.
    pub point: OperatingPoint,
    golden: Vec<Golden>,
    settings: EngineSettings,
    /// What opens each kind of file here, once it has been compared with the file's own arithmetic.
    right: RefCell<BTreeMap<String, EngineSettings>>,
}

/// What an engine gave.
pub struct Predicted<'a> {
    pub predictions: Vec<Prediction<'a>>,
    /// Median time of a frame.
    pub milliseconds: f64,
    /// Least Dice on the golden frames against the map expected.
    pub golden: f64,
    /// Of the model's file.
    pub bytes: usize,
    /// The engine.
    pub engine: String,
}

impl<'a> Trials<'a> {
    /// For models beside the fp32 of `bundle`, at the operating point `point`.
    pub fn new(bundle: &'a Bundle, point: OperatingPoint, library: Option<PathBuf>) -> Result<Self> {
        let settings = EngineSettings { library, ..Default::default() };
        Ok(Self { bundle, point, golden: bundle.golden()?, settings, right: RefCell::default() })
    }

    /// `model` on `frames`. Models of one `kind` have the same operators; `what` is said while it computes.
    pub fn predict<'f>(
        &self,
        precision: Precision,
        kind: &str,
        what: &str,
        model: Vec<u8>,
        frames: &[&'f Frame],
    ) -> Result<Predicted<'f>> {
        let bytes = model.len();
        let mut engine = self.open(precision, kind, model)?;
        let (predictions, milliseconds) = evaluate::predict(engine.as_mut(), what, frames)?;
        let golden = golden::compare(engine.as_mut(), &self.bundle.manifest, &self.golden)?;
        let golden = golden.iter().map(|compared| compared.dice).fold(1.0, f64::min);
        let engine = engine.info().name();
        Ok(Predicted { predictions, milliseconds, golden, bytes, engine })
    }

    fn open(&self, precision: Precision, kind: &str, model: Vec<u8>) -> Result<Box<dyn Engine>> {
        // Whatever its name in the bundle will be, here it has that which the engine asks for.
        let directory = tempfile::tempdir()?;
        let mut manifest = self.bundle.manifest.clone();
        manifest.files = BTreeMap::new();
        let mut draft = Draft::new(manifest);
        draft.file(precision.onnx_file(), model);
        let scratch = draft.write(&directory.path().join("scratch.bundle"))?;
        if let Some(settings) = self.right.borrow().get(kind) {
            return Ok(nervelight_engines::open(&scratch, settings)?);
        }
        // OpenVINO would compute bfloat16, which the file does not say.
        let backend = if precision == Precision::Fp16 { Backend::Onnx } else { Backend::Auto };
        let settings = EngineSettings { precision, backend, ..self.settings.clone() };
        let CheckedEngine { engine, settings, wrong } =
            checked_engine::open(&scratch, &settings, &self.golden)?;
        for wrong in wrong {
            let wrong = wrong.replace(precision.onnx_file(), kind);
            errln!("warning: {wrong}. It is evaluated in {} instead", engine.info().name());
        }
        if let Some(settings) = settings {
            self.right.borrow_mut().insert(kind.to_owned(), settings);
        }
        Ok(engine)
    }
}
