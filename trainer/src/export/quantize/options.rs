//! Options of `export` and `quantize` about precisions.

use nervelight_engines::Precision;

/// What to write and how to evaluate it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Precisions to write; fp32 is always there, the others are measured against it
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fp32,fp16,int8")]
    pub precisions: Vec<Precision>,
    /// Frames of training patients to calibrate with
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub calibration_frames: u64,
    /// Frames held out to evaluate the precisions on, evenly over the patients
    #[arg(long, alias = "judged-frames", value_name = "N", default_value_t = 400,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub evaluation_frames: u64,
    /// Mean Dice that a precision may lose against fp32 on those frames; one that loses more is left out
    #[arg(long, value_name = "DICE", default_value_t = 0.01)]
    pub max_loss: f64,
    /// Precisions that the bundle must have; when one of them fails, none is written
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub require: Vec<Precision>,
}

impl Options {
    /// Whether there is more to write than fp32.
    pub fn any(&self) -> bool {
        self.precisions.iter().chain(&self.require).any(|precision| *precision != Precision::Fp32)
    }

    /// Whether fp32 alone would do.
    pub fn fp32_will_do(&self) -> bool {
        self.require.iter().all(|precision| *precision == Precision::Fp32)
    }

    /// Whether `precision` is to be tried.
    pub fn wants(&self, precision: Precision) -> bool {
        self.precisions.contains(&precision) || self.require.contains(&precision)
    }
}
