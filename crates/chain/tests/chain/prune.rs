//! A chain of which only the newest blocks are kept: what is kept answers as in a chain that has
//! all, what is older is refused, the disk stays bounded, and wherever a process ends the next one
//! goes on.

use std::sync::Arc;

use alloy::signers::local::PrivateKeySigner;
use proptest::prelude::*;
use serde_json::{Value, json};
use vouch_chain::{Error, check, check_index};
use vouch_journal::testing::{Fault, MemoryDisk};
use vouch_journal::{Disk, Journal, ReadOnly};

use crate::index::{ENDS, Step, World, after, any_step, kills, runtime};

/// The fewest that can be.
const BLOCKS: u64 = 256;
const SEGMENTS: vouch_journal::Options =
    vouch_journal::Options { segment_bytes: 8 << 10, preallocate_bytes: 1 << 10 };

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[7; 32]).unwrap()
}

fn world(step_bytes: usize, prune_blocks: Option<u64>) -> World {
    World { prune_blocks, journal: SEGMENTS, ..World::new(&signer(), step_bytes) }
}

fn segments(disk: &MemoryDisk) -> usize {
    disk.names().iter().filter(|name| name.ends_with(".log")).count()
}

fn is_cut(disk: &MemoryDisk) -> bool {
    let names = disk.names();
    let has = |number: u32| names.contains(&format!("journal-{number:08}.log"));
    has(0) && !has(1) && segments(disk) > 1
}

/// Everything on the disk, in bytes.
fn size_bytes(disk: &MemoryDisk) -> usize {
    // Some are removed meanwhile.
    disk.names().iter().filter_map(|name| disk.bytes(name)).map(|bytes| bytes.len()).sum()
}

/// The same files on a disk that has had no others.
fn copy(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::default();
    disk.names().iter().for_each(|name| copy.replace(name, disk.bytes(name).unwrap()));
    copy
}

/// As `vouch chain fsck` looks at it.
fn assert_sound(disk: &MemoryDisk) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let looking = Box::new(ReadOnly::new(disk.clone()));
    let (journal, recovery) = Journal::open_on(looking, SEGMENTS).unwrap();
    check(&journal, disk.clone(), recovery.records, &mut |_| {}).unwrap();
    check_index(&journal, disk).unwrap();
}

impl World {
    async fn mine(&self, blocks: u16) {
        self.act(Step::MineMany(blocks)).await.unwrap();
    }

    /// The oldest block that it says is kept.
    async fn oldest(&self) -> u64 {
        let told = self.call("eth_capabilities", json!([])).await.unwrap();
        let of = |what: &str| told[what]["oldestBlock"].clone();
        for same in ["state", "stateproofs", "tx", "logs", "receipts"] {
            assert_eq!(of(same), of("blocks"), "{told}");
        }
        let window = self
            .prune_blocks
            .map(|blocks| json!({ "type": "window", "retentionBlocks": format!("{blocks:#x}") }));
        assert_eq!(told["logs"]["deleteStrategy"], json!(window), "{told}");
        let oldest: alloy::primitives::U64 = serde_json::from_value(of("blocks")).unwrap();
        oldest.to()
    }

    fn close(&mut self) {
        if let Some(chain) = self.chain.take() {
            chain.close().unwrap();
        }
    }
}

/// Blocks at both ends of what is kept.
fn some(oldest: u64, head: u64) -> impl Iterator<Item = u64> {
    let (low, high) = (oldest.max(1)..=(oldest + 4).min(head), head.saturating_sub(14)..=head);
    low.chain(high).filter(|number| *number > 0)
}

async fn compare(whole: &World, pruned: &World, hashes: &[Value]) {
    let (head, oldest) = (whole.head().await, pruned.oldest().await);
    assert_eq!(pruned.head().await, head);
    let numbers: Vec<u64> = some(oldest, head).collect();
    let (one, other) =
        (whole.past_of(numbers.clone(), &[]).await, pruned.past_of(numbers, &[]).await);
    let logs = json!([{"fromBlock": "0x0", "toBlock": "latest"}]);
    for (asked, answer) in one {
        if !asked.starts_with("eth_getLogs") || oldest <= 1 {
            assert_eq!(answer, other[&asked], "{asked}, of {oldest} to {head}");
        }
    }
    if oldest > 1 {
        let refused = pruned.call("eth_getLogs", logs).await.unwrap_err();
        assert!(refused.contains("4444"), "{refused}");
    }
    let kept = json!([{"fromBlock": format!("{oldest:#x}"), "toBlock": "latest"}]);
    let all = whole.call("eth_getLogs", kept.clone()).await;
    assert_eq!(pruned.call("eth_getLogs", kept).await, all);
    let earliest = json!([{"fromBlock": "earliest", "toBlock": "latest"}]);
    assert_eq!(pruned.call("eth_getLogs", earliest).await, all);
    let at = json!([format!("{oldest:#x}"), false]);
    let block = pruned.call("eth_getBlockByNumber", json!(["earliest", false])).await;
    assert_eq!(block, whole.call("eth_getBlockByNumber", at).await);
    for number in [1, 2, oldest / 2, oldest.saturating_sub(2), oldest.saturating_sub(1)] {
        if number > 0 && number < oldest {
            assert_refused(pruned, number).await;
        }
    }
    for hash in hashes {
        compare_hash(whole, pruned, hash, oldest).await;
    }
}

async fn assert_refused(pruned: &World, number: u64) {
    let at = format!("{number:#x}");
    for (method, params) in [
        ("eth_getBlockByNumber", json!([at, false])),
        ("eth_getBlockReceipts", json!([at])),
        ("eth_getLogs", json!([{"fromBlock": at, "toBlock": at}])),
        ("debug_getRawBlock", json!([at])),
        ("eth_feeHistory", json!(["0x1", at, []])),
    ] {
        let refused = pruned.call(method, params).await.unwrap_err();
        assert!(refused.contains("4444") && refused.contains("pruned history"), "{refused}");
    }
    let address = json!("0x5555555555555555555555555555555555555555");
    for (method, params) in [
        ("eth_getBalance", json!([address, at])),
        ("eth_getProof", json!([address, [], at])),
        ("eth_call", json!([{"to": address}, at])),
    ] {
        let refused = pruned.call(method, params).await.unwrap_err();
        assert!(refused.contains("no longer kept"), "{refused}");
    }
}

async fn compare_hash(whole: &World, pruned: &World, hash: &Value, oldest: u64) {
    for (method, params, number) in [
        ("eth_getTransactionReceipt", json!([hash]), "blockNumber"),
        ("eth_getTransactionByHash", json!([hash]), "blockNumber"),
        ("eth_getBlockByHash", json!([hash, false]), "number"),
    ] {
        let answer = whole.call(method, params.clone()).await.unwrap();
        let number = serde_json::from_value::<alloy::primitives::U64>(answer[number].clone());
        let is_gone = number.is_ok_and(|number| (1..oldest).contains(&number.to()));
        let expected = if is_gone { Value::Null } else { answer };
        assert_eq!(pruned.call(method, params).await.unwrap(), expected, "{method} {hash}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn what_is_kept_answers_as_in_a_chain_that_has_all(
        before in prop::collection::vec(any_step(), 1..12),
        blocks in 200_u16..600,
        steps in prop::collection::vec(any_step(), 1..40),
        resets: bool,
        step_bytes in prop_oneof![Just(0_usize), Just(20_000), Just(100_000)],
    ) {
        runtime().block_on(async {
            let (mut whole, mut pruned) = (world(usize::MAX, None), world(step_bytes, Some(BLOCKS)));
            whole.open().unwrap();
            pruned.open().unwrap();
            let mut all = before;
            all.extend([Step::MineMany(blocks)]);
            all.extend(steps);
            all.extend(resets.then_some([Step::Reset, Step::MineMany(blocks)]).into_iter().flatten());
            all.extend([Step::Mine, Step::Restart, Step::Mine]);
            let mut hashes = Vec::new();
            for step in all {
                if let Step::Restart = step {
                    assert_eq!(whole.act(Step::Mine).await, pruned.act(Step::Mine).await);
                    whole.open().unwrap();
                    pruned.open().unwrap();
                    compare(&whole, &pruned, &hashes).await;
                }
                let (one, other) = (whole.act(step).await, pruned.act(step).await);
                assert_eq!(one, other, "{step:?}");
                if let (Step::Pay(_) | Step::Store(..) | Step::Log(_), Ok(hash)) = (step, one) {
                    hashes.push(hash);
                }
                let latest = json!(["latest", false]);
                if let Ok(block) = whole.call("eth_getBlockByNumber", latest).await {
                    hashes.push(block["hash"].clone());
                }
                let head = whole.head().await;
                assert_eq!(pruned.oldest().await, head.saturating_sub(BLOCKS));
            }
            compare(&whole, &pruned, &hashes).await;
            pruned.close();
            assert_sound(&pruned.disk);
        });
    }
}

/// Who can still go back to a block finds as much before it.
#[test]
fn going_back_finds_as_much_as_without_it() {
    runtime().block_on(async {
        let (mut whole, mut pruned) = (world(usize::MAX, None), world(0, Some(BLOCKS)));
        whole.open().unwrap();
        pruned.open().unwrap();
        let both = async |step: Step, whole: &World, pruned: &World| {
            assert_eq!(whole.act(step).await, pruned.act(step).await, "{step:?}");
        };
        both(Step::Store(1, 1), &whole, &pruned).await;
        for _ in 0..4 {
            both(Step::MineMany(200), &whole, &pruned).await;
            pruned.open().unwrap();
        }
        assert!(is_cut(&pruned.disk));
        for step in [
            Step::SetBalance(4),
            Step::Snapshot,
            Step::SetBalance(5),
            Step::Store(1, 2),
            Step::MineMany(500),
            Step::Revert(1),
            Step::Store(2, 2),
            Step::Mine,
        ] {
            both(step, &whole, &pruned).await;
        }
        compare(&whole, &pruned, &[]).await;
        whole.open().unwrap();
        pruned.open().unwrap();
        compare(&whole, &pruned, &[]).await;
        // Now nobody can go back so far any more.
        let before = segments(&pruned.disk);
        for _ in 0..4 {
            both(Step::MineMany(100), &whole, &pruned).await;
            pruned.open().unwrap();
        }
        compare(&whole, &pruned, &[]).await;
        assert!(segments(&pruned.disk) <= before, "{before}");
        pruned.close();
        assert_sound(&pruned.disk);
    });
}

#[test]
fn the_disk_stays_bounded() {
    runtime().block_on(async {
        let mut pruned = world(20_000, Some(BLOCKS));
        pruned.open().unwrap();
        // Until the ring of block hashes (EIP-2935) is full the state grows, and with it the steps.
        let mut most = Vec::new();
        for thousand in 0..27_u8 {
            for step in [Step::Store(thousand % 4, thousand % 3), Step::Log(thousand % 3)] {
                pruned.act(step).await.unwrap();
            }
            let mut of = 0;
            for _ in 0..10 {
                pruned.mine(100).await;
                of = of.max(size_bytes(&pruned.disk));
            }
            most.push(of);
        }
        let (early, late) = (most[9..18].iter().max().unwrap(), most[18..].iter().max().unwrap());
        println!("at most {most:?} bytes, {} segments", segments(&pruned.disk));
        assert!(*late <= early * 5 / 4, "{most:?}");
        // All of them would be some 40 MB.
        assert!(*late < 8_000_000, "{most:?}");
        pruned.close();
        assert_sound(&pruned.disk);
    });
}

/// What was taken back by a reset goes, too, however few blocks there are.
#[test]
fn resets_leave_nothing_behind() {
    runtime().block_on(async {
        let mut pruned = world(0, Some(BLOCKS));
        pruned.open().unwrap();
        let mut most = 0;
        for round in 0..30 {
            pruned.mine(40).await;
            pruned.act(Step::Reset).await.unwrap();
            assert!(segments(&pruned.disk) <= 8, "{round}: {}", segments(&pruned.disk));
            most = most.max(size_bytes(&pruned.disk));
            if round % 7 == 3 {
                pruned.open().unwrap();
                assert_eq!((pruned.head().await, pruned.oldest().await), (0, 0));
            }
        }
        println!("at most {most} bytes");
        pruned.mine(5).await;
        pruned.open().unwrap();
        assert_eq!(pruned.head().await, 5);
        assert!(
            pruned.call("eth_getBlockByNumber", json!(["0x1", true])).await.unwrap().is_object()
        );
        pruned.close();
        assert_sound(&pruned.disk);
    });
}

#[test]
fn what_is_gone_stays_gone_and_is_said() {
    runtime().block_on(async {
        let mut pruned = world(0, Some(BLOCKS));
        pruned.open().unwrap();
        pruned.mine(600).await;
        pruned.open().unwrap();
        assert!(is_cut(&pruned.disk));
        assert_eq!(pruned.oldest().await, 600 - BLOCKS);
        let head = pruned.call("eth_getBlockByNumber", json!(["latest", true])).await;

        // With more to be kept, and with all.
        pruned.prune_blocks = Some(10_000);
        pruned.open().unwrap();
        let oldest = pruned.oldest().await;
        assert!((1..=600 - BLOCKS).contains(&oldest), "{oldest}");
        assert_refused(&pruned, oldest - 1).await;
        pruned.prune_blocks = None;
        pruned.open().unwrap();
        assert_eq!(pruned.oldest().await, oldest);
        pruned.mine(300).await;
        pruned.open().unwrap();
        assert_eq!(pruned.oldest().await, oldest);
        assert_refused(&pruned, oldest - 1).await;
        let at = json!(["0x258", true]);
        assert_eq!(pruned.call("eth_getBlockByNumber", at).await, head);
        pruned.close();
        assert_sound(&pruned.disk);

        // Fewer than BLOCKHASH sees.
        pruned.prune_blocks = Some(255);
        assert!(matches!(pruned.open(), Err(Error::TooFewBlocks { asked: 255 })));
        // Blocks that were pruned are not exported, and are no obstacle where they come in again.
        pruned.prune_blocks = Some(BLOCKS);
        pruned.open().unwrap();
        let chain = pruned.chain.as_ref().unwrap();
        let refused = chain.export(1..=900, &mut Vec::new()).unwrap_err();
        assert!(matches!(refused, Error::Pruned { number: 1, oldest: 644 }), "{refused}");
        let mut blocks = Vec::new();
        assert_eq!(chain.export(644..=900, &mut blocks).unwrap(), 257);
        assert_eq!(chain.import(blocks.as_slice(), |_| {}).unwrap(), 0);
    });
}

#[test]
fn a_state_that_cannot_be_read_is_made_from_the_one_before_or_missed() {
    runtime().block_on(async {
        let mut pruned = world(0, Some(BLOCKS));
        pruned.open().unwrap();
        for part in 0..6 {
            pruned.act(Step::Store(part % 4, part)).await.unwrap();
            pruned.mine(100).await;
        }
        let head = pruned.call("eth_getBlockByNumber", json!(["latest", true])).await;
        pruned.close();
        let image = copy(&pruned.disk);
        let of = |what: &str| {
            let names = image.names().into_iter();
            let mut names: Vec<_> = names.filter(|name| name.contains(what)).collect();
            names.sort();
            names
        };
        let damage = |disk: &MemoryDisk, name: &str| {
            let mut bytes = disk.bytes(name).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            disk.replace(name, bytes);
        };
        for what in ["index/state-", "index/snapshot-"] {
            let names = of(what);
            assert_eq!(names.len(), 2, "{names:?}");
            pruned.disk = copy(&image);
            damage(&pruned.disk, &names[1]);
            pruned.open().unwrap();
            let again = pruned.call("eth_getBlockByNumber", json!(["latest", true])).await;
            assert_eq!(again, head);
            assert_eq!(pruned.oldest().await, 600 - BLOCKS);
            pruned.mine(20).await;
            pruned.close();
            assert_sound(&pruned.disk);

            // Neither of them.
            pruned.disk = copy(&image);
            names.iter().for_each(|name| damage(&pruned.disk, name));
            let before = pruned.disk.operations();
            let refused = pruned.open().unwrap_err();
            assert!(matches!(refused, Error::NoSnapshot { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.contains("were pruned") && said.contains("from a copy"), "{said}");
            let removed = pruned.disk.operations_by_kind().get("remove").copied();
            assert_eq!(removed, None, "{before}");
        }
        // The whole folder.
        pruned.disk = MemoryDisk::default();
        for name in of(".log") {
            pruned.disk.replace(&name, image.bytes(&name).unwrap());
        }
        let refused = pruned.open().unwrap_err();
        assert!(matches!(refused, Error::NoSnapshot { .. }), "{refused}");
        // A segment.
        let segments = of(".log");
        for gone in [0, 1, segments.len() / 2] {
            pruned.disk = MemoryDisk::default();
            for name in image.names().iter().filter(|name| **name != segments[gone]) {
                pruned.disk.replace(name, image.bytes(name).unwrap());
            }
            let refused = pruned.open().unwrap_err();
            assert!(refused.to_string().contains("the file is missing"), "{gone}: {refused}");
        }
    });
}

/// Steps, removal, going back and reset, with a start in between.
const WORK: [Step; 22] = [
    Step::Store(1, 1),
    Step::MineMany(14),
    Step::SetBalance(7),
    Step::Snapshot,
    Step::Pay(2),
    Step::SetStorage(2, 2),
    Step::MineMany(12),
    Step::Log(1),
    Step::Mine,
    Step::Revert(1),
    Step::Pay(3),
    Step::MineMany(9),
    Step::Restart,
    Step::Store(3, 1),
    Step::MineMany(8),
    Step::Reset,
    Step::SetBalance(9),
    Step::Snapshot,
    Step::Store(1, 2),
    Step::MineMany(9),
    Step::Revert(1),
    Step::Mine,
];

impl World {
    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Restart => {
                self.chain
                    .take()
                    .map_or(Ok(()), |chain| chain.close())
                    .map_err(|e| e.to_string())?;
                self.open().map_err(|e| e.to_string())
            }
            step => self.act(step).await.map(drop),
        }
    }

    /// Works until something fails; gives how many steps were answered.
    async fn try_all(&mut self) -> usize {
        if self.open().is_err() {
            return 0;
        }
        for (done, step) in WORK.into_iter().enumerate() {
            if self.step(step).await.is_err() {
                return done;
            }
        }
        WORK.len()
    }

    /// What there is of the newest and the oldest blocks.
    async fn ends(&self) -> Vec<Value> {
        let (oldest, head) = (self.oldest().await, self.head().await);
        assert_eq!(oldest, head.saturating_sub(BLOCKS));
        let refused = oldest.checked_sub(1);
        let numbers = refused.into_iter().chain([oldest, head / 2, head - head.min(3), head]);
        let past = self.past_of(numbers, &[]).await.into_iter();
        let meant = past.filter(|(name, _)| !name.starts_with("eth_getProof"));
        meant.map(|(_, value)| value).chain([json!(head)]).collect()
    }
}

/// A disk with 300 blocks, pruned or about to be.
async fn prepared(is_pruned: bool) -> MemoryDisk {
    let mut world = world(if is_pruned { 0 } else { 100_000 }, is_pruned.then_some(BLOCKS));
    world.open().unwrap();
    for step in [Step::Store(1, 1), Step::Log(1), Step::MineMany(if is_pruned { 500 } else { 300 })]
    {
        world.act(step).await.unwrap();
    }
    world.close();
    assert_eq!(is_cut(&world.disk), is_pruned);
    copy(&world.disk)
}

#[test]
fn wherever_it_ends_a_pruned_chain_goes_on() {
    let runtime = runtime();
    for is_pruned in [true, false] {
        let (image, expected, operations) = runtime.block_on(async {
            let image = prepared(is_pruned).await;
            let mut world = World { disk: copy(&image), ..world(0, Some(BLOCKS)) };
            world.open().unwrap();
            let mut expected = vec![world.ends().await];
            for step in WORK {
                world.step(step).await.unwrap();
                expected.push(world.ends().await);
            }
            world.close();
            assert!(is_cut(&world.disk));
            (image, expected, world.disk.operations())
        });
        let all = operations as usize * ENDS.len();
        let tried = (kills() / 2).min(all);
        for number in 0..tried {
            let number = number * all / tried;
            let (at, end) = ((number / ENDS.len()) as u64, ENDS[number % ENDS.len()]);
            runtime.block_on(async {
                let mut world = World { disk: copy(&image), ..world(0, Some(BLOCKS)) };
                let fault = if end == "killed" { Fault::Kill } else { Fault::PowerOff };
                world.disk.fail_at(at, fault);
                let done = world.try_all().await;
                world.chain = None;
                world.disk = after(&world.disk, end, number as u64);
                // Also in the hands of one that is stopped as it begins.
                if number.is_multiple_of(3) {
                    let second = world.disk.killed();
                    second.fail_at(number as u64 % 17, fault);
                    world.disk = second;
                    if world.open().is_ok() {
                        world.chain = None;
                    }
                    world.disk = after(&world.disk, end, number as u64);
                }
                world.open().unwrap_or_else(|error| panic!("{end} at {at}: {error}"));
                let found = world.ends().await;
                // The step that was not answered may have been done, in part where it is many.
                let meant = &expected[done..(done + 2).min(expected.len())];
                let is_many = matches!(WORK.get(done), Some(Step::MineMany(_)));
                assert!(
                    is_many || meant.contains(&found),
                    "{end} at {at}, after {done}: {found:#?}"
                );
                world.act(Step::Pay(9)).await.unwrap();
                world.mine(30).await;
                world.open().unwrap();
                world.ends().await;
                world.close();
                assert_sound(&world.disk);
            });
        }
        println!("{tried} of {all} ends, pruned before: {is_pruned}");
    }
}
