//! `vouch agent run` on a history of prices, and what it says of bad input.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const PORTFOLIO: &str = r#"
name = "two"
chain_id = 1
quote = "USD"
[[asset]]
name = "USD"
address = "0x1111111111111111111111111111111111111111"
decimals = 6
weight_bps = 5000
[[asset]]
name = "GOLD"
address = "0x2222222222222222222222222222222222222222"
decimals = 18
weight_bps = 5000
[[pool]]
kind = "v2"
address = "0x3333333333333333333333333333333333333333"
[venues]
v2_router = "0x4444444444444444444444444444444444444444"
[limits]
min_trade = "1"
slippage_bps = 300
[strategy]
kind = "rebalance"
band_bps = 300
"#;

fn vouch(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouch"));
    command.arg("--data-dir").arg(data).arg("agent").args(arguments).output().unwrap()
}

#[test]
fn a_portfolio_is_tried_on_a_history() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let file = |name: &str, text: &str| {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let portfolio = file("portfolio.toml", PORTFOLIO);
    let price = |hour: u32| 2_000.0 * (1.0 + 0.2 * (f64::from(hour) / 60.0).sin());
    let line = |hour: u32| format!("{},{:.4}\n", 1_700_000_000 + hour * 3_600, price(hour));
    let prices = file("prices.csv", &(0..1_500).map(line).collect::<String>());
    let page = data.join("report.html");
    let arguments = [
        "run",
        &portfolio,
        "--history",
        &prices,
        "--hold",
        "USD=10000",
        "--hold",
        "GOLD=5",
        "--html",
        page.to_str().unwrap(),
    ];
    let said = vouch(data, &arguments);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("buy and hold") && text.contains("Sharpe"), "{text}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("<svg"));
    let json = vouch(data, &[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(report["totalReturn"].as_f64() > report["holdReturn"].as_f64(), "{}", report["trades"]);
    assert!(report["trades"]["settled"].as_u64() > Some(5));
}

#[test]
fn bad_input_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let portfolio = data.join("portfolio.toml");
    let path = portfolio.to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let said = vouch(data, arguments);
        assert_eq!(said.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(said.stderr).unwrap()
    };
    assert!(refused(&["report", path]).contains("cannot be read"));
    std::fs::write(&portfolio, PORTFOLIO.replace("5000", "4000")).unwrap();
    assert!(refused(&["report", path]).contains("8000 basis points in all, not 10000"));
    std::fs::write(&portfolio, PORTFOLIO).unwrap();
    assert!(refused(&["report", path]).contains("holds no run"));
    let prices = data.join("prices.csv");
    std::fs::write(&prices, "1,5\n1,5\n").unwrap();
    let history = ["run", path, "--history", prices.to_str().unwrap()];
    assert!(refused(&history).contains("--hold"));
    let held = [&history[..], &["--hold", "USD=5"]].concat();
    assert!(refused(&held).contains("line 2: times must rise"));
    let unknown = [&history[..], &["--hold", "SILVER=5"]].concat();
    assert!(refused(&unknown).contains("SILVER is no asset"));
}
