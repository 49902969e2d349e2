//! Which rules hold in a block: Ethereum's forks, by what the genesis says of them.

use std::collections::BTreeSet;

use alloy::consensus::Header;
use alloy::eips::eip7840::BlobParams;
use alloy::genesis::ChainConfig;
use alloy_primitives::{Address, U256};
use revm::primitives::hardfork::SpecId;

use crate::{Error, Result};

/// More blobs in a block than any network will have; it keeps sums of their gas small.
const MAX_BLOBS: u64 = 1 << 20;

/// The rules of one block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) chain_id: u64,
    pub(crate) spec: SpecId,
    /// Prices and bounds of blobs, from Cancun on.
    pub(crate) blobs: Option<BlobParams>,
    /// The contract whose deposits become requests (EIP-6110), from Prague on.
    pub(crate) deposits: Option<Address>,
}

impl Rules {
    /// Those of a block at this height and time. `merged`: it is not found by work.
    pub(crate) fn of(config: &ChainConfig, number: u64, timestamp: u64, merged: bool) -> Self {
        let spec = spec(config, number, timestamp, merged);
        let blobs = spec.is_enabled_in(SpecId::CANCUN).then(|| blobs(config, timestamp));
        let deposits = config.deposit_contract_address;
        Self {
            chain_id: config.chain_id,
            spec,
            blobs,
            deposits: deposits.filter(|_| spec.is_enabled_in(SpecId::PRAGUE)),
        }
    }

    /// Those that a block was made by.
    pub(crate) fn of_header(config: &ChainConfig, header: &Header) -> Self {
        let merged = match header.number {
            // Nobody has found it: whether it counts as merged is for its difficulty to say.
            0 => is_merged(config, header.difficulty),
            _ => header.difficulty.is_zero(),
        };
        Self::of(config, header.number, header.timestamp, merged)
    }

    pub(crate) fn are(&self, spec: SpecId) -> bool {
        self.spec.is_enabled_in(spec)
    }

    /// Most blobs in one transaction; none before Cancun.
    pub(crate) fn max_blobs_per_transaction(&self) -> u64 {
        self.blobs.map_or(0, |blobs| blobs.max_blobs_per_tx.min(blobs.max_blob_count))
    }

    /// What a unit of blob gas costs in a block with this excess, in wei; 0 before there were blobs.
    pub(crate) fn blob_fee(&self, excess: Option<u64>) -> u128 {
        excess.zip(self.blobs).map_or(0, |(excess, blobs)| blobs.calc_blob_fee(excess))
    }

    /// What the finder of a block gets, in wei.
    pub(crate) fn reward(&self) -> u128 {
        const ETHER: u128 = 1_000_000_000_000_000_000;
        match self.spec {
            spec if spec.is_enabled_in(SpecId::MERGE) => 0,
            spec if spec.is_enabled_in(SpecId::PETERSBURG) => 2 * ETHER,
            spec if spec.is_enabled_in(SpecId::BYZANTIUM) => 3 * ETHER,
            _ => 5 * ETHER,
        }
    }
}

/// Whether a block on top of one whose chain has this total difficulty is not found by work.
pub(crate) fn is_merged(config: &ChainConfig, total_difficulty: U256) -> bool {
    config.terminal_total_difficulty.is_some_and(|terminal| total_difficulty >= terminal)
}

fn spec(config: &ChainConfig, number: u64, timestamp: u64, merged: bool) -> SpecId {
    let reached = |fork: Option<u64>| fork.is_some_and(|at| at <= number);
    let begun = |fork: Option<u64>| merged && fork.is_some_and(|at| at <= timestamp);
    [
        (begun(config.osaka_time), SpecId::OSAKA),
        (begun(config.prague_time), SpecId::PRAGUE),
        (begun(config.cancun_time), SpecId::CANCUN),
        (begun(config.shanghai_time), SpecId::SHANGHAI),
        (merged, SpecId::MERGE),
        (reached(config.london_block), SpecId::LONDON),
        (reached(config.berlin_block), SpecId::BERLIN),
        (reached(config.istanbul_block), SpecId::ISTANBUL),
        // Constantinople differs only in what SSTORE costs (EIP-1283), which Petersburg took back
        // before it ever held on mainnet, and which the EVM library does not have.
        (reached(config.constantinople_block), SpecId::PETERSBURG),
        (reached(config.byzantium_block), SpecId::BYZANTIUM),
        (reached(config.eip158_block), SpecId::SPURIOUS_DRAGON),
        (reached(config.eip150_block), SpecId::TANGERINE),
        (reached(config.homestead_block), SpecId::HOMESTEAD),
    ]
    .into_iter()
    .find_map(|(holds, spec)| holds.then_some(spec))
    .unwrap_or(SpecId::FRONTIER)
}

fn blobs(config: &ChainConfig, timestamp: u64) -> BlobParams {
    let schedule = config.blob_schedule_blob_params();
    let begun = |fork: Option<u64>| fork.is_some_and(|at| at <= timestamp);
    let scheduled = schedule.scheduled.iter().rev().find(|(at, _)| *at <= timestamp);
    match scheduled {
        Some((_, params)) => *params,
        None if begun(config.osaka_time) => schedule.osaka,
        None if begun(config.prague_time) => schedule.prague,
        None => schedule.cancun,
    }
}

/// The blocks at which rules change, in order.
pub(crate) fn heights(config: &ChainConfig) -> Vec<u64> {
    in_order([
        config.homestead_block,
        config.dao_fork_block,
        config.eip150_block,
        config.eip155_block,
        config.eip158_block,
        config.byzantium_block,
        config.constantinople_block,
        config.petersburg_block,
        config.istanbul_block,
        config.muir_glacier_block,
        config.berlin_block,
        config.london_block,
        config.arrow_glacier_block,
        config.gray_glacier_block,
        config.merge_netsplit_block,
    ])
}

/// The times at which rules change, in order.
pub(crate) fn times(config: &ChainConfig) -> Vec<u64> {
    in_order([
        config.shanghai_time,
        config.cancun_time,
        config.prague_time,
        config.osaka_time,
        config.bpo1_time,
        config.bpo2_time,
        config.bpo3_time,
        config.bpo4_time,
        config.bpo5_time,
    ])
}

fn in_order<const N: usize>(forks: [Option<u64>; N]) -> Vec<u64> {
    let distinct: BTreeSet<u64> = forks.into_iter().flatten().collect();
    distinct.into_iter().collect()
}

/// Refuses forks that are out of order, or that this program has not.
pub(crate) fn check(config: &ChainConfig) -> Result<()> {
    let by_height = [
        ("homesteadBlock", config.homestead_block),
        ("eip150Block", config.eip150_block),
        ("eip155Block", config.eip155_block),
        ("eip158Block", config.eip158_block),
        ("byzantiumBlock", config.byzantium_block),
        ("constantinopleBlock", config.constantinople_block),
        ("petersburgBlock", config.petersburg_block),
        ("istanbulBlock", config.istanbul_block),
        ("berlinBlock", config.berlin_block),
        ("londonBlock", config.london_block),
    ];
    let by_time = [
        ("shanghaiTime", config.shanghai_time),
        ("cancunTime", config.cancun_time),
        ("pragueTime", config.prague_time),
        ("osakaTime", config.osaka_time),
    ];
    check_order(&by_height)?;
    check_order(&by_time)?;
    let refused = |why: &str| Err(Error::Genesis(why.to_owned()));
    if by_time.iter().any(|(_, at)| at.is_some()) && config.terminal_total_difficulty.is_none() {
        return refused("it has forks by time but no terminalTotalDifficulty");
    }
    if config.amsterdam_time.is_some() || config.bogota_time.is_some() {
        return refused("it has forks after Osaka, which this version does not know");
    }
    if config.dao_fork_support && config.dao_fork_block.is_some_and(|at| at > 0) {
        return refused("the DAO's change of state is not supported: leave daoForkSupport out");
    }
    let odd = |blobs: &BlobParams| {
        blobs.update_fraction == 0
            || blobs.max_blob_count == 0
            || blobs.max_blob_count < blobs.target_blob_count
            || blobs.max_blob_count > MAX_BLOBS
    };
    if let Some((fork, _)) = config.blob_schedule.iter().find(|(_, blobs)| odd(blobs)) {
        return refused(&format!("the blobSchedule of {fork:.32} contradicts itself"));
    }
    if config.clique.is_some() && !is_merged(config, U256::ZERO) {
        return refused("blocks by authority (clique) are not supported");
    }
    Ok(())
}

fn check_order(forks: &[(&str, Option<u64>)]) -> Result<()> {
    for pair in forks.windows(2) {
        let [(earlier, first), (later, second)] = pair else { continue };
        let in_order = match (first, second) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(first), Some(second)) => first <= second,
        };
        if !in_order {
            return Err(Error::Genesis(format!("{later} is before {earlier}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_follow_each_other() {
        let mut config = ChainConfig {
            chain_id: 1,
            homestead_block: Some(0),
            eip150_block: Some(3),
            eip155_block: Some(6),
            eip158_block: Some(6),
            byzantium_block: Some(9),
            constantinople_block: Some(12),
            petersburg_block: Some(12),
            istanbul_block: Some(18),
            berlin_block: Some(24),
            london_block: Some(27),
            shanghai_time: Some(390),
            cancun_time: Some(420),
            prague_time: Some(450),
            osaka_time: Some(480),
            bpo1_time: Some(510),
            terminal_total_difficulty: Some(U256::from(100)),
            ..ChainConfig::default()
        };
        config.blob_schedule.insert("bpo1".to_owned(), BlobParams::bpo1());
        check(&config).unwrap();
        let expected = [
            (0, SpecId::HOMESTEAD),
            (3, SpecId::TANGERINE),
            (6, SpecId::SPURIOUS_DRAGON),
            (9, SpecId::BYZANTIUM),
            (12, SpecId::PETERSBURG),
            (18, SpecId::ISTANBUL),
            (24, SpecId::BERLIN),
            (27, SpecId::LONDON),
            (36, SpecId::MERGE),
            (39, SpecId::SHANGHAI),
            (42, SpecId::CANCUN),
            (45, SpecId::PRAGUE),
            (48, SpecId::OSAKA),
        ];
        for (number, spec) in expected {
            for number in [number, number + 1] {
                assert_eq!(Rules::of(&config, number, number * 10, number >= 36).spec, spec);
            }
        }
        let targets = [420, 450, 480, 510].map(|time| blobs(&config, time).target_blob_count);
        assert_eq!(targets, [3, 6, 6, 10]);
        assert!(Rules::of(&config, 41, 410, true).blobs.is_none());
        assert!(is_merged(&config, U256::from(100)) && !is_merged(&config, U256::from(99)));

        let wrong = [
            ChainConfig { byzantium_block: None, ..config.clone() },
            ChainConfig { istanbul_block: Some(11), ..config.clone() },
            ChainConfig { cancun_time: Some(389), ..config.clone() },
            ChainConfig { terminal_total_difficulty: None, ..config.clone() },
            {
                let mut odd = config.clone();
                odd.blob_schedule.insert(
                    "bpo1".to_owned(),
                    BlobParams { update_fraction: 0, ..BlobParams::bpo1() },
                );
                odd
            },
            ChainConfig { amsterdam_time: Some(1_000), ..config.clone() },
            ChainConfig { dao_fork_support: true, dao_fork_block: Some(5), ..config.clone() },
        ];
        for config in wrong {
            assert!(check(&config).is_err(), "{config:?}");
        }
    }
}
