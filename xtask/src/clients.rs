//! Clients of exchanges that nobody here wrote, against the paper exchange: ccxt, python-binance, pybit and
//! binance-futures-connector.
//!
//! They are installed under `target/clients`, exactly as the lists beside the scripts say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prerequisites;
use crate::run::checked;
use crate::steps::Outcome;

/// Where the scripts and the lists are.
const SCRIPTS: &str = "exchange/tests/clients";

/// An environment: its name, its list, and the variable by which the test finds its interpreter. There are two because
/// python-binance and binance-futures-connector both call their package `binance`.
const ENVIRONMENTS: &[(&str, &str, &str)] = &[
    ("clients", "requirements.txt", "CLIENTS_PYTHON"),
    ("connector", "requirements-connector.txt", "CLIENTS_CONNECTOR_PYTHON"),
];

/// Installs the clients where they are missing or others, and runs the tests that need them.
pub(crate) fn check() -> Result<Outcome, String> {
    prerequisites::need(&["python3"])?;
    // The same build as that of the step `tests`: the whole workspace, and of it this one test.
    let test = ["--test", "foreign_clients"];
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--locked"]).args(test);
    for (name, list, variable) in ENVIRONMENTS {
        command.env(variable, install(name, &Path::new(SCRIPTS).join(list))?);
    }
    checked(&mut command)?;
    Ok(Outcome::Passed("ccxt, python-binance, pybit, binance-futures-connector".to_owned()))
}

/// The interpreter of an environment with exactly what the list names.
fn install(name: &str, list: &Path) -> Result<PathBuf, String> {
    let say = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let wanted = fs::read_to_string(list).map_err(say(list))?;
    let home = Path::new("target/clients");
    fs::create_dir_all(home).map_err(say(home))?;
    let home = home.canonicalize().map_err(say(home))?;
    let env = home.join(name);
    // Written last, so that half an installation is none.
    let mark = env.join("installed");
    let python = env.join("bin/python");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(python);
    }
    checked(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&env))?;
    let pip = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "--disable-pip-version-check"]).args(words);
        command
    };
    // The list is complete: without it being so, the check fails.
    checked(pip(&["install", "--quiet", "--no-deps", "--requirement"]).arg(list))?;
    checked(&mut pip(&["check"]))?;
    fs::write(&mark, wanted).map_err(say(&mark))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository;

    #[test]
    fn every_list_is_there_and_pins_everything() {
        for (_, list, _) in ENVIRONMENTS {
            let text = fs::read_to_string(repository::root().join(SCRIPTS).join(list)).unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
                let (name, version) = line.split_once("==").unwrap_or_else(|| panic!("{list}: {line}"));
                assert!(
                    !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()),
                    "{list}: {line}"
                );
            }
        }
    }
}
