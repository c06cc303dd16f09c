//! Scripts of foreign clients, and what they run against.

pub(crate) mod paper;
pub(crate) mod requests;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use paper::{Key, Paper};
use sha2::{Digest as _, Sha256};

/// The variable that names the interpreter with ccxt, python-binance and pybit.
pub(crate) const PYTHON: &str = "CLIENTS_PYTHON";
/// The variable that names the interpreter with binance-futures-connector, whose package has the name of python-binance's.
pub(crate) const CONNECTOR_PYTHON: &str = "CLIENTS_CONNECTOR_PYTHON";

/// Whether the clients are there. Without the step that installs them these tests are left out, and say so; the step names the
/// interpreters, and then every one of them runs.
#[expect(clippy::explicit_write, reason = "what eprintln! writes is not seen when a test passes")]
pub(crate) fn is_installed() -> bool {
    let named = std::env::var_os(PYTHON).is_some();
    if !named {
        let words =
            "foreign clients left out: `cargo xtask test --only foreign-clients` installs and runs them";
        static ONCE: Once = Once::new();
        ONCE.call_once(|| writeln!(std::io::stderr(), "{words}").unwrap());
    }
    named
}

/// Where the scripts are.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../exchange/tests/clients")
}

/// Runs a script to its good end; gives the lines that it printed.
pub(crate) fn script(python: &str, name: &str, paper: &Paper, key: &Key, more: Option<&str>) -> Vec<String> {
    let python = std::env::var_os(python)
        .unwrap_or_else(|| panic!("{python} is not set: run `cargo xtask test --only foreign-clients`"));
    let output = Command::new(python)
        .arg("-B")
        .arg(scripts().join(name))
        .args([&paper.base, &key.api_key, &key.secret])
        .args(more)
        // Nothing leaves this machine, whatever a client believes its addresses to be.
        .envs(
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
                .map(|name| (name, "")),
        )
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}{err}", output.status);
    out.lines().map(str::to_owned).collect()
}

/// HMAC-SHA256 in hex, by its definition: neither `ring`, with which the connectors sign, nor Python's.
pub(crate) fn hmac(secret: &str, message: &[u8]) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let padded = |pad: u8| key.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    outer.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
