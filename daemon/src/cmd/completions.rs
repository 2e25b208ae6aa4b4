//! `nervelightd completions`: what completes commands and options in a shell.

/// For which shell.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints the shell's script for `command`, the whole command line.
pub fn completions(arguments: &Arguments, command: &mut clap::Command) {
    let mut script = vec![];
    clap_complete::generate(arguments.shell, command, "nervelightd", &mut script);
    out!("{}", String::from_utf8_lossy(&script));
}
