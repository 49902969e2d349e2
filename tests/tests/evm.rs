//! `vouch serve` on a chain of others: anvil, behind two endpoints, with its blocks taken back.

use std::path::{Path, PathBuf};

#[path = "../../crates/store/tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "the store's tests use the rest")]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod postgres;

use alloy_primitives::keccak256;
use serde_json::{Value, json};
use vouch_tests::{Anvil, Bucket, KEY, Mood, Proxy, Running, json, text, until, vouch};

/// A provider on an anvil, a buyer beside it.
struct House {
    directory: tempfile::TempDir,
    anvil: Anvil,
    proxy: Proxy,
    serve: Running,
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--finality", "1"];

impl House {
    /// Its gateway is started with these arguments, too.
    fn new(more: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // A block a second, as networks make them whether or not there is something to put in; and
        // one at once where there is.
        let anvil = Anvil::start(&["--block-time", "1", "--mixed-mining"]);
        let proxy = Proxy::start(&anvil.url);
        let data = directory.path().join("provider");
        let deploy = ["contracts", "deploy", "--chain", &anvil.url, "--json"];
        let refused = vouch(&data, &deploy).output().expect("it runs");
        let said = text(&refused);
        assert!(!refused.status.success() && said.contains("has no ether"), "{said}");
        let account =
            said.split_whitespace().find(|word| word.starts_with("0x")).expect("an account");
        anvil.fund(account);

        // It serves nothing before the contracts stand, and says how they come to.
        let endpoints = ["--chain", &proxy.url, "--chain", &anvil.url];
        let early = vouch(&data, &[&SERVE[..], &endpoints].concat()).output().expect("it runs");
        assert!(text(&early).contains("vouch contracts deploy"), "{}", text(&early));
        let deployed = json(&mut vouch(&data, &deploy));
        assert_eq!(deployed["missing"], json!([]), "{deployed}");
        let again = json(&mut vouch(&data, &deploy));
        assert_eq!(
            again["deployment"], deployed["deployment"],
            "what stands is not deployed again"
        );

        let mut serve = vouch(&data, &[&SERVE[..], &endpoints, more, &["--json"]].concat());
        serve.envs(environment.iter().copied());
        let serve = Running::spawn(serve);
        assert_eq!(serve.ready["asset"], deployed["deployment"]["token"]);
        Self { directory, anvil, proxy, serve }
    }

    fn buyer(&self) -> PathBuf {
        self.directory.path().join("buyer")
    }

    /// The buyer's address, with ten dollars.
    fn mint(&self) {
        let gateway = self.serve.field("gateway");
        let wallet = json(&mut vouch(&self.buyer(), &["wallet", "--provider", &gateway, "--json"]));
        let to = wallet["address"].as_str().expect("an address");
        let minter = self.serve.field("provider");
        self.anvil.call("anvil_impersonateAccount", json!([minter]));
        let mint = format!("0x40c10f19{:0>64}{:064x}", to.trim_start_matches("0x"), 10_000_000);
        let call = json!([{ "from": minter, "to": self.serve.field("asset"), "data": mint }]);
        let sent = self.anvil.call("eth_sendTransaction", call);
        until("the buyer has money", || {
            !self.anvil.call("eth_getTransactionReceipt", json!([sent])).is_null()
        });
        self.anvil.call("anvil_stopImpersonatingAccount", json!([minter]));
    }

    fn ask(&self, question: &str) -> Result<Value, String> {
        self.ask_at(&self.serve, question)
    }

    fn ask_at(&self, gateway: &Running, question: &str) -> Result<Value, String> {
        let gateway = gateway.field("gateway");
        let ask = ["ask", question, "--provider", &gateway, "--max-tokens", "8", "--json"];
        let output = vouch(&self.buyer(), &ask).output().expect("it runs");
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
            false => Err(text(&output)),
        }
    }

    fn channel(&self) -> String {
        let channels = json(&mut vouch(&self.buyer(), &["channel", "list", "--json"]));
        assert_eq!(channels.as_array().map(Vec::len), Some(1), "{channels}");
        channels[0]["id"].as_str().expect("its id").to_owned()
    }

    /// The transactions that left an event of the settlement contract, with its data.
    fn events(&self, event: &str) -> Vec<(Value, String)> {
        let settlement = self.serve_document()["settlement"].clone();
        let topic = keccak256(event).to_string();
        let filter = json!([{ "address": settlement, "topics": [topic], "fromBlock": "0x0" }]);
        let logs = self.anvil.call("eth_getLogs", filter);
        let event = |log: &Value| {
            (log["transactionHash"].clone(), log["data"].as_str().expect("data").to_owned())
        };
        logs.as_array().expect("logs").iter().map(event).collect()
    }

    fn serve_document(&self) -> Value {
        let (status, body) = self.serve.get("/.well-known/vouch.json");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Takes back all blocks above a height.
    fn take_back_to(&self, height: u64) {
        // One more may be made in between; what is below the height must not matter.
        self.anvil.reorganise(self.anvil.height() - height + 1);
    }

    /// What the gateway says of a channel.
    fn view(&self, channel: &str) -> Value {
        let (status, body) = self.serve.get(&format!("/vouch/channels/{channel}"));
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }

    /// The provider's money on the chain.
    fn earned(&self) -> u128 {
        let of = self.serve.field("provider");
        let data = format!("0x70a08231{:0>64}", of.trim_start_matches("0x"));
        let call = json!([{ "to": self.serve.field("asset"), "data": data }, "latest"]);
        let balance = self.anvil.call("eth_call", call);
        let digits = balance.as_str().expect("a word").trim_start_matches("0x");
        u128::from_str_radix(digits, 16).expect("a number")
    }
}

#[test]
fn a_reorganisation_takes_a_deposit_and_then_a_claim() {
    let house = House::new(&[], &[]);
    house.mint();
    // Everything that comes can be taken back, and what is below stays.
    house.anvil.mine(8);
    let before = house.anvil.height();
    let first = house.ask("What is a deposit?").expect("an answer");
    assert!(first["text"].as_str().is_some_and(|text| !text.is_empty()), "{first}");
    let channel = house.channel();
    assert_eq!(house.view(&channel)["frozen"], Value::Null);

    // One endpoint goes: the other is asked, and the log says so without the key.
    house.proxy.becomes(Mood::Down);
    house.ask("Is one endpoint enough?").expect("an answer");
    until("the endpoint is dropped", || house.serve.said().contains("an endpoint is dropped"));
    house.proxy.becomes(Mood::Well);
    until("it is taken back", || house.serve.said().contains("an endpoint is well again"));
    assert!(!house.serve.said().contains(KEY), "{}", house.serve.said());

    // The deposit's block, which counted as final, is gone: nothing more is served.
    let deposits = house.events("Deposited(bytes32,address,uint128,uint128)");
    assert_eq!(deposits.len(), 1);
    let raw = house.anvil.call("eth_getRawTransactionByHash", json!([deposits[0].0]));
    house.take_back_to(before);
    until("the channel is frozen", || house.view(&channel)["frozen"] == "uncovered");
    let charged = house.view(&channel)["charged"].clone();
    let refused = house.ask("Is it served?").expect_err("the deposit is gone");
    assert!(refused.contains("frozen"), "{refused}");
    assert_eq!(house.view(&channel)["charged"], charged, "nothing was served");

    // A network puts what lost its block into another one.
    house.anvil.call("eth_sendRawTransaction", json!([raw]));
    until("the channel is free", || house.view(&channel)["frozen"].is_null());
    house.ask("Is it served again?").expect("an answer");

    // The parties settle, and the claim's block is taken back.
    house.anvil.mine(8);
    let before = house.anvil.height();
    let charged = house.view(&channel)["charged"].as_str().expect("units").parse().expect("units");
    let close = ["channel", "close", &channel, "--json"];
    let closed = vouch(&house.buyer(), &close).output().expect("it runs");
    assert!(closed.status.success(), "{}", text(&closed));
    assert_eq!(house.earned(), charged);
    house.take_back_to(before);
    assert_eq!(house.earned(), 0);
    until("it is claimed again", || house.earned() == charged);
    let claims = house.events("Claimed(bytes32,address,uint128,uint128)");
    assert_eq!(claims.len(), 1, "one claim, of all that was charged: {claims:?}");
    assert!(house.serve.stop(), "it ends cleanly");
}

/// Two processes, one provider, one database and one log: over TLS, and in a bucket.
#[test]
fn gateways_share_a_database_and_one_goes_on_when_the_other_is_killed() {
    let (server, bucket) = (postgres::Server::start_with_tls(), Bucket::start());
    let schema = server.schema();
    let certificate = server.certificate().display().to_string();
    let tiles = format!("s3://{}/provider/log", Bucket::NAME);
    let shared = ["--store", schema.url(), "--tiles", &tiles];
    let environment = [&bucket.environment()[..], &[("SSL_CERT_FILE", &certificate)]].concat();
    let start = |data: &Path, arguments: &[&str]| {
        let mut serve = vouch(data, &[arguments, &shared, &["--json"]].concat());
        serve.envs(environment.iter().copied());
        serve
    };
    let house = House::new(&shared, &environment);
    house.mint();
    let first = house.ask("What is a gateway?").expect("an answer");
    let channel = house.channel();

    let root = house.directory.path().to_owned();
    let keys = |name: &str| {
        let data = root.join(name);
        std::fs::create_dir_all(data.join("provider")).expect("a directory");
        for key in ["provider/wallet.json", "provider/log.json"] {
            std::fs::copy(root.join("provider").join(key), data.join(key)).expect("a key");
        }
        data
    };
    let data = keys("second");
    let chain = ["--chain", &house.anvil.url, "--chain", &house.proxy.url];
    let serve = [&SERVE[..], &chain].concat();
    // A server that anyone could be, and a bucket that is another's. (This S3 server looks at no
    // signature, only at whose it would be.)
    for (name, value, why) in [
        ("SSL_CERT_FILE", "/dev/null", "invalid peer certificate"),
        ("AWS_ACCESS_KEY_ID", "another", "InvalidAccessKeyId"),
    ] {
        let refused = start(&data, &serve).env(name, value).output().expect("it runs");
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
        assert!(!text(&refused).contains("secret"), "{}", text(&refused));
    }
    let second = Running::spawn(start(&data, &serve));
    assert_eq!(second.field("provider"), house.serve.field("provider"));
    // Whichever is asked, it is one log, and both know of both channels at once.
    let other = house.ask_at(&second, "And another?").expect("an answer");
    house.ask("And a third?").expect("an answer");
    let other = other["channel"].as_str().expect("its id");
    assert_ne!(other, channel, "a buyer has a channel for each address");
    let view = |gateway: &Running, channel: &str| -> Value {
        let (status, body) = gateway.get(&format!("/vouch/channels/{channel}"));
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    };
    for channel in [channel.as_str(), other] {
        assert_eq!(view(&second, channel), view(&house.serve, channel));
    }
    assert_eq!(view(&second, &channel)["sequence"], 2);
    assert_eq!(schema.count("SELECT count(*) FROM receipts"), 3);

    // One is killed, and a third takes its address: the buyer goes on with its channel.
    let House { directory, serve, anvil, proxy } = house;
    let address = serve.field("gateway").trim_start_matches("http://").to_owned();
    serve.kill();
    let data = keys("third");
    let listen = ["serve", "--listen", &address, "--finality", "1"];
    let chain = ["--chain", &anvil.url, "--chain", &proxy.url];
    let third = Running::spawn(start(&data, &[&listen[..], &chain].concat()));
    let buyer = directory.path().join("buyer");
    let gateway = third.field("gateway");
    let ask = ["ask", "Who is left?", "--provider", &gateway, "--max-tokens", "8", "--json"];
    let last = json(&mut vouch(&buyer, &ask));
    assert_eq!(last["channel"], json!(channel));
    assert_eq!(view(&second, &channel)["sequence"], 3);
    for answer in [&first, &last] {
        let receipt = answer["receipt"].as_str().expect("its digest");
        let verified = vouch(&buyer, &["verify", receipt]).output().expect("it runs");
        assert!(verified.status.success(), "{}", text(&verified));
    }
    let size = || {
        let (_, body) = second.get("/log/checkpoint");
        String::from_utf8_lossy(&body).lines().nth(1).and_then(|size| size.parse().ok())
    };
    until("the log has all four answers", || size() == Some(4_u64));
    assert!(second.stop() && third.stop(), "they end cleanly");
    assert!(bucket.object("provider/log/checkpoint").is_some(), "it is in the bucket");
}
