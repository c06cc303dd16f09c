//! The servers under test, each in a process of its own on its CPU: `http_bench serve KIND`.

pub(crate) use bench_support::child::{Server, say_ready, wait_for_the_end};

/// Runs a server in this process until its standard input ends.
pub(crate) fn serve(words: &[String]) -> Result<(), String> {
    let _ = tuning::raise_soft_limits();
    match words {
        [kind] if kind == "net" => super::bare::serve(),
        [kind] if kind == "durable" => super::durable::serve(),
        _ => Err("serve: net or durable".to_owned()),
    }
}
