//! Every command explains itself, with an example.

use std::process::Command;

#[test]
fn every_command_has_help_with_an_example() {
    for command in
        ["up", "chain", "serve", "verify", "model", "log", "witness", "fsck", "agent", "faults"]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_vouch")).args([command, "--help"]).output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{command}");
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(help.contains(&format!("Example: vouch {command}")), "{command}: {help}");
    }
}
