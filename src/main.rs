//! Arguments to command to exit code. No logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    bakeline::cli::main(std::env::args_os())
}
