//! The policy: a TOML file.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use super::Parameter;

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Not TOML, or with other fields.
    #[error("the policy is not valid TOML for a policy: {0}")]
    Toml(#[from] toml::de::Error),
    /// A rule contradicts itself.
    #[error("policy: {0}")]
    Invalid(String),
}

/// What to do with what the policy does not speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Vote against.
    #[default]
    Against,
    /// Abstain.
    Abstain,
}

/// The values of a parameter that are fine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The least.
    #[serde(default)]
    pub min: u64,
    /// The most.
    pub max: u64,
    /// The most that one proposal may change it by; none is no limit.
    pub step: Option<u64>,
}

/// A written policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The governor whose proposals are voted on.
    pub governor: Address,
    /// The contract of the parameters.
    pub parameters: Address,
    /// What to do with calls and parameters that no rule speaks of.
    #[serde(default)]
    pub unknown: Unknown,
    /// A model to ask about proposals that the rules allow; none votes for them.
    pub model: Option<String>,
    /// The protocol's part of income, basis points.
    pub fee_share_bps: Option<Rule>,
    /// The part of a stake that a fault costs, basis points.
    pub slashing_share_bps: Option<Rule>,
    /// The least stake, atomic units.
    pub minimum_stake: Option<Rule>,
}

impl Policy {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PolicyError::Io { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// [`PolicyError::Toml`], [`PolicyError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text)?;
        for parameter in [Parameter::FeeShare, Parameter::SlashingShare, Parameter::MinimumStake] {
            if let Some(rule) = policy.rule(parameter)
                && rule.min > rule.max
            {
                return Err(PolicyError::Invalid(format!(
                    "{parameter}: min {} is above max {}",
                    rule.min, rule.max
                )));
            }
        }
        Ok(policy)
    }

    /// The rule for a parameter.
    #[must_use]
    pub fn rule(&self, parameter: Parameter) -> Option<&Rule> {
        match parameter {
            Parameter::FeeShare => self.fee_share_bps.as_ref(),
            Parameter::SlashingShare => self.slashing_share_bps.as_ref(),
            Parameter::MinimumStake => self.minimum_stake.as_ref(),
        }
    }

    /// What identifies it: keccak-256 of it as JSON.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Rule {
    /// Why a change is not fine.
    pub(super) fn objection(&self, from: U256, to: U256) -> Option<String> {
        let (min, max) = (U256::from(self.min), U256::from(self.max));
        if to < min || to > max {
            return Some(format!("{to} is not within {min} to {max}"));
        }
        let step = self.step.map(U256::from)?;
        (from.abs_diff(to) > step).then(|| format!("{from} to {to} is a step above {step}"))
    }
}
