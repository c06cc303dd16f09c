//! `wrk` as a load generator: one run, its figures.
//!
//! wrk is a closed loop: a connection sends its next request when the answer to the last has come, so a stall of the server
//! is seen by as many requests as there are connections and no more. Quote its percentiles with the number of connections.

use std::process::Command;

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Requests answered.
    pub requests: u64,
    /// Requests per second.
    pub rate: f64,
    /// Median latency, as wrk prints it.
    pub p50: String,
    /// 99th percentile, as wrk prints it.
    pub p99: String,
    /// Answers that were neither 2xx nor 3xx.
    pub refused: u64,
    /// Lines about socket errors.
    pub errors: Option<String>,
}

/// Runs wrk with one thread against `url` on CPU `cpu`.
///
/// # Errors
/// When wrk is missing or fails.
pub fn get(url: &str, connections: u32, seconds: u32, cpu: usize) -> Result<Run, String> {
    let output = Command::new("taskset")
        .args(["-c", &cpu.to_string(), "wrk", "-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(url)
        .output()
        .map_err(|error| format!("wrk: {error} (apt-get install wrk)"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("wrk failed: {text} {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(parse(&text))
}

/// Reads wrk's report.
#[must_use]
pub fn parse(text: &str) -> Run {
    let mut run = Run::default();
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("50%"), Some(value)) => value.clone_into(&mut run.p50),
            (Some("99%"), Some(value)) => value.clone_into(&mut run.p99),
            (Some("Requests/sec:"), Some(value)) => run.rate = value.parse().unwrap_or(0.0),
            (Some(count), Some("requests")) => run.requests = count.parse().unwrap_or(0),
            (Some("Non-2xx"), _) => {
                run.refused = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            (Some("Socket"), _) => run.errors = Some(line.to_owned()),
            _ => {}
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let text = "Running 2s test @ http://127.0.0.1:1\n  Latency Distribution\n     50%  612.00us\n     75%    1.00ms\n     \
                    99%    2.10ms\n  201234 requests in 2.00s, 30MB read\n  Non-2xx or 3xx responses: 17\nRequests/sec: 100617.00\n";
        let run = parse(text);
        assert_eq!((run.requests, run.refused), (201_234, 17));
        assert_eq!((run.p50.as_str(), run.p99.as_str()), ("612.00us", "2.10ms"));
        assert!((run.rate - 100_617.0).abs() < 0.5);
    }
}
