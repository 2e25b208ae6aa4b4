//! `nervelight-train`: makes data, trains, evaluates and exports the nerve segmentation network.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the first line of the program; nothing has started a thread.
    #[allow(unsafe_code)]
    unsafe {
        nervelight_engines::telemetry::forbid();
    }
    nervelight_train::cmd::main()
}
