//! The command line of `vouch data`.

use std::{net::SocketAddr, path::PathBuf};

use alloy_primitives::{Address, B256, U256};
use clap::{Args, Subcommand, ValueEnum};
use vouch_data::consent::Purpose;

use crate::money::Dollars;

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Seal a directory of documents and put its root on the chain
    #[command(after_help = "Example: vouch data publish ./letters --licence CC-BY-4.0
Text, Markdown, HTML, JSON and JSON lines are read. Only a root over salted hashes and the hash of \
the card reach the chain: no content and no names.")]
    Publish(Publish),
    /// Serve published documents to those who hold a grant
    #[command(after_help = "Example: vouch data serve --listen 127.0.0.1:4030")]
    Serve(Serve),
    /// Allow a use of a dataset, at a price, until a date
    #[command(
        after_help = "Example: vouch data grant letters --to 0x5f3c… --price 0.0005 --days 30"
    )]
    Grant(Grant),
    /// End a grant, or every grant of a dataset
    #[command(after_help = "Example: vouch data revoke 0x81aa…
Revoking stops future use and future pay at once. It does not untrain a model that was trained \
before, and cannot take back what was read.")]
    Revoke(Revoke),
    /// List datasets and grants, as the chain has them
    #[command(after_help = "Example: vouch data list")]
    List(List),
    /// Show what is owed and paid for uses of your data, by the receipts that you hold
    #[command(after_help = "Example: vouch data earnings --provider http://127.0.0.1:4020 --claim
A receipt that a provider promised and left out of its payout is named, with its proof; --challenge \
sends that proof to the chain.")]
    Earnings(Earnings),
    /// Pay the owners of what this machine's provider used: propose the root of all that is owed
    #[command(after_help = "Example: vouch data settle
Totals come from the provider's own data-use receipts, with --training from the trainer's. A root \
is final after the series' window; then each owner claims.")]
    Settle(Settle),
    /// Put what was made from what on the chain, and which part of its income goes back
    #[command(
        after_help = "Example: vouch data register service tickets --parent 0x81aa…:2500 --as provider
A node is frozen, and its parents are registered before it. What is paid to its receiver is split \
by the contract: a provider takes it with `vouch up --receiver`."
    )]
    Register(Register),
    /// Show how income splits up the lineage, recomputed from the chain, and collect it
    #[command(after_help = "Example: vouch data royalties --collect
Sweeps what came in, moves each share along its edge, and pays the owner: for every node whose \
owner's key is on this machine.")]
    Royalties(Royalties),
    /// Fetch a granted dataset and embed it, to be searched
    #[command(after_help = "Example: vouch data index 0x81aa… --source http://127.0.0.1:4030")]
    Index(Index),
    /// Train a classifier on granted sets, and share out a pot by what each is worth
    #[command(after_help = "Example: vouch data train classifier.toml --out model
Owners grant `--purpose train` to the trainer's own account, which --account shows. `vouch verify \
model/training.json` checks what each set is credited; `vouch data settle --training` pays it.")]
    Train(Train),
}

/// The chain that holds registry and payouts.
#[derive(Debug, Clone, Args)]
pub(crate) struct OnChain {
    /// The chain's JSON-RPC address
    #[arg(long, env = "VOUCH_CHAIN", default_value = "http://127.0.0.1:8545", value_name = "URL")]
    pub(crate) chain: String,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The documents
    pub(crate) directory: PathBuf,
    /// An SPDX identifier, or a licence's URL
    #[arg(long, value_name = "LICENCE")]
    pub(crate) licence: String,
    /// What the dataset is called [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What it is, in a sentence
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Who made it [default: the owner's address]
    #[arg(long, value_name = "NAME")]
    pub(crate) creator: Option<String>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4030", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// How grantees reach this server; their signatures are bound to it [default: http://LISTEN]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// The dataset's id, or its name here
    #[arg(required_unless_present = "terms")]
    pub(crate) dataset: Option<String>,
    /// Who may use it: a provider's address
    #[arg(long, value_name = "ADDRESS", required_unless_present = "terms")]
    pub(crate) to: Option<Address>,
    /// For what: search, train, or another word
    #[arg(long, default_value = "search", value_name = "WORD")]
    pub(crate) purpose: Purpose,
    /// Only for this model or service [default: any of the grantee's]
    #[arg(long, value_name = "ID")]
    pub(crate) service: Option<B256>,
    /// Dollars for each use
    #[arg(long, default_value = "0", value_name = "DOLLARS")]
    pub(crate) price: Dollars,
    /// Part of a call's charge, in hundredths of a percent
    #[arg(long, default_value_t = 0, value_name = "BPS")]
    pub(crate) share_bps: u16,
    /// Days from now until it ends
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    pub(crate) days: u32,
    /// A TOML file with all terms, instead of the options
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dataset", "to"])]
    pub(crate) terms: Option<PathBuf>,
    /// Print the signed grant for the grantee to record, and send nothing
    #[arg(long)]
    pub(crate) sign_only: bool,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The grant's id
    #[arg(required_unless_present = "dataset")]
    pub(crate) grant: Option<B256>,
    /// End every grant of this dataset: its id, or its name here
    #[arg(long, value_name = "DATASET", conflicts_with = "grant")]
    pub(crate) dataset: Option<String>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Everybody's, not only this owner's
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Earnings {
    /// Only this payout series
    #[arg(long, value_name = "NUMBER")]
    pub(crate) series: Option<U256>,
    /// Receipts that were handed over, as JSON files [default: DATA_DIR/owner/receipts]
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,
    /// Fetch the newest receipts from this provider's gateway first, and keep them
    #[arg(long, value_name = "URL", conflicts_with = "receipts")]
    pub(crate) provider: Option<String>,
    /// Claim what is final
    #[arg(long)]
    pub(crate) claim: bool,
    /// Prove on the chain that a root leaves out a receipt of this owner's; the series' bond is risked
    #[arg(long, conflicts_with = "claim")]
    pub(crate) challenge: bool,
    /// End a challenge of this owner's that had no answer in time: the root is void
    #[arg(long, conflicts_with_all = ["claim", "challenge"])]
    pub(crate) enforce: bool,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Settle {
    /// The gateway of this machine's provider
    #[arg(long, default_value = "http://127.0.0.1:4020", value_name = "URL")]
    pub(crate) gateway: String,
    /// Pay for what models were trained on instead: what this machine's trainer owes
    #[arg(long, conflicts_with = "gateway")]
    pub(crate) training: bool,
    /// Seconds in which a root can be challenged, where a series is opened
    #[arg(long, default_value_t = 86_400, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(60..=2_592_000))]
    pub(crate) window: u64,
    /// Dollars that each root risks, and each challenge, where a series is opened
    #[arg(long, default_value = "0", value_name = "DOLLARS")]
    pub(crate) bond: Dollars,
    /// For demonstrations and tests of a cheating provider: leave out what this owner earned
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub(crate) leave_out: Option<Address>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Royalties {
    /// A node and all that it descends from [default: every node]
    pub(crate) node: Option<B256>,
    /// Every edge and how its amount follows
    #[arg(long)]
    pub(crate) explain: bool,
    /// First collect for the nodes that this machine's keys own, or for the named one of them
    #[arg(long)]
    pub(crate) collect: bool,
    /// Leave alone what is less: anyone can make a node of yours a parent, and send it dust
    #[arg(long, default_value = "0.0001", value_name = "DOLLARS", requires = "collect")]
    pub(crate) least: Dollars,
    #[command(flatten)]
    pub(crate) vault: AtVault,
    /// The token [default: the embedded chain's dollar]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) token: Option<Address>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

/// The vault that splits income.
#[derive(Debug, Clone, Args)]
pub(crate) struct AtVault {
    /// The vault [default: that of a chain which this machine's provider governs]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) vault: Option<Address>,
    /// The vault that this provider's gateway names
    #[arg(long, value_name = "URL", conflicts_with = "vault")]
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// What kind of thing it is
    pub(crate) kind: Made,
    /// A dataset's id, or its name here; a model's identity, or any name
    pub(crate) what: String,
    /// What it was made from, and that one's part of its income in hundredths of a percent; repeatable
    #[arg(long = "parent", value_name = "NODE:BPS", value_parser = parent)]
    pub(crate) parents: Vec<(B256, u16)>,
    /// Whose it is: this machine's owner of data, or its provider
    #[arg(long = "as", default_value = "owner", value_name = "WHO")]
    pub(crate) key: Key,
    #[command(flatten)]
    pub(crate) vault: AtVault,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Made {
    Dataset,
    Model,
    FineTune,
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Key {
    Owner,
    Provider,
}

/// `NODE:BPS`.
fn parent(text: &str) -> Result<(B256, u16), String> {
    let parsed = text.split_once(':').and_then(|(node, share)| {
        let share = share.parse().ok().filter(|share| (1..=10_000).contains(share))?;
        Some((node.parse().ok()?, share))
    });
    parsed.ok_or_else(|| {
        "write it as NODE:BPS, a registered node's id and a share from 1 to 10000 hundredths of a \
         percent"
            .to_owned()
    })
}

#[derive(Debug, Args)]
pub(crate) struct Index {
    /// The dataset's id
    pub(crate) dataset: B256,
    /// Where its owner serves it
    #[arg(long, value_name = "URL")]
    pub(crate) source: String,
    /// The service that will use it [default: any]
    #[arg(long, value_name = "ID")]
    pub(crate) service: Option<B256>,
    #[command(flatten)]
    pub(crate) on: OnChain,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to train, on what, and for how much
    // Not `config`: that is the name of the option that every command has.
    #[arg(required_unless_present_any = ["account", "validation"])]
    pub(crate) classifier: Option<PathBuf>,
    /// Show the account of this machine's trainer, to which owners grant, and do nothing else
    #[arg(long, conflicts_with = "classifier")]
    pub(crate) account: bool,
    /// Show what commits to a validation set, to be written into CLASSIFIER, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "classifier")]
    pub(crate) validation: Option<PathBuf>,
    /// Where model, manifest and report go
    #[arg(long, default_value = "model", value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) on: OnChain,
}
