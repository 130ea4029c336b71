//! `netctl`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut terminal = netctl::Terminal {
        stdin: &mut std::io::stdin(),
        stdout: &mut std::io::stdout(),
        stderr: &mut std::io::stderr(),
    };
    ExitCode::from(netctl::run(std::env::args_os(), &mut terminal))
}
