//! Energy that the board took, where it reports it: a Jetson's INA3221 sensor, or a PC's RAPL counters.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Rails that add up to an AGX Orin, which has no sensor for all of it.
const RAILS: [&str; 3] = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"];
/// The sensor averages over about a millisecond; slower than this misses a frame's peaks.
const SAMPLING: Duration = Duration::from_millis(20);

/// A measurement that is on its way.
pub enum Meter {
    /// Power, sampled and added up.
    Sampled {
        /// Stops the thread.
        stop: Arc<AtomicBool>,
        /// Gives joules.
        thread: JoinHandle<f64>,
    },
    /// Counters; gives the joules since the measurement was started.
    Counted(Box<dyn Fn() -> f64>),
}

impl Meter {
    /// Starts to measure the module, or the CPU packages; none where the board does not report it, or only to root.
    pub fn start() -> Option<Self> {
        Self::start_in(Path::new("/sys"))
    }

    fn start_in(sys: &Path) -> Option<Self> {
        let rails = module_rails(sys);
        if !rails.is_empty() {
            return Some(Self::sampled(move || rails.iter().map(Rail::watts).sum()));
        }
        let files: Vec<_> = children(&sys.join("class/powercap"))
            .filter(|zone| text(&zone.join("name")).is_some_and(|name| name.starts_with("package-")))
            .filter_map(|zone| Some((zone.join("energy_uj"), number(&zone.join("energy_uj"))?)))
            .collect();
        let joules = |(file, begun): &(PathBuf, u64)| microjoules(file, *begun) as f64 * 1e-6;
        (!files.is_empty()).then(|| Self::Counted(Box::new(move || files.iter().map(joules).sum())))
    }

    /// Starts to add up what `watts` reads.
    pub fn sampled(watts: impl Fn() -> f64 + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut joules, mut last) = (0.0, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(SAMPLING);
                let now = Instant::now();
                joules += watts() * (now - last).as_secs_f64();
                last = now;
            }
            joules
        });
        Self::Sampled { stop, thread }
    }

    /// Ends the measurement; joules.
    pub fn stop(self) -> f64 {
        match self {
            Self::Sampled { stop, thread } => {
                stop.store(true, Ordering::Relaxed);
                thread.join().unwrap_or(f64::NAN)
            }
            Self::Counted(joules) => joules(),
        }
    }
}

/// A counter's growth; it begins at 0 again after its range.
fn microjoules(file: &Path, begun: u64) -> u64 {
    let now = number(file).unwrap_or(begun);
    let range = number(&file.with_file_name("max_energy_range_uj")).unwrap_or(0);
    if now >= begun { now - begun } else { (range + now).saturating_sub(begun) }
}

/// Files of voltage (mV) and current (mA).
struct Rail {
    volts: PathBuf,
    amperes: PathBuf,
}

impl Rail {
    fn watts(&self) -> f64 {
        number(&self.volts).zip(number(&self.amperes)).map_or(0.0, |(mv, ma)| mv as f64 * ma as f64 * 1e-6)
    }
}

/// The module's input, or the rails that add up to it.
fn module_rails(sys: &Path) -> Vec<Rail> {
    let (mut input, mut parts) = (vec![], vec![]);
    for hwmon in children(&sys.join("bus/i2c/drivers/ina3221")).flat_map(|chip| children(&chip.join("hwmon")))
    {
        for n in 1..=3 {
            let rail = || Rail {
                volts: hwmon.join(format!("in{n}_input")),
                amperes: hwmon.join(format!("curr{n}_input")),
            };
            match text(&hwmon.join(format!("in{n}_label"))) {
                Some(label) if label == "VDD_IN" => input.push(rail()),
                Some(label) if RAILS.contains(&label.as_str()) => parts.push(rail()),
                _ => {}
            }
        }
    }
    if input.is_empty() { parts } else { input }
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

fn text(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn a_jetsons_input_is_sampled() {
        let sys = tempfile::tempdir().unwrap();
        let hwmon = sys.path().join("bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3");
        write(
            &hwmon,
            &[
                ("in1_label", "VDD_CPU"),
                ("in2_label", "VDD_IN\n"),
                ("in2_input", "5000\n"),
                ("curr2_input", "2000\n"),
            ],
        );
        let begun = Instant::now();
        let meter = Meter::start_in(sys.path()).unwrap();
        thread::sleep(Duration::from_millis(100));
        let joules = meter.stop();
        let most = 10.0 * begun.elapsed().as_secs_f64();
        assert!(joules > 0.5 && joules <= most, "{joules} J, at most {most}");
    }

    #[test]
    fn a_modules_rails_are_added() {
        let sys = tempfile::tempdir().unwrap();
        let chip = sys.path().join("bus/i2c/drivers/ina3221");
        for (hwmon, n, label) in
            [("a/hwmon/h1", 1, "VDD_GPU_SOC"), ("a/hwmon/h1", 3, "VIN_SYS_5V0"), ("b/hwmon/h2", 2, "x")]
        {
            let file = |kind: &str| format!("{kind}{n}");
            let (label_file, volts, amperes) = (
                format!("{}_label", file("in")),
                format!("{}_input", file("in")),
                format!("{}_input", file("curr")),
            );
            write(&chip.join(hwmon), &[(&label_file, label), (&volts, "5000"), (&amperes, "1000")]);
        }
        let rails = module_rails(sys.path());
        assert_eq!(rails.iter().map(Rail::watts).sum::<f64>(), 10.0);
    }

    #[test]
    fn counters_are_added_and_may_wrap() {
        let sys = tempfile::tempdir().unwrap();
        let zone = |n: u32| sys.path().join(format!("class/powercap/intel-rapl:{n}"));
        write(
            &zone(0),
            &[("name", "package-0\n"), ("energy_uj", "5000000\n"), ("max_energy_range_uj", "6000000")],
        );
        write(
            &zone(1),
            &[("name", "package-1"), ("energy_uj", "1000000"), ("max_energy_range_uj", "6000000")],
        );
        write(&zone(2), &[("name", "dram"), ("energy_uj", "0")]);
        let meter = Meter::start_in(sys.path()).unwrap();
        fs::write(zone(0).join("energy_uj"), "500000").unwrap();
        fs::write(zone(1).join("energy_uj"), "3000000").unwrap();
        fs::write(zone(2).join("energy_uj"), "9000000").unwrap();
        assert!((meter.stop() - 3.5).abs() < 1e-9);
    }

    #[test]
    fn a_board_that_reports_nothing_has_no_meter() {
        let sys = tempfile::tempdir().unwrap();
        assert!(Meter::start_in(sys.path()).is_none());
    }
}
