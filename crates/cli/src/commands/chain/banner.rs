//! What `vouch chain` says when it listens, in the shape that people know from anvil.

use std::{net::SocketAddr, path::Path};

use alloy_primitives::hex;
use serde_json::{Value, json};
use vouch_chain::Chain;

use super::accounts::{Accounts, DERIVATION_PATH};
use crate::arguments::chain as arguments;

/// More accounts than this are counted, not listed.
const LISTED: usize = 100;

/// See the module.
pub(crate) struct Banner<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Option<&'a Accounts>,
    pub(crate) data_dir: &'a Path,
    pub(crate) arguments: &'a arguments::Chain,
}

impl Banner<'_> {
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn json(&self) -> Value {
        let signers = self.accounts.map(|accounts| accounts.signers.as_slice());
        let addresses: Vec<_> =
            signers.unwrap_or_default().iter().map(|signer| signer.address()).collect();
        json!({
            "chain": self.url("http"),
            "webSocket": self.url("ws"),
            "chainId": self.chain.chain_id(),
            "accounts": addresses,
            "mnemonic": self.accounts.map(|accounts| &accounts.mnemonic),
            "fork": self.chain.genesis().fork_point().map(|point| json!({
                "chainId": point.chain_id(),
                "block": point.number(),
                "hash": point.hash(),
            })),
        })
    }

    pub(crate) fn text(&self) -> anyhow::Result<String> {
        let listens = format!(
            "chain {} listens on {} and {}, Ctrl-C ends it",
            self.chain.chain_id(),
            self.url("http"),
            self.url("ws")
        );
        if self.arguments.silent {
            return Ok(listens);
        }
        let mut text = format!("vouch chain {}\n", env!("CARGO_PKG_VERSION"));
        if let Some(accounts) = self.accounts {
            self.describe(accounts, &mut text)?;
        }
        if let Some(point) = self.chain.genesis().fork_point() {
            section(
                &mut text,
                "Fork",
                &[
                    ("Chain id", point.chain_id().to_string()),
                    ("Block number", point.number().to_string()),
                    ("Block hash", point.hash().to_string()),
                ],
            );
        }
        let status = self.chain.status();
        section(
            &mut text,
            "Chain",
            &[
                ("Id", self.chain.chain_id().to_string()),
                ("Newest block", status.block.to_string()),
                ("Gas limit", status.gas_limit.to_string()),
                ("Base fee", format!("{} wei", status.next_base_fee)),
                (
                    "Kept in",
                    match self.arguments.in_memory {
                        true => "memory, and gone with this process".to_owned(),
                        false => self.data_dir.display().to_string(),
                    },
                ),
            ],
        );
        Ok(text + "\n" + &listens)
    }

    fn describe(&self, accounts: &Accounts, text: &mut String) -> anyhow::Result<()> {
        let balances = self.chain.balances(accounts.signers.iter().map(|s| s.address()))?;
        let listed = accounts.signers.iter().take(LISTED).enumerate();
        let left_out = accounts.signers.len().saturating_sub(LISTED);
        let mut lines: [Vec<String>; 2] = Default::default();
        for ((at, signer), balance) in listed.zip(balances) {
            let ether = alloy::primitives::utils::format_ether(balance);
            let whole = ether.trim_end_matches('0').trim_end_matches('.');
            lines[0].push(format!("({at}) {} ({whole} ETH)", signer.address()));
            lines[1].push(format!("({at}) {}", hex::encode_prefixed(signer.to_bytes())));
        }
        for (title, mut lines) in ["Available Accounts", "Private Keys"].into_iter().zip(lines) {
            if left_out > 0 {
                lines.push(format!("and {left_out} more"));
            }
            heading(text, title);
            lines.iter().for_each(|line| push(text, line));
        }
        section(
            text,
            "Wallet",
            &[
                ("Mnemonic", accounts.mnemonic.clone()),
                ("Derivation path", DERIVATION_PATH.to_owned()),
            ],
        );
        Ok(())
    }
}

fn section(text: &mut String, title: &str, rows: &[(&str, String)]) {
    heading(text, title);
    for (name, value) in rows {
        push(text, &format!("{:<18} {value}", format!("{name}:")));
    }
}

fn heading(text: &mut String, title: &str) {
    push(text, &format!("\n{title}\n{}\n", "=".repeat(18)));
}

fn push(text: &mut String, line: &str) {
    *text += line;
    *text += "\n";
}
