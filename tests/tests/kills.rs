//! `kill -9` of provider, buyer, and both, under load, at random moments: every receipt that was
//! acknowledged is in the log, and no charge is doubled.
//!
//! `VOUCH_TEST_KILLS` says how often (20), `VOUCH_TEST_SEED` repeats the moments of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use serde_json::{Value, json};
use vouch_core::{
    bundle::Bundle,
    log::{Checkpoint, merkle, note::Note},
};
use vouch_tests::{Random, Running, free_address, http, seed, send, try_http, variable};

const CLIENTS: u64 = 8;

/// Provider and buyer, each on one address for all its lives.
struct World<'a> {
    directory: &'a Path,
    gateway: String,
    chain: String,
    connect: String,
}

impl World<'_> {
    fn up(&self) -> Running {
        let arguments = ["up", "--listen", &self.gateway, "--chain-listen", &self.chain];
        Running::start(&self.directory.join("provider"), &arguments)
    }

    fn connect(&self) -> Running {
        let provider = format!("http://{}", self.gateway);
        let arguments =
            ["connect", "--listen", &self.connect, "--provider", &provider, "--budget", "8"];
        Running::start(&self.directory.join("buyer"), &arguments)
    }

    fn status(&self) -> Value {
        let (status, body) = http("GET", &format!("http://{}/vouch/status", self.connect), "");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).expect("JSON")
    }

    /// Every entry of the log, held against its signed root.
    fn log(&self) -> Vec<B256> {
        let get = |path: &str| {
            let (status, body) = http("GET", &format!("http://{}/log/{path}", self.gateway), "");
            assert_eq!(status, 200, "{path}");
            body
        };
        let note = String::from_utf8(get("checkpoint")).expect("a note is text");
        let checkpoint = Checkpoint::parse(&Note::parse(&note).expect("a note").text);
        let checkpoint = checkpoint.expect("a checkpoint");
        let (full, rest) = (checkpoint.size / 256, checkpoint.size % 256);
        let mut tiles: Vec<String> = (0..full).map(|n| format!("tile/entries/{n:03}")).collect();
        if rest > 0 {
            tiles.push(format!("tile/entries/{full:03}.p/{rest}"));
        }
        let bytes: Vec<u8> = tiles.iter().flat_map(|tile| get(tile)).collect();
        // Each entry is its length (33), the version 1, and a receipt's digest.
        let entries: Vec<B256> = bytes
            .chunks(35)
            .map(|entry| {
                assert_eq!(entry[..3], [0, 33, 1]);
                B256::from_slice(&entry[3..])
            })
            .collect();
        let leaves: Vec<B256> =
            bytes.chunks(35).map(|entry| merkle::leaf_hash(&entry[2..])).collect();
        assert_eq!(merkle::root(&leaves), checkpoint.root, "the log is what was signed");
        entries
    }
}

/// Ends the clients when it goes, also where a restart fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The receipt that a client was told of in the end, or why there is none.
fn ask(world: &World<'_>, model: &str, prompt: &str, random: &mut Random) -> Result<B256, String> {
    let broken = |error: std::io::Error| error.kind().to_string();
    let stream = random.below(2) == 0;
    let body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": prompt }],
        "max_tokens": 4 + random.below(12),
        "stream": stream,
    });
    let url = format!("http://{}/v1/chat/completions", world.connect);
    if stream && random.below(4) == 0 {
        // A client that leaves in the middle: what came is charged, and nobody is told.
        let mut connection = send("POST", &url, &body.to_string()).map_err(broken)?;
        let _left = connection.read(&mut [0; 512]);
        return Err("it left".into());
    }
    let reply = try_http("POST", &url, &body.to_string()).map_err(broken)?;
    let text = String::from_utf8(reply.body.clone()).expect("UTF-8");
    if reply.status != 200 {
        return Err(text);
    }
    if !stream {
        return Ok(reply.header("x-vouch-receipt").expect("a receipt").parse().expect("a digest"));
    }
    let receipt = text.split_once(": x-vouch-receipt ").filter(|(_, end)| end.contains("[DONE]"));
    let digest = receipt.and_then(|(_, end)| end.split(' ').next()?.parse().ok());
    digest.ok_or_else(|| text.lines().rev().find(|line| !line.is_empty()).unwrap_or("").to_owned())
}

/// Waits for a random moment after some more answers, so that a slow machine is under load, too.
fn wait<T>(told: &Mutex<Vec<T>>, random: &mut Random) {
    let so_far = || told.lock().expect("no panic").len() as u64;
    let (enough, start) = (so_far() + random.below(4), Instant::now());
    while so_far() < enough && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(random.below(600)));
}

/// Kills one of the two, or both, and starts it again.
fn kill(world: &World<'_>, up: Running, connect: Running, victims: u64) -> (Running, Running) {
    match victims {
        0 => {
            up.kill();
            (world.up(), connect)
        }
        1 => {
            connect.kill();
            (up, world.connect())
        }
        _ => {
            up.kill();
            connect.kill();
            (world.up(), world.connect())
        }
    }
}

/// Waits until the buyer has its receipt for every call, and a place in the log for every receipt.
fn settled(world: &World<'_>) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let status = world.status();
        if status["inFlight"] == 0 && status["unlogged"] == 0 {
            return status;
        }
        assert!(Instant::now() < deadline, "calls or receipts are left: {status}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// What the buyer has kept, by the receipt's digest.
fn bundles(world: &World<'_>) -> BTreeMap<B256, Bundle> {
    let kept = std::fs::read_dir(world.directory.join("buyer/buyer/bundles")).expect("bundles");
    let files = kept.map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a bundle");
        let bundle: Bundle = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{} is no bundle: {error}", path.display()));
        (bundle.receipt.digest(), bundle)
    };
    // A write that a kill cut short is left under another name.
    files.filter(|path| path.extension().is_some_and(|end| end == "json")).map(read).collect()
}

/// The prompt that a client made up for one question only.
fn prompt(bundle: &Bundle) -> String {
    let request: Value = serde_json::from_str(&bundle.request).expect("JSON");
    request["messages"][0]["content"].as_str().expect("a prompt").to_owned()
}

fn check(world: &World<'_>, told: &[(B256, String)]) {
    let status = settled(world);
    assert_eq!(status["distrusted"], json!([]), "an honest provider was accused");
    let (bundles, log) = (bundles(world), world.log());
    let logged: BTreeSet<B256> = log.iter().copied().collect();
    assert_eq!(logged.len(), log.len(), "a receipt is logged twice");
    for (digest, asked) in told {
        assert!(logged.contains(digest), "{digest} was acknowledged and is not in the log");
        let bundle = bundles.get(digest).expect("the buyer kept it");
        assert_eq!(prompt(bundle), *asked, "a client got another's receipt");
    }
    // All that was charged was for somebody who has the receipt, and each question once.
    assert_eq!(logged, bundles.keys().copied().collect(), "the log and the buyer's receipts");
    let questions: BTreeSet<String> = bundles.values().map(prompt).collect();
    assert_eq!(questions.len(), bundles.len(), "a question was charged twice");
    let mut channels: BTreeMap<B256, Vec<&Bundle>> = BTreeMap::new();
    for bundle in bundles.values() {
        channels.entry(bundle.receipt.channel).or_default().push(bundle);
    }
    for (id, mut bundles) in channels {
        bundles.sort_by_key(|bundle| bundle.receipt.sequence);
        let mut total = 0;
        for (sequence, bundle) in (1..).zip(bundles) {
            let receipt = &bundle.receipt;
            total += receipt.charge;
            assert_eq!((receipt.sequence, receipt.cumulative), (sequence, total), "{receipt:?}");
        }
        let url = format!("http://{}/vouch/channels/{id}", world.gateway);
        let view: Value = serde_json::from_slice(&http("GET", &url, "").1).expect("JSON");
        assert_eq!(view["charged"], total.to_string(), "{view}");
        assert_eq!(view["reserved"], "0", "{view}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_charged_twice() {
    let (seed, kills) = (seed(), variable("VOUCH_TEST_KILLS").unwrap_or(20));
    eprintln!("{kills} kills");
    let directory = tempfile::tempdir().expect("a directory");
    let world = World {
        directory: directory.path(),
        gateway: free_address(),
        chain: free_address(),
        connect: free_address(),
    };
    let (up, connect) = (world.up(), world.connect());
    let model = up.field("model");
    let (told, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let refused = Mutex::new(BTreeMap::<String, u64>::new());
    let (up, connect) = thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (world, model, told, over) = (&world, &model, &told, &over);
            let refused = &refused;
            scope.spawn(move || {
                let mut random = Random::of(seed ^ (client + 1));
                for number in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let prompt = format!("Client {client} asks question {number}: what is it?");
                    match ask(world, model, &prompt, &mut random) {
                        Ok(digest) => told.lock().expect("no panic").push((digest, prompt)),
                        // Nobody is there, or it ended in the middle: the next question.
                        Err(why) => {
                            *refused.lock().expect("no panic").entry(why).or_default() += 1;
                            thread::sleep(Duration::from_millis(20));
                        }
                    }
                }
            });
        }
        let _over = Over(&over);
        let (mut random, mut running) = (Random::of(seed), (up, connect));
        for _ in 0..kills {
            wait(&told, &mut random);
            running = kill(&world, running.0, running.1, random.below(3));
        }
        running
    });
    let told = told.into_inner().expect("no panic");
    eprintln!("{} answers were acknowledged", told.len());
    let refused = refused.into_inner().expect("no panic");
    assert!(told.len() as u64 >= kills, "only {} answers: {refused:#?}", told.len());
    check(&world, &told);
    assert!(connect.stop() && up.stop(), "both end cleanly");
}
