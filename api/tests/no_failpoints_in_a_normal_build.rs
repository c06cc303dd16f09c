//! The program as it is normally built has no disk that dies on command, and knows none of its variables.
#![cfg(not(planted))]

/// Whether the program's file has this text in it.
fn is_in_program(text: &str) -> bool {
    let program = std::fs::read(env!("CARGO_BIN_EXE_coinbitclub")).expect("the program is read");
    let mut rest = program.as_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == text.as_bytes()[0]) {
        if rest[at..].starts_with(text.as_bytes()) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[test]
fn no_variable_of_it_is_known() {
    assert!(is_in_program("COINBITCLUB_DATA_DIR"), "variables that are known are found this way");
    for variable in ["COINBITCLUB_KILL_AT", "COINBITCLUB_DISK_TRACE", "COINBITCLUB_PLANTED"] {
        assert!(!is_in_program(variable), "{variable} is known to a normal build");
    }
}
