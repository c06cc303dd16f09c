//! Prints the report for this host: `cargo run -p coinbitclub-tuning --example report [DATA_DIR]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut options = tuning::CheckOptions::default();
    if let Some(directory) = std::env::args_os().nth(1) {
        options.data_dir = directory.into();
    }
    let report = tuning::check(&options);
    print!("{}", report.render_table());
    ExitCode::from(report.exit_code())
}
