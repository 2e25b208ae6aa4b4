//! `nervelight-train`: makes data, trains, evaluates and exports the nerve segmentation network.

use std::process::ExitCode;

fn main() -> ExitCode {
    nervelight_train::cmd::main()
}
