//! `vouch data` explains itself, command by command, with examples.

use std::process::Command;

#[test]
fn every_data_command_has_help_with_an_example() {
    let commands =
        ["publish", "serve", "grant", "revoke", "list", "earnings", "royalties", "index", "train"];
    for command in commands {
        let output =
            Command::new(env!("CARGO_BIN_EXE_vouch")).args(["data", command, "--help"]).output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{command}");
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(help.contains(&format!("Example: vouch data {command}")), "{command}: {help}");
    }
}
