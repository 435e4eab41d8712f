//! The command as a program of its own; everything is in the library, which the Python script calls as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    outside_cli::run(std::env::args_os()).into()
}
