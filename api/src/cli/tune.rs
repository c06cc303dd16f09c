//! `coinbitclub tune --check`.

use std::process::ExitCode;

use super::TuneArgs;

/// Checks the host and prints the report; the exit status is the worst finding's (0 ok, 1 warn, 2 bad).
#[must_use]
pub fn tune(args: &TuneArgs) -> ExitCode {
    if args.pid.is_none()
        && let Err(error) = tuning::raise_soft_limits()
    {
        eprintln!("coinbitclub: limits were not raised: {error}");
    }
    let options = tuning::CheckOptions {
        pid: args.pid,
        data_dir: args.data.clone(),
        shards: args.shards,
        ..tuning::CheckOptions::default()
    };
    let report = tuning::check(&options);
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.render_table());
    }
    ExitCode::from(report.exit_code())
}
