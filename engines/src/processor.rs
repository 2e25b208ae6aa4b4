//! The name of the processor: a provider can be right on one and wrong on another.

use std::fs;

/// The processor as the kernel names it, such as `AMD EPYC 9R45` or `NVIDIA Jetson Orin Nano`; its architecture where
/// nothing names it.
pub fn name() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // Arm's cpuinfo names no model; the device tree names the board.
    let board = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
    model(&cpuinfo)
        .or_else(|| Some(board.trim_matches(['\0', '\n', ' '])).filter(|board| !board.is_empty()))
        .unwrap_or(std::env::consts::ARCH)
        .to_owned()
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_kernels() {
        let x86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9R45\nmodel\t\t: 2\n";
        assert_eq!(model(x86), Some("AMD EPYC 9R45"));
        assert_eq!(model("processor\t: 0\nCPU part\t: 0xd42\n"), None);
        assert!(!name().is_empty());
    }
}
