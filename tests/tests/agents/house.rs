//! A provider with a market on its chain, and an owner whose agent acts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use vouch_tests::{Running, http, json, rpc, text, vouch};

pub(crate) struct House {
    directory: tempfile::TempDir,
    pub(crate) up: Running,
    /// The owner's and agent's data.
    pub(crate) home: PathBuf,
    pub(crate) owner: String,
    /// Uniswap's contracts, the two tokens and their pair.
    pub(crate) market: Value,
}

impl House {
    /// `more` is what the provider is started with.
    pub(crate) fn new(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let provider = directory.path().join("provider");
        let up = Running::up(&provider, more);
        let home = directory.path().join("owner");
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules");
        let modules = modules.to_str().expect("UTF-8");
        let (chain, gateway) = (up.field("chain"), up.field("gateway"));
        let make = ["contracts", "market", "--artefacts", modules, "--chain", &chain, "--json"];
        let market = json(&mut vouch(&provider, &make));
        let wallet = json(&mut vouch(&home, &["wallet", "--provider", &gateway, "--json"]));
        let owner = wallet["address"].as_str().expect("an address").to_owned();
        let faucet = json!({ "address": owner }).to_string();
        let (status, _) = http("POST", &format!("{gateway}/vouch/faucet"), &faucet);
        assert_eq!(status, 200);
        Self { directory, up, home, owner, market }
    }

    /// A command on the owner's data.
    pub(crate) fn vouch(&self, words: &[&str]) -> Value {
        json(vouch(&self.home, words).arg("--json"))
    }

    /// As [`Self::vouch`], on the house's chain.
    pub(crate) fn on_chain(&self, words: &[&str]) -> Value {
        self.vouch(&[words, &["--chain", &self.up.field("chain")]].concat())
    }

    /// What a command on the house's chain says.
    pub(crate) fn said(&self, words: &[&str]) -> String {
        let chain = self.up.field("chain");
        let words = [words, &["--chain", &chain]].concat();
        let output = vouch(&self.home, &words).output().expect("it starts");
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// What a command says as it refuses.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = vouch(&self.home, words).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn token(&self, index: usize) -> String {
        self.market["tokens"][index].as_str().expect("a token").to_owned()
    }

    pub(crate) fn pair(&self) -> String {
        self.market["pair"].as_str().expect("a pair").to_owned()
    }

    /// Eight dollars a day, and these permissions.
    pub(crate) fn mandate(&self, permissions: &str) {
        let dollar = self.token(0);
        let text = format!(
            "calls = 50\n[[caps]]\ntoken = \"{dollar}\"\namount = \"8000000\"\nperiodS = 86400\n\
             {permissions}"
        );
        let file = self.file("mandate.toml", &text);
        drop(self.on_chain(&["agent", "mandate", "new", &file]));
    }

    pub(crate) fn swap(&self) -> String {
        format!(
            "[[permissions]]\nkind = \"swap\"\nvenue = \"uniswap-v2\"\nrouter = {}\nsell = \"{}\"\n\
             buy = \"{}\"\nfee = 3000\nmaxSlippageBps = 100\nmaxImpactBps = 100\n",
            self.market["uniswap"]["v2Router"],
            self.token(0),
            self.token(1)
        )
    }

    /// A portfolio of both tokens, half and half.
    pub(crate) fn portfolio(&self, strategy: &str) -> String {
        let asset = |name: &str, token: String| {
            format!(
                "[[asset]]\nname = \"{name}\"\naddress = \"{token}\"\ndecimals = 6\nweight_bps = 5000\n"
            )
        };
        let text = format!(
            "name = \"half and half\"\nchain_id = {}\nquote = \"USD\"\n{}{}[[pool]]\nkind = \"v2\"\n\
             address = \"{}\"\n[venues]\nv2_router = {}\n[limits]\nmin_trade = \"0.1\"\n\
             [strategy]\n{strategy}\n",
            self.up.ready["chainId"],
            asset("USD", self.token(0)),
            asset("OTHER", self.token(1)),
            self.pair(),
            self.market["uniswap"]["v2Router"]
        );
        self.file("portfolio.toml", &text)
    }

    pub(crate) fn signer(&self, name: &str) -> Running {
        let chain = self.up.field("chain");
        let signer =
            Running::start(&self.home, &["agent", "signer", "--name", name, "--chain", &chain]);
        // It says where it listens a moment before it does.
        drop(Line::to(&signer));
        signer
    }

    pub(crate) fn connect(&self) -> Running {
        let gateway = self.up.field("gateway");
        let listen = ["connect", "--listen", "127.0.0.1:0", "--budget", "1"];
        Running::start(&self.home, &[&listen[..], &["--provider", &gateway]].concat())
    }

    /// Atomic units of a token that an account has.
    pub(crate) fn balance(&self, token: &str, account: &str) -> u128 {
        let data = format!("0x70a08231{:0>64}", account.trim_start_matches("0x"));
        self.word(token, &data, 0)
    }

    /// A word of what a contract answers.
    pub(crate) fn word(&self, to: &str, data: &str, index: usize) -> u128 {
        let call = json!([{ "to": to, "data": data }, "latest"]);
        let answer = rpc(&self.up.field("chain"), "eth_call", &call);
        let words = answer.as_str().expect("bytes").trim_start_matches("0x").to_owned();
        u128::from_str_radix(&words[index * 64 + 32..(index + 1) * 64], 16).expect("a number")
    }

    /// A stranger, who has nothing but the file, checks an act's tree.
    pub(crate) fn verified(&self, act: &Value) -> (Value, Value) {
        self.verified_of("agent", act)
    }

    /// As [`Self::verified`], of the agent of that name.
    pub(crate) fn verified_of(&self, name: &str, act: &Value) -> (Value, Value) {
        let out = self.directory.path().join("act.json");
        let out = out.to_str().expect("UTF-8");
        let act = act.as_str().expect("a receipt");
        drop(self.vouch(&["agent", "log", "--name", name, "--bundle", act, "--out", out]));
        let stranger = self.directory.path().join("stranger");
        let report = json(&mut vouch(&stranger, &["verify", out, "--json"]));
        let tree = std::fs::read(out).expect("it was written");
        (report, serde_json::from_slice(&tree).expect("JSON"))
    }

    /// The acts in the agent's log.
    pub(crate) fn acts(&self) -> Vec<Value> {
        let acts = self.vouch(&["agent", "log"]);
        acts.as_array().expect("acts").clone()
    }
}

/// Whether a node of a tree's report has a link, proven.
pub(crate) fn proven(report: &Value, receipt: &Value, link: &str) -> bool {
    let nodes = report["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["receipt"] == *receipt).expect("the receipt");
    let links = node["links"].as_array().expect("links").iter();
    links.clone().any(|found| found["link"] == link && found["status"] == "proven")
}

/// A line to a signer.
pub(crate) struct Line {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Line {
    pub(crate) fn to(signer: &Running) -> Self {
        let socket = signer.field("socket");
        for _ in 0..200 {
            if let Ok(to) = UnixStream::connect(&socket) {
                let from = BufReader::new(to.try_clone().expect("a stream"));
                return Self { to, from };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no signer listens at {socket}")
    }

    pub(crate) fn say(&mut self, line: &Value) -> Value {
        writeln!(self.to, "{line}").expect("the signer listens");
        let mut reply = String::new();
        self.from.read_line(&mut reply).expect("the signer answers");
        serde_json::from_str(&reply).unwrap_or_else(|_| panic!("{line}: {reply}"))
    }

    /// A payment of the first permission's first payee.
    pub(crate) fn pay(&mut self, amount: u128) -> Value {
        let intent = json!({
            "act": "transfer", "permission": 0, "payee": 0, "amount": amount.to_string(),
        });
        self.say(&json!({ "intent": intent }))
    }
}

/// The code of a refusal.
pub(crate) fn code(reply: &Value) -> &str {
    assert_eq!(reply["outcome"]["status"], "refused", "{reply}");
    reply["outcome"]["code"].as_str().expect("a code")
}

/// An OpenAI-compatible server that answers the n-th question with the n-th of these texts, and the
/// last for ever; its base URL.
pub(crate) fn upstream(texts: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        let mut texts = texts.iter().peekable();
        for stream in listener.incoming().flatten() {
            let text = match texts.len() {
                1 => texts.peek().copied(),
                _ => texts.next(),
            };
            // A caller that has left is none of its business.
            let _left = answer(&stream, text.expect("a text"));
        }
    });
    url
}

fn answer(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let delta = json!({ "choices": [{ "delta": { "content": text } }] });
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {delta}\n\ndata: {end}\n\ndata: [DONE]\n\n"
    )
}
