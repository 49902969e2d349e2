//! `vouch chain`: another network's blocks in and out, and tools that read them.

mod differential;
mod fork;
mod kills;
mod signing;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vouch_tests::{Running, json as printed, rpc, text, vouch};

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/execution-apis").join(name)
}

#[test]
fn blocks_of_another_network_are_imported_served_and_exported() {
    let data = tempfile::tempdir().expect("a directory");
    let genesis = vectors("genesis.json").display().to_string();
    let blocks = std::fs::read(vectors("chain.rlp")).expect("blocks");
    let file = |name: &str, bytes: &[u8]| {
        let path = data.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    };
    let (whole, cut) = (file("whole", &blocks), file("cut", &blocks[..30_000]));
    let chain = |more: &[&str]| {
        vouch(&data.path().join("data"), &[&["chain", "--genesis", &genesis], more].concat())
    };

    // What is whole of a file that is cut off stays.
    let refused = chain(&["import", &cut]).output().expect("it runs");
    let said = text(&refused);
    assert!(!refused.status.success() && said.contains("the last of them is cut off"), "{said}");
    let imported = printed(&mut chain(&["import", &whole, "--json"]));
    assert_eq!(imported["head"], 54);
    assert!(imported["imported"].as_u64().is_some_and(|taken| taken < 54), "{imported}");

    let exported = data.path().join("exported").display().to_string();
    assert_eq!(printed(&mut chain(&["export", &exported, "--json"]))["exported"], 54);
    assert_eq!(std::fs::read(&exported).expect("a file"), blocks);

    // A block that is not what its header says, after one that is.
    let other = tempfile::tempdir().expect("a directory");
    let mut wrong = blocks.clone();
    wrong[4_000] ^= 1;
    let wrong = file("wrong", &wrong);
    let import = ["chain", "--genesis", &genesis, "import", &wrong];
    let refused = vouch(other.path(), &import).output().expect("it runs");
    assert!(!refused.status.success(), "{}", text(&refused));
    let refused = vouch(&data.path().join("data"), &["chain", "--genesis", &wrong]).output();
    assert!(text(&refused.expect("it runs")).contains("the genesis is not usable"));

    let running = Running::spawn({
        let mut command = chain(&["--listen", "127.0.0.1:0", "--json"]);
        command.env("RUST_LOG", "info");
        command
    });
    let url = running.field("chain");
    assert_eq!(running.ready["chainId"], json!(3_503_995_874_084_926_u64));
    assert_eq!(rpc(&url, "eth_blockNumber", &json!([])), json!("0x36"));
    let block = rpc(&url, "eth_getBlockByNumber", &json!(["0x3", false]));
    assert_eq!(block["uncles"].as_array().map(Vec::len), Some(1), "{block}");
    let uncle = rpc(&url, "eth_getUncleByBlockNumberAndIndex", &json!(["0x3", "0x0"]));
    assert_eq!(uncle["hash"], block["uncles"][0], "{uncle}");
    let hash = block["transactions"][2].clone();
    let receipt = rpc(&url, "eth_getTransactionReceipt", &json!([hash]));
    assert!(receipt["root"].is_string() && receipt["status"] == Value::Null, "{receipt}");
    let tracer = json!([hash, { "tracer": "callTracer" }]);
    assert_eq!(rpc(&url, "debug_traceTransaction", &tracer)["type"], "CREATE");
    // It goes on by the newest rules.
    assert_eq!(rpc(&url, "evm_mine", &json!([])), "0x0");
    assert_eq!(rpc(&url, "eth_blockNumber", &json!([])), json!("0x37"));
    assert!(running.stop(), "it ends cleanly");
}

/// What a person who knows anvil tries first.
#[test]
fn a_chain_for_development_has_accounts_that_stay() {
    let data = tempfile::tempdir().expect("a directory");
    let chain = |more: &[&str]| {
        let listen = ["chain", "--host", "127.0.0.1", "--port", "0", "--json"];
        vouch(data.path(), &[&listen, more].concat())
    };
    let running = Running::spawn(chain(&["--accounts", "2", "--balance", "5"]));
    let url = running.field("chain");
    let (id, accounts) = (running.ready["chainId"].clone(), running.ready["accounts"].clone());
    assert_eq!(rpc(&url, "eth_accounts", &json!([])), accounts);
    let sent = json!([{ "from": accounts[0], "to": accounts[1], "value": "0x1" }]);
    let hash = rpc(&url, "eth_sendTransaction", &sent);
    // It may not be mined yet; a block by hand makes sure.
    assert_eq!(rpc(&url, "evm_mine", &json!([])), "0x0");
    assert_eq!(rpc(&url, "eth_getTransactionReceipt", &json!([hash]))["status"], "0x1");
    assert_eq!(rpc(&url, "anvil_setBalance", &json!([accounts[0], "0x7"])), Value::Null);
    assert!(running.stop(), "it ends cleanly");

    // Options of a new chain do not matter to one that is there, but for what contradicts it.
    let running = Running::spawn(chain(&["--accounts", "9", "--no-mining"]));
    let url = running.field("chain");
    assert_eq!((&running.ready["chainId"], &running.ready["accounts"]), (&id, &accounts));
    let balance = |address: &Value| rpc(&url, "eth_getBalance", &json!([address, "latest"]));
    assert_eq!(balance(&accounts[0]), "0x7");
    assert_eq!(balance(&accounts[1]), json!(format!("{:#x}", 5 * 10_u128.pow(18) + 1)));
    assert_eq!(rpc(&url, "anvil_getAutomine", &json!([])), json!(false));
    assert!(running.stop(), "it ends cleanly");
    for (more, why) in [
        (["--chain-id", "5"], "the directory holds chain"),
        (["--mnemonic", "test test"], "began with other accounts"),
        (["--block-time", "0"], "want between"),
    ] {
        let refused = chain(&more).output().expect("it runs");
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    }

    let words = "test test test test test test test test test test test junk";
    let running =
        Running::spawn(chain(&["--in-memory", "--chain-id", "31337", "--mnemonic", words]));
    assert_eq!(running.ready["accounts"][0], "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    assert_eq!(running.ready["chainId"], 31337);
    assert!(running.stop(), "it ends cleanly");
}

#[test]
fn a_chain_is_looked_at_checked_and_made_smaller() {
    let data = tempfile::tempdir().expect("a directory");
    let chain = |more: &[&str]| vouch(data.path(), &[&["chain", "--json"], more].concat());
    let refused = chain(&["status"]).output().expect("it runs");
    assert!(text(&refused).contains("holds no chain"), "{}", text(&refused));

    let running = Running::spawn(chain(&["--port", "0"]));
    let url = running.field("chain");
    let snapshot = rpc(&url, "evm_snapshot", &json!([]));
    // More than is only in memory.
    for code in 0..64 {
        let contract = [vec![code; 20_000], vec![0]].concat();
        let code: String = contract.iter().map(|byte| format!("{byte:02x}")).collect();
        let address = format!("{:#042x}", 0xc0de);
        let _set = rpc(&url, "anvil_setCode", &json!([address, format!("0x{code}")]));
        let _mined = rpc(&url, "anvil_mine", &json!(["0x80"]));
    }
    assert_eq!(rpc(&url, "evm_revert", &json!([snapshot])), json!(true));
    let _mined = rpc(&url, "anvil_mine", &json!(["0x800"]));
    let head = rpc(&url, "eth_getBlockByNumber", &json!(["latest", false]));
    let refused = chain(&["status"]).output().expect("it runs");
    assert!(text(&refused).contains("in use by another process"), "{}", text(&refused));
    assert!(running.stop(), "it ends cleanly");

    let status = printed(&mut chain(&["status"]));
    assert_eq!((&status["block"], &status["transactions"]), (&json!(2048), &json!(0)), "{status}");
    assert!(status["indexBytes"].as_u64().is_some_and(|bytes| bytes > 500_000), "{status}");
    let compacted = printed(&mut chain(&["compact"]));
    assert_eq!(compacted["kept"], 2049, "{compacted}");
    assert_eq!(compacted["leftOut"], 64 * 129 + 1, "{compacted}");
    let (before, after) = (&compacted["bytesBefore"], &compacted["bytesAfter"]);
    assert!(after.as_u64() < before.as_u64(), "{compacted}");
    assert_eq!(printed(&mut chain(&["compact"]))["leftOut"], 0);

    let again = printed(&mut chain(&["status"]));
    assert_eq!(again["block"], 2048);
    assert_eq!(printed(&mut chain(&["fsck"]))["damaged"], false);
    let rows = data.path().join("chain/index/rows-0000000000000001");
    let mut bytes = std::fs::read(&rows).expect("rows");
    bytes[100_000] ^= 1;
    std::fs::write(&rows, bytes).expect("rows");
    let found = chain(&["fsck"]).output().expect("it runs");
    assert!(
        !found.status.success() && text(&found).contains("fails its checksum"),
        "{}",
        text(&found)
    );
    assert_eq!(printed(&mut chain(&["fsck", "--rebuild"]))["damaged"], false);
    assert!(!rows.exists());

    let running = Running::spawn(chain(&["--port", "0"]));
    let url = running.field("chain");
    assert_eq!(rpc(&url, "eth_getBlockByNumber", &json!(["latest", false])), head);
    assert!(running.stop(), "it ends cleanly");
}

#[test]
fn a_pruned_chain_is_smaller_and_says_where_it_begins() {
    let data = tempfile::tempdir().expect("a directory");
    let chain = |more: &[&str]| vouch(data.path(), &[&["chain", "--json"], more].concat());
    let refused = chain(&["--prune", "255"]).output().expect("it runs");
    assert!(text(&refused).contains("want 256 blocks or more"), "{}", text(&refused));

    // More than stays in one file of the journal, and then as many blocks as go in steps.
    for round in 0..4 {
        let running = Running::spawn(chain(&["--port", "0", "--prune", "256"]));
        let url = running.field("chain");
        let codes = if round == 0 { 450 } else { 0 };
        for code in 0..codes {
            let address = format!("{:#042x}", 0xc0de);
            let code = format!("0x{}", format!("{:02x}", code % 200).repeat(20_000));
            let _set = rpc(&url, "anvil_setCode", &json!([address, code]));
        }
        let _mined = rpc(&url, "anvil_mine", &json!(["0x190"]));
        assert!(running.stop(), "it ends cleanly");
    }
    let status = printed(&mut chain(&["status"]));
    assert_eq!(status["block"], 1600, "{status}");
    let oldest = status["oldestBlock"].as_u64().expect("a number");
    assert!((600..=1600 - 256).contains(&oldest), "{status}");
    assert_eq!(status["oldestState"], oldest, "{status}");
    assert!(status["journalBytes"].as_u64().is_some_and(|bytes| bytes < 8_000_000), "{status}");
    let checked = printed(&mut chain(&["fsck"]));
    assert_eq!(checked["damaged"], false, "{checked}");
    let refused = |arguments: &[&str], why: &str| {
        let refused = chain(arguments).output().expect("it runs");
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    };
    refused(&["compact"], "were pruned");
    let file = data.path().join("blocks").display().to_string();
    refused(&["export", &file], "block 1 was pruned");
    let from = oldest.to_string();
    let exported = printed(&mut chain(&["export", &file, "--from", &from]));
    assert_eq!(exported["exported"], 1600 - oldest + 1);

    let running = Running::spawn(chain(&["--port", "0", "--prune", "256"]));
    let url = running.field("chain");
    let block = rpc(&url, "eth_getBlockByNumber", &json!(["earliest", false]));
    assert_eq!(block["number"], json!(format!("{:#x}", 1600 - 256)));
    assert!(running.stop(), "it ends cleanly");
    std::fs::remove_dir_all(data.path().join("chain/index")).expect("an index");
    refused(&["status"], "no snapshot");
    let found = chain(&["fsck", "--rebuild"]).output().expect("it runs");
    assert!(!found.status.success() && text(&found).contains("no snapshot"), "{}", text(&found));
}
