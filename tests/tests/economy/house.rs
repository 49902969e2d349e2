//! A provider with sources, its owners and a buyer, each in its own directory.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};
use vouch_tests::{Running, clients, http, json, later, rpc, text, vouch};

/// An owner of one directory of documents, who serves it.
pub(crate) struct Owner {
    pub(crate) home: PathBuf,
    pub(crate) account: String,
    pub(crate) dataset: String,
    pub(crate) grant: String,
    pub(crate) serving: Running,
}

/// A provider with sources, and a place for owners and a buyer.
pub(crate) struct House {
    directory: tempfile::TempDir,
    pub(crate) up: Running,
}

impl House {
    pub(crate) fn new(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let up = Running::up(&directory.path().join("provider"), more);
        Self { directory, up }
    }

    /// The same provider, chain and keys, started again with other options.
    pub(crate) fn restart(self, more: &[&str]) -> Self {
        let Self { directory, up } = self;
        assert!(up.stop(), "it ends cleanly");
        let up = Running::up(&directory.path().join("provider"), more);
        Self { directory, up }
    }

    pub(crate) fn home(&self, who: &str) -> PathBuf {
        self.directory.path().join(who)
    }

    pub(crate) fn command(&self, home: &Path, arguments: &[&str]) -> Command {
        let mut command = vouch(home, &["data"]);
        command.args(arguments).args(["--json", "--chain", &self.up.field("chain")]);
        command
    }

    pub(crate) fn data(&self, home: &Path, arguments: &[&str]) -> Value {
        json(&mut self.command(home, arguments))
    }

    /// What the command says as it refuses.
    pub(crate) fn refused(&self, home: &Path, arguments: &[&str]) -> String {
        let output = self.command(home, arguments).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    }

    pub(crate) fn later(&self, seconds: u64) {
        later(&self.up.field("chain"), seconds);
    }

    pub(crate) fn dollars(&self, account: &str) -> u128 {
        let data = format!("0x70a08231{:0>64}", account.trim_start_matches("0x"));
        let call = json!([{ "to": self.up.field("asset"), "data": data }, "latest"]);
        let word = rpc(&self.up.field("chain"), "eth_call", &call);
        let digits = word.as_str().expect("a word").trim_start_matches("0x");
        u128::from_str_radix(digits, 16).expect("a number")
    }

    pub(crate) fn faucet(&self, account: &str) {
        let url = format!("{}/vouch/faucet", self.up.field("gateway"));
        let (status, body) = http("POST", &url, &json!({ "address": account }).to_string());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// Publishes documents, serves them, and grants the provider search.
    pub(crate) fn owner(&self, who: &str, documents: &[(&str, &str)], price: &str) -> Owner {
        let home = self.home(who);
        let directory = self.home(&format!("{who}-documents"));
        std::fs::create_dir_all(&directory).expect("a directory");
        for (name, text) in documents {
            std::fs::write(directory.join(name), text).expect("a document");
        }
        let account = self.data(&home, &["list"])["owner"].as_str().expect("one").to_owned();
        self.faucet(&account);
        let directory = directory.to_str().expect("UTF-8");
        let published = self.data(&home, &["publish", directory, "--licence", "CC-BY-4.0"]);
        let dataset = published["dataset"].as_str().expect("an id").to_owned();
        let provider = self.up.field("provider");
        let terms = ["--to", &provider, "--price", price, "--share-bps", "500"];
        let granted = self.data(&home, &[&["grant", &dataset], &terms[..]].concat());
        let grant = granted["id"].as_str().expect("an id").to_owned();
        let chain = self.up.field("chain");
        let serve = ["data", "serve", "--listen", "127.0.0.1:0", "--chain", &chain];
        let serving = Running::start(&home, &serve);
        let source = serving.field("url");
        self.data(&self.home("provider"), &["index", &dataset, "--source", &source]);
        Owner { home, account, dataset, grant, serving }
    }

    /// A sourced answer, whose tree must hold for a stranger.
    pub(crate) fn ask(&self, question: &str) -> Vec<Value> {
        let bundle = self.directory.path().join("answer.json");
        let file = bundle.to_str().expect("UTF-8");
        let gateway = self.up.field("gateway");
        let ask = ["ask", question, "--sources", "--provider", &gateway, "--bundle", file];
        let mut command = vouch(&self.home("buyer"), &ask);
        let _answer = json(command.args(["--max-tokens", "24", "--json"]));
        let report = vouch(&self.home("stranger"), &["verify", file, "--json"]).output();
        let report = report.expect("it starts");
        assert!(report.status.success(), "{}", text(&report));
        let tree: Value =
            serde_json::from_slice(&std::fs::read(&bundle).expect("the tree")).expect("JSON");
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let uses: Vec<Value> = nodes
            .filter(|node| node.get("use").is_some())
            .map(|node| node["use"].clone())
            .collect();
        assert!(!uses.is_empty(), "{tree}");
        uses
    }

    /// Fetches an owner's receipts; returns them.
    pub(crate) fn receipts(&self, owner: &Owner) -> Vec<Value> {
        let gateway = self.up.field("gateway");
        let books = self.data(&owner.home, &["earnings", "--provider", &gateway]);
        assert_eq!(books["faults"], json!([]), "{books}");
        let name = format!("{}.json", self.up.field("provider"));
        let file = owner.home.join("owner").join("receipts").join(name);
        let held = std::fs::read(file).expect("kept receipts");
        serde_json::from_slice(&held).expect("JSON")
    }

    /// The program of another author, over what both owners hold: its exit code and its document.
    pub(crate) fn recompute(&self, owners: &[&Owner]) -> (Option<i32>, Value) {
        let held = |owner: &&Owner| (owner.account.clone(), Value::Array(self.receipts(owner)));
        self.recompute_for(&self.up.field("provider"), owners.iter().map(held).collect())
    }

    /// The same, for what `publisher` owes by these receipts.
    pub(crate) fn recompute_for(
        &self,
        publisher: &str,
        receipts: Map<String, Value>,
    ) -> (Option<i32>, Value) {
        let chain = self.up.field("chain");
        let show = ["contracts", "show", "--chain", &chain, "--json"];
        let shown = json(&mut vouch(&self.home("provider"), &show));
        let (status, document) =
            http("GET", &format!("{}/.well-known/vouch.json", self.up.field("gateway")), "");
        assert_eq!(status, 200);
        let document: Value = serde_json::from_slice(&document).expect("JSON");
        let economy = &shown["economy"];
        let given = json!({
            "rpc": chain, "settlement": document["settlement"], "token": self.up.field("asset"),
            "registry": economy["lineage"], "vault": economy["vault"],
            "contributions": economy["contributions"], "provider": publisher,
            "receipts": receipts,
        });
        let file = self.directory.path().join("recompute.json");
        std::fs::write(&file, given.to_string()).expect("a file");
        let mut node = Command::new("node");
        node.arg("recompute.mjs").arg(&file).current_dir(clients());
        let output = node.output().expect("node starts");
        let found = serde_json::from_slice(&output.stdout);
        (output.status.code(), found.unwrap_or_else(|_| panic!("{}", text(&output))))
    }
}

pub(crate) fn units(value: &Value) -> u128 {
    value.as_str().expect("an amount").parse().expect("digits")
}

/// What an owner's receipts credit.
pub(crate) fn credited(receipts: &[Value]) -> u128 {
    receipts.iter().map(|held| units(&held["receipt"]["charge"])).sum()
}

pub(crate) fn uses_of<'a>(uses: &'a [Value], owner: &Owner) -> Vec<&'a Value> {
    uses.iter().filter(|used| same(&used["receipt"]["payer"], &owner.account)).collect()
}

fn same(value: &Value, address: &str) -> bool {
    value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(address))
}

/// What a gateway does to the first receipt that an owner asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lie {
    Withhold,
    Change,
}

/// A gateway that passes on another's answers, and lies about receipts; its URL.
pub(crate) fn lying(gateway: &str, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let gateway = gateway.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            pass_on(&stream.expect("a connection"), &gateway, lie);
        }
    });
    url
}

/// A request's method, path and body.
fn request(stream: &TcpStream) -> (String, String, String) {
    let mut reader = BufReader::new(stream);
    let (mut lines, mut length) = (Vec::new(), 0);
    while lines.last().is_none_or(|line| line != "\r\n") {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).expect("a header"), 0, "it broke off");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        lines.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let mut first = lines[0].split(' ').map(str::to_owned);
    let (method, path) = (first.next().expect("a method"), first.next().expect("a path"));
    (method, path, String::from_utf8(body).expect("UTF-8"))
}

fn pass_on(mut stream: &TcpStream, gateway: &str, lie: Lie) {
    let (method, path, asked) = request(stream);
    let (_, body) = http(&method, &format!("{gateway}{path}"), &asked);
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    if path == "/vouch/uses" && asked.contains("\"after\":0,") {
        let uses = body["uses"].as_array_mut().expect("receipts");
        match lie {
            Lie::Withhold => drop(uses.remove(0)),
            Lie::Change => uses[0]["receipt"]["time"] = json!(1),
        }
    }
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "{head}\r\n\r\n{body}").expect("the client is there");
}
