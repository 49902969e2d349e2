//! How a chain is doing, for people and for Prometheus.

use std::fs;
use std::sync::Arc;

use crate::node::Node;

/// What is told of a chain at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The newest block's number.
    pub block: u64,
    /// Gas that a block may use.
    pub gas_limit: u64,
    /// Of the next block, in wei.
    pub next_base_fee: u64,
    /// Transactions in all blocks.
    pub transactions: u64,
    /// Gas that blocks have used since this process opened the chain.
    pub gas_used: u64,
    /// Transactions in the pool.
    pub waiting: u64,
    /// About what they take.
    pub waiting_bytes: u64,
    /// Accounts that exist.
    pub accounts: u64,
    /// The oldest block whose state can be told.
    pub oldest_state: u64,
    /// The oldest block that can be told of besides the first; 0 where none was pruned.
    pub oldest_block: u64,
    /// Memory of this process, where the system tells.
    pub resident_bytes: Option<u64>,
}

/// Tells a chain's [`Status`], also while it is served.
#[derive(Debug, Clone)]
pub struct Monitor(Arc<Node>);

impl Monitor {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self(node)
    }

    /// As things are now.
    pub fn status(&self) -> Status {
        let (waiting, waiting_bytes) = {
            let pool = self.0.pool.lock();
            (pool.len() as u64, pool.bytes() as u64)
        };
        let view = self.0.view.read();
        let header = &view.index.head().header;
        Status {
            block: header.number,
            gas_limit: view.next.gas_limit.unwrap_or(header.gas_limit),
            next_base_fee: view.next_base_fee(),
            transactions: view.index.transactions(),
            gas_used: view.gas_used,
            waiting,
            waiting_bytes,
            accounts: view.state.accounts().len() as u64,
            oldest_state: view.state.oldest(),
            oldest_block: view.index.oldest(),
            resident_bytes: resident_bytes(),
        }
    }
}

impl Status {
    /// As Prometheus reads it.
    pub(crate) fn metrics(&self) -> String {
        let mut page = String::new();
        for (name, kind, help, value) in [
            ("chain_block", "gauge", "Number of the newest block.", self.block),
            ("chain_transactions", "gauge", "Transactions in all blocks.", self.transactions),
            ("chain_gas_used_total", "counter", "Gas used since the start.", self.gas_used),
            ("chain_base_fee_wei", "gauge", "Base fee of the next block.", self.next_base_fee),
            ("chain_pool_transactions", "gauge", "Transactions that wait.", self.waiting),
            ("chain_pool_bytes", "gauge", "About what they take.", self.waiting_bytes),
            ("chain_accounts", "gauge", "Accounts that exist.", self.accounts),
            (
                "chain_oldest_state",
                "gauge",
                "Oldest block whose state can be told.",
                self.oldest_state,
            ),
            (
                "chain_oldest_block",
                "gauge",
                "Oldest block that is kept besides the first.",
                self.oldest_block,
            ),
        ] {
            page += &format!(
                "# HELP vouch_{name} {help}\n# TYPE vouch_{name} {kind}\nvouch_{name} {value}\n"
            );
        }
        if let Some(bytes) = self.resident_bytes {
            let name = "process_resident_memory_bytes";
            page +=
                &format!("# HELP {name} Resident memory.\n# TYPE {name} gauge\n{name} {bytes}\n");
        }
        page
    }
}

/// Linux alone tells.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
