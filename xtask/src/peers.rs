//! WebSocket peers that nobody here wrote: Python's `websockets` and npm's `ws`, against our server and our client.
//!
//! Both are installed under `target/peers`, at the releases named here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::prerequisites;
use crate::run::checked;
use crate::steps::Outcome;

const PYTHON_PACKAGE: &str = "websockets==15.0.1";
const NODE_PACKAGE: &str = "ws@8.18.3";

/// Installs the peers where they are missing and runs the tests that need them.
pub(crate) fn check() -> Result<Outcome, String> {
    let home = Path::new("target/peers");
    fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    let home = home.canonicalize().map_err(|error| error.to_string())?;
    prerequisites::need(&["python3", "npm"])?;
    let python = install_python(&home)?;
    let node = install_node(&home)?;
    let test = ["--features", "websocket-peers", "--test", "websocket_peers"];
    let words = ["test", "--package", "coinbitclub-net", "--locked"].into_iter().chain(test);
    checked(Command::new("cargo").args(words).env("PEER_PYTHON", python).env("PEER_NODE_MODULES", node))?;
    Ok(Outcome::Passed(format!("{PYTHON_PACKAGE}, {NODE_PACKAGE}, both directions")))
}

fn install_python(home: &Path) -> Result<PathBuf, String> {
    let env = home.join("python");
    let python = env.join("bin/python");
    let there = quiet(Command::new(&python).args(["-c", "import websockets"]));
    if !there {
        checked(Command::new("python3").args(["-m", "venv"]).arg(&env))?;
        checked(Command::new(&python).args(["-m", "pip", "install", "--quiet", PYTHON_PACKAGE]))?;
    }
    Ok(python)
}

fn install_node(home: &Path) -> Result<PathBuf, String> {
    let dir = home.join("node");
    let modules = dir.join("node_modules");
    if !modules.join("ws/package.json").is_file() {
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let words = ["install", "--no-save", "--no-audit", "--no-fund", "--silent", NODE_PACKAGE];
        checked(Command::new("npm").args(words).arg("--prefix").arg(&dir))?;
    }
    Ok(modules)
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
