//! A run on a live chain, its report against the chain, and the same run again.

use serde_json::{Value, json};
use vouch_tests::{later, rpc, vouch};

use crate::house::House;

/// `getReserves()`.
const RESERVES: &str = "0x0902f1ac";
/// `token0()`.
const TOKEN0: &str = "0x0dfe1681";

impl House {
    /// Value in dollars of what the owner has, at the pair's price.
    fn value(&self) -> f64 {
        let held = |index| self.balance(&self.token(index), &self.owner) as f64 / 1e6;
        let reserves = [0, 1].map(|index| self.word(&self.pair(), RESERVES, index) as f64);
        let dollar = self.token(0);
        let first = self.word(&self.pair(), TOKEN0, 0);
        let low = dollar.trim_start_matches("0x")[8..].to_owned();
        let price = match u128::from_str_radix(&low, 16).expect("an address") == first {
            true => reserves[0] / reserves[1],
            false => reserves[1] / reserves[0],
        };
        held(0) + held(1) * price
    }

    /// Runs a portfolio for some blocks, each a minute after the one before.
    fn run(&self, portfolio: &str, blocks: &str) {
        let chain = self.up.field("chain");
        let words = ["agent", "run", portfolio, "--blocks", blocks, "--chain", &chain, "--json"];
        let mut command = vouch(&self.home, &words);
        let mut run = command.stdout(std::process::Stdio::null()).spawn().expect("it starts");
        loop {
            if let Some(status) = run.try_wait().expect("it can be waited for") {
                assert!(status.success());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(400));
            later(&chain, 60);
        }
    }
}

fn near(value: &Value, expected: f64) {
    let value = value.as_f64().expect("a number");
    assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
}

fn decided(report: &Value) -> Vec<Value> {
    let orders = report["orders"].as_array().expect("orders").iter();
    orders
        .map(|order| json!([order["id"], order["time"], order["action"], order["reason"]]))
        .collect()
}

#[test]
fn a_run_rebalances_and_its_report_is_what_the_chain_has() {
    let house = House::new(&[]);
    house.mandate(&house.swap());
    let signer = house.signer("agent");
    let portfolio = house.portfolio("kind = \"rebalance\"\nband_bps = 200");
    let begin = house.value();
    house.run(&portfolio, "6");
    let (dollars, others) = (
        house.balance(&house.token(0), &house.owner),
        house.balance(&house.token(1), &house.owner),
    );
    assert_eq!(dollars, 5_000_000, "half of ten dollars is kept");
    assert!(
        (4_980_000..5_000_000).contains(&others),
        "{others}: at one to one, less the pool's fee"
    );

    let page = house.file("report.html", "");
    let report = house.vouch(&["agent", "report", &portfolio, "--html", &page]);
    near(&report["first"], begin);
    near(&report["last"], house.value());
    near(&report["totalReturn"], house.value() / begin - 1.0);
    let trades = &report["trades"];
    assert_eq!((&trades["settled"], &trades["failed"]), (&json!(1), &json!(0)), "{report}");
    near(&trades["turnover"], 5.0);
    near(&trades["fees"], 5.0 * 0.003);
    let order = &report["orders"][0];
    let receipt =
        rpc(&house.up.field("chain"), "eth_getTransactionReceipt", &json!([order["transaction"]]));
    let quantity = |name: &str| {
        let digits = receipt[name].as_str().expect("a quantity").trim_start_matches("0x");
        u128::from_str_radix(digits, 16).expect("a number")
    };
    let gas = quantity("gasUsed") * quantity("effectiveGasPrice");
    assert_eq!(trades["gasWei"], gas.to_string(), "{receipt}");
    let received = format!("received {}.{:06} OTHER", others / 1_000_000, others % 1_000_000);
    assert!(
        order["outcome"].as_str().expect("words").starts_with(received.trim_end_matches('0')),
        "{order}"
    );

    // The text and the page have the same numbers.
    let text = vouch(&house.home, &["agent", "report", &portfolio]).output().expect("it starts");
    let text = vouch_tests::text(&text);
    let html = std::fs::read_to_string(&page).expect("a page");
    let value = format!("{begin:.2} to {:.2} USD", house.value());
    for words in [value.as_str(), "1 settled, 0 failed", "5.00 USD", "0.0150 USD", &gas.to_string()]
    {
        assert!(text.contains(words) && html.contains(words), "{words}: {text}");
    }
    assert!(html.contains("<svg") && html.contains(order["transaction"].as_str().expect("a hash")));

    // The signer's log has the swap, and it moved what the report says.
    let acts = house.acts();
    assert_eq!(acts.len(), 1, "{acts:?}");
    assert_eq!((&acts[0]["charge"], &acts[0]["status"]), (&json!("5000000"), &json!("complete")));

    // On its own blocks the strategy decides the same again.
    let recorded = house.home.join("agent/agent/runs/portfolio");
    let recorded = recorded.to_str().expect("UTF-8");
    let again = ["agent", "run", &portfolio, "--history", recorded, "--hold", "USD=10"];
    let again = house.vouch(&again);
    assert_eq!(decided(&again), decided(&report));
    assert!(signer.stop());
}
