//! Why a node would not take a transaction, read from words that differ from node to node.

use std::fmt;

use alloy::rpc::json_rpc::ErrorPayload;

/// A node's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its fees are below what the node takes, or below a twin's that waits.
    Underpriced(String),
    /// It will not be taken as it is.
    Final(String),
}

impl Refusal {
    /// `None` if the node says that it has the transaction.
    pub(crate) fn read(error: &ErrorPayload) -> Option<Self> {
        let words = error.message.to_lowercase();
        let says = |any: &[&str]| any.iter().any(|part| words.contains(part));
        let known = [
            "already known",
            "alreadyknown",
            "already imported",
            "already exists",
            "known transaction",
        ];
        if says(&known) {
            return None;
        }
        let text = error.message.to_string();
        let too_low = ["underpriced", "less than block base fee", "fee too low", "feetoolow"];
        Some(if says(&too_low) { Self::Underpriced(text) } else { Self::Final(text) })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Underpriced(text) | Self::Final(text)) = self;
        text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of geth, Nethermind, Erigon, Besu, anvil and OP's geth.
    #[test]
    fn what_nodes_say_is_understood() {
        let read = |text: &str| {
            let message = text.to_owned().into();
            Refusal::read(&ErrorPayload { code: -32_000, message, data: None })
        };
        for known in ["already known", "AlreadyKnown", "transaction already imported"] {
            assert_eq!(read(known), None, "{known}");
        }
        for low in [
            "replacement transaction underpriced",
            "transaction underpriced: gas tip cap 0, minimum needed 1",
            "max fee per gas less than block base fee: address 0x…",
            "FeeTooLow, EffectivePriorityFeePerGas too low",
        ] {
            assert!(matches!(read(low), Some(Refusal::Underpriced(_))), "{low}");
        }
        for last in ["nonce too low", "insufficient funds for gas * price + value"] {
            assert!(matches!(read(last), Some(Refusal::Final(_))), "{last}");
        }
    }
}
