//! All that the process of a test logs, at the finest level: for tests of what must stand in no line.

#![allow(unreachable_pub, reason = "the test programs that use it see it")]

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

#[derive(Clone)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was logged until now.
    pub fn so_far(&self) -> Vec<u8> {
        self.0.lock().expect("no writer panics").clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to keep lines, the first time; all tests of a program share them.
pub fn logged() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines(Arc::default());
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        lines
    })
}
