//! One typed TOML file of defaults: a flag beats the environment, which beats the file.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, de::Error as _};
use vouch_settle::Finality;

use crate::{
    arguments::{Purchase, Sale, Serve},
    money::Dollars,
};

/// What `vouch.toml` may say; an unknown key is an error, so that a typo is not a silent default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) chain: ChainConfig,
    #[serde(default)]
    pub(crate) provider: ProviderConfig,
    #[serde(default)]
    pub(crate) buyer: BuyerConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    pub(crate) listen: Option<SocketAddr>,
    /// The chain that `vouch serve` settles on; several addresses of it are parted by commas.
    pub(crate) url: Option<String>,
    /// When a deposit counts: a number of blocks, `safe` or `finalized`.
    #[serde(default, deserialize_with = "finality")]
    pub(crate) finality: Option<Finality>,
    pub(crate) max_gas_gwei: Option<u64>,
    pub(crate) max_block_age_s: Option<u64>,
}

/// A number, or a word.
fn finality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Finality>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Blocks(u64),
        Word(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Blocks(blocks) => Ok(Some(Finality::Blocks(blocks))),
        Written::Word(word) => word.parse().map(Some).map_err(D::Error::custom),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderConfig {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) model: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) upstream_model: Option<String>,
    pub(crate) embedding_model: Option<String>,
    pub(crate) price_embedding: Option<Dollars>,
    pub(crate) price_input: Option<Dollars>,
    pub(crate) price_output: Option<Dollars>,
    pub(crate) quantum: Option<u32>,
    pub(crate) threads: Option<usize>,
    #[serde(default)]
    pub(crate) sources: bool,
    pub(crate) source_price: Option<Dollars>,
    pub(crate) receiver: Option<Address>,
    #[serde(default)]
    pub(crate) witnesses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuyerConfig {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) provider: Option<String>,
    pub(crate) budget: Option<Dollars>,
    pub(crate) max_per_call: Option<Dollars>,
}

impl Config {
    /// Reads the file that was named, or `vouch.toml` of the data directory if there is one.
    pub(crate) fn load(named: Option<&Path>, data_dir: &Path) -> anyhow::Result<Self> {
        let path = named.map_or_else(|| data_dir.join("vouch.toml"), Path::to_path_buf);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
    }

    /// Fills what the command line left open.
    pub(crate) fn fill_serve(&self, serve: &mut Serve) {
        let file = &self.chain;
        if serve.chain.is_empty() {
            serve.chain.extend(file.url.iter().flat_map(|urls| urls.split(',')).map(str::to_owned));
        }
        serve.finality = serve.finality.or(file.finality);
        serve.max_gas_gwei = serve.max_gas_gwei.or(file.max_gas_gwei);
        serve.max_block_age_s = serve.max_block_age_s.or(file.max_block_age_s);
        self.fill_sale(&mut serve.sale);
    }

    /// Fills what the command line left open.
    pub(crate) fn fill_sale(&self, sale: &mut Sale) {
        let file = &self.provider;
        sale.listen = sale.listen.or(file.listen);
        if sale.upstream.is_none() && sale.model.is_none() {
            sale.model.clone_from(&file.model);
            sale.upstream.clone_from(&file.upstream);
        }
        sale.upstream_model = sale.upstream_model.take().or_else(|| file.upstream_model.clone());
        sale.embedding_model = sale.embedding_model.take().or_else(|| file.embedding_model.clone());
        sale.price_embedding = sale.price_embedding.or(file.price_embedding);
        sale.price_input = sale.price_input.or(file.price_input);
        sale.price_output = sale.price_output.or(file.price_output);
        sale.quantum = sale.quantum.or(file.quantum);
        sale.threads = sale.threads.or(file.threads);
        sale.sources |= file.sources;
        sale.source_price = sale.source_price.or(file.source_price);
        sale.receiver = sale.receiver.or(file.receiver);
        if sale.witnesses.is_empty() {
            sale.witnesses.clone_from(&file.witnesses);
        }
    }

    /// Fills what the command line left open.
    pub(crate) fn fill_purchase(&self, purchase: &mut Purchase) {
        let file = &self.buyer;
        purchase.provider = purchase.provider.take().or_else(|| file.provider.clone());
        purchase.budget = purchase.budget.or(file.budget);
        purchase.max_per_call = purchase.max_per_call.or(file.max_per_call);
    }
}

/// The data directory: as named, else `$XDG_DATA_HOME/vouch`, else `~/.local/share/vouch`.
pub(crate) fn data_dir(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    base(named, "XDG_DATA_HOME", ".local/share")
        .context("no place for data: set --data-dir or HOME")
}

fn base(named: Option<PathBuf>, variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path);
    }
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match set(variable).or_else(|| Some(set("HOME")?.join(below_home))) {
        Some(base) => Ok(base.join("vouch")),
        None => bail!("neither {variable} nor HOME is set"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_an_error() {
        let error = toml::from_str::<Config>("[provider]\nmodle = \"x\"").unwrap_err();
        assert!(error.to_string().contains("modle"), "{error}");
    }

    #[test]
    fn finality_is_a_number_or_a_word() {
        let finality = |text| toml::from_str::<Config>(text).map(|config| config.chain.finality);
        assert_eq!(finality("[chain]\nfinality = 12").unwrap(), Some(Finality::Blocks(12)));
        assert_eq!(finality("[chain]\nfinality = \"safe\"").unwrap(), Some(Finality::Safe));
        assert_eq!(finality("[chain]").unwrap(), None);
        assert!(finality("[chain]\nfinality = \"soon\"").is_err());
    }

    #[test]
    fn the_command_line_beats_the_file() {
        let config: Config =
            toml::from_str("[provider]\nquantum = 32\nprice_input = \"1\"").unwrap();
        let mut sale = Sale { quantum: Some(8), ..Sale::default() };
        config.fill_sale(&mut sale);
        assert_eq!(sale.quantum, Some(8));
        assert_eq!(sale.price_input, Some(Dollars(1_000_000)));
    }
}
