//! Seconds of a training step against the same network, loss and Adam in eager fp32 PyTorch:
//! `cargo bench -p nervelight-train --bench step`.
//!
//! Both sides start from the same weights and train on the same batch, by turns, so that whatever else
//! the machine does meets both. On the CPU, and on the GPU when there is one.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nervelight_engines::contract::{HEIGHT, WIDTH};
use nervelight_phantom::{self as phantom, Phantom};
use nervelight_train::bench::{
    Adam, Augment, Augmentation, Frame, Loss, LossKind, Module, Network, NumberFormat, batch, memory, random,
};
use tch::Device;

const BATCH: usize = 4;
const RATE: f64 = 1e-4;
const LOSS: Loss = Loss {
    kind: LossKind::BceDice,
    recall_weight: 1.0,
    swap_truth_and_prediction: false,
    tversky_alpha: 0.5,
    tversky_gamma: 1.0,
};
/// Steps of each side before the clock starts.
const WARM: usize = 2;
/// bf16 against fp32: the first losses may differ by this part.
const SAME: f64 = 0.02;

fn main() -> Result<()> {
    memory::keep();
    let threads = std::thread::available_parallelism()?.get();
    let frames = frames()?;
    println!("batch of {BATCH}, {WIDTH}x{HEIGHT}, {threads} threads");
    for (width, rounds) in [(1.0, 4), (0.25, 20)] {
        compare(width, rounds, threads, Device::Cpu, &frames)?;
    }
    if tch::Cuda::is_available() {
        for width in [1.0, 0.25] {
            compare(width, 50, threads, Device::Cuda(0), &frames)?;
        }
    }
    Ok(())
}

/// Crops of phantoms, some with a nerve.
fn frames() -> Result<Vec<Frame>> {
    let frame = |n: usize| {
        let pixels = phantom::WIDTH * phantom::HEIGHT;
        let (mut luma, mut mask) = (vec![0; pixels], vec![0; pixels]);
        Phantom::new(n as u64).still(n as u64, &mut luma, &mut mask)?;
        let crop = |plane: &[u8]| {
            let rows = plane.chunks_exact(phantom::WIDTH).take(HEIGHT);
            rows.flat_map(|row| &row[..WIDTH]).copied().collect::<Box<[u8]>>()
        };
        let nerve = crop(&mask).iter().map(|pixel| u8::from(*pixel > 0)).collect();
        Ok(Frame { name: format!("{n}_1"), patient: n as u32, luma: crop(&luma), nerve })
    };
    (0..BATCH).map(frame).collect()
}

/// `rounds` steps of each side; prints the medians.
fn compare(width: f64, rounds: usize, threads: usize, device: Device, frames: &[Frame]) -> Result<()> {
    tch::set_num_threads(threads as i32);
    tch::manual_seed(1);
    let network = Network::vgg16_fcn(width);
    let start = random(&network).parameters;
    let folder = tempfile::tempdir()?;
    let weights: Vec<_> = start.iter().collect();
    tch::Tensor::save_multi(&weights, folder.path().join("weights.pt"))?;
    let bytes = |of: fn(&Frame) -> &[u8]| frames.iter().flat_map(of).copied().collect::<Vec<u8>>();
    std::fs::write(folder.path().join("crops.bin"), bytes(|frame| &frame.luma))?;
    std::fs::write(folder.path().join("truth.bin"), bytes(|frame| &frame.nerve))?;

    let mut theirs = PyTorch::start(width, threads, device, folder.path())?;
    let mut ours = Ours::new(Module::new(network, start, 0, NumberFormat::Bf16, device));
    let frames: Vec<&Frame> = frames.iter().collect();
    let (mut our, mut their, mut loading) = (vec![], vec![], vec![]);
    for round in 0..WARM + rounds {
        let (seconds, expected) = theirs.step()?;
        let step = ours.step(&frames);
        if round == 0 {
            let off = (step.loss / expected - 1.0).abs();
            ensure!(off < SAME, "loss {} where PyTorch has {expected}: not the same network", step.loss);
        }
        if round >= WARM {
            their.push(seconds);
            our.push(step.seconds);
            loading.push(augmenting(&frames, round, device));
        }
    }
    let (our, their, loading) = (median(our), median(their), median(loading));
    let place = if device.is_cuda() { "GPU" } else { "CPU" };
    println!(
        "width {width:>4} on {place}: {:>7.1} ms a step ({:.1} images/s), eager fp32 PyTorch {:.1} ms ({:.1} \
         images/s): {:.2} times as fast; loading and augmenting {:.1} ms, {:.1} % of a step",
        our * 1e3,
        BATCH as f64 / our,
        their * 1e3,
        BATCH as f64 / their,
        their / our,
        loading * 1e3,
        loading / (our + loading) * 100.0
    );
    Ok(())
}

/// The trainer's side.
struct Ours {
    module: Module,
    adam: Adam,
}

/// What a step took and found.
struct Step {
    seconds: f64,
    loss: f64,
}

impl Ours {
    fn new(module: Module) -> Self {
        let adam = Adam::new(&module.parameters);
        Self { module, adam }
    }

    fn step(&mut self, frames: &[&Frame]) -> Step {
        let device = self.module.device();
        let begun = Instant::now();
        let batch = batch(frames, (HEIGHT, WIDTH), None, device);
        let loss = LOSS.of(&self.module.train_logits(&batch.crops), &batch.truth);
        let value = loss.double_value(&[]);
        loss.backward();
        self.adam.step(&mut self.module.parameters, RATE);
        wait(device);
        Step { seconds: begun.elapsed().as_secs_f64(), loss: value }
    }
}

/// Seconds to make a batch of augmented frames.
fn augmenting(frames: &[&Frame], epoch: usize, device: Device) -> f64 {
    let vary = Augmentation { level: Augment::Full, seed: 1, epoch };
    let begun = Instant::now();
    let batch = batch(frames, (HEIGHT, WIDTH), Some(vary), device);
    wait(device);
    drop(batch);
    begun.elapsed().as_secs_f64()
}

fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// `step.py` in a process of its own.
struct PyTorch {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PyTorch {
    fn start(width: f64, threads: usize, device: Device, folder: &Path) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let python = root.join(".venv/bin/python");
        let device = if device.is_cuda() { "cuda" } else { "cpu" };
        let mut child = Command::new(&python)
            .arg(root.join("trainer/benches/step.py"))
            .args([width.to_string(), threads.to_string(), device.into()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}: run ./setup.sh train", python.display()))?;
        let commands = child.stdin.take().context("no pipe")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut pytorch = Self { child, commands, answers };
        ensure!(pytorch.answer()? == "ready", "step.py does not start");
        Ok(pytorch)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "step.py ended; see its message above");
        Ok(line.trim().to_owned())
    }

    /// Seconds and loss of one step.
    fn step(&mut self) -> Result<(f64, f64)> {
        self.commands.write_all(b"step\n")?;
        self.commands.flush()?;
        let line = self.answer()?;
        let (seconds, loss) = line.split_once(' ').context("step.py answers nonsense")?;
        Ok((seconds.parse()?, loss.parse()?))
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
