//! `vouch data settle`: the provider, or the trainer, proposes the root of all that it owes for data.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use vouch_contracts::{
    addresses,
    bindings::{
        ContributionRoot::{Challenge, ContributionRootInstance, proposalsReturn},
        TestDollar::TestDollarInstance,
    },
};
use vouch_core::{domain::Domain, receipt::Receipt};
use vouch_data::payout::{Contributions, Leaf, Tree, history, totals};
use vouch_wallet::Wallet;

use super::{
    challenge::chain_time,
    owner::{Place, fund, provider_wallet},
    trainer::Trainer,
    uses::Gateway,
};
use crate::{arguments::data::Settle, money::Dollars, output::Output, time::unix_milliseconds};

/// Receipts get their time a moment before they are durable: none of before the cut-off comes later.
const SETTLING: Duration = Duration::from_secs(1);

/// Who owes, and the receipts that say what.
struct Debtor {
    wallet: Arc<Wallet>,
    domain: Domain,
    token: Address,
    book: Book,
}

enum Book {
    /// A provider's, for what was quoted.
    Gateway(Box<Gateway>),
    /// A trainer's, for what models were trained on.
    Trainer(Trainer),
}

impl Debtor {
    async fn open(arguments: &Settle, place: &Place, data_dir: &Path) -> anyhow::Result<Self> {
        if arguments.training {
            let trainer = Trainer::open(data_dir, place)?;
            let (wallet, domain) = (trainer.wallet.clone(), trainer.domain);
            let book = Book::Trainer(trainer);
            return Ok(Self { wallet, domain, token: addresses::TOKEN, book });
        }
        let wallet = provider_wallet(data_dir)?.context(
            "there is no provider on this machine: `vouch up` or `vouch serve` makes one",
        )?;
        let gateway = Gateway::open(&arguments.gateway, place).await?;
        ensure!(
            gateway.document.provider == wallet.address(),
            "the gateway is of {}, this machine's provider is {}",
            gateway.document.provider,
            wallet.address()
        );
        let (domain, token) = (gateway.domain, gateway.document.asset.address);
        Ok(Self { wallet: Arc::new(wallet), domain, token, book: Book::Gateway(Box::new(gateway)) })
    }

    fn account(&self) -> Address {
        self.wallet.address()
    }

    /// What is owed by the own receipts of before `until`.
    async fn owed(&self, place: &Place, until: u64) -> anyhow::Result<Vec<Leaf>> {
        let receipts = match &self.book {
            Book::Gateway(gateway) => quoted(place, gateway, &self.wallet).await?,
            Book::Trainer(trainer) => trainer.receipts()?,
        };
        Ok(totals(&receipts, &self.domain, self.account(), self.token, until)?)
    }
}

pub(super) async fn run(arguments: Settle, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let place = Place::open(&arguments.on, data_dir).await?;
    let debtor = Debtor::open(&arguments, &place, data_dir).await?;
    fund(&place, debtor.account(), data_dir).await?;
    let contract = place.economy.contributions;
    let contributions = Contributions::new(&place.provider, contract, &debtor.wallet)?;
    let token = debtor.token;
    let series = match own_series(&place, &debtor).await? {
        Some(series) => series,
        None => {
            let (window, bond) = (arguments.window, arguments.bond.0);
            let settlement = debtor.domain.settlement;
            contributions.open(settlement, token, Address::ZERO, window, bond).await?
        }
    };
    let reader = ContributionRootInstance::new(contract, place.provider.clone());
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    let history = history(&place.provider, contract, series).await?;
    let before = history.newest();
    let known = before.map(|before| Tree::from_evidence(&before.evidence)).transpose()?;
    if let Some(said) = wait(&place, &contributions, series, &pending, known.as_ref()).await? {
        return output.answer(&json!({ "series": series, "answered": pending.root }), || said);
    }
    contributions.withdraw(token).await?;

    let until = unix_milliseconds().min(chain_time(&place).await?.saturating_mul(1_000));
    tokio::time::sleep(SETTLING).await;
    let mut leaves = debtor.owed(&place, until).await?;
    if let Some(left_out) = arguments.leave_out {
        leaves.retain(|leaf| leaf.account != left_out);
        leaves.extend(known.as_ref().and_then(|tree| Some(tree.proof(left_out)?.0)));
    }
    if leaves.is_empty() || known.as_ref().is_some_and(|tree| tree.leaves() == sorted(&leaves)) {
        let value = json!({ "series": series, "root": null, "accounts": leaves });
        return output.answer(&value, || format!("series {series} owes nothing new"));
    }
    let tree = Tree::new(leaves)?;
    afford(&place, &debtor, (series, &pending), tree.total()?).await?;
    let sent = contributions.propose(series, &tree, until).await?;
    let pending = reader.proposals(series).call().await.context("the chain does not answer")?;
    let value = json!({
        "series": series, "root": tree.root(), "total": tree.total()?.to_string(), "until": until,
        "finalAt": pending.finalAt, "accounts": tree.leaves(), "transaction": sent.transaction_hash,
    });
    output.answer(&value, || describe(series, &tree, pending.finalAt))
}

fn describe(series: U256, tree: &Tree, final_at: u64) -> String {
    let lines = tree.leaves().iter().map(|leaf| {
        let (account, earned) = (leaf.account, Dollars(leaf.cumulative));
        format!("\n  {account}  {earned} by {} receipts", leaf.sequence)
    });
    format!(
        "series {series}\n  root     {}\n  total    {}\n  final at Unix time {final_at}, if nobody \
         shows a receipt that it leaves out{}",
        tree.root(),
        Dollars(tree.total().unwrap_or_default()),
        lines.collect::<String>(),
    )
}

/// The debtor's account must hold what the next root adds, and the bond.
async fn afford(
    place: &Place,
    debtor: &Debtor,
    (series, pending): (U256, &proposalsReturn),
    total: u128,
) -> anyhow::Result<()> {
    let reader = ContributionRootInstance::new(place.economy.contributions, place.provider.clone());
    let opened = reader.seriesOf(series).call().await.context("the chain does not answer")?;
    // A root whose window has passed becomes final with the next proposal.
    let paid_in = if pending.root.is_zero() { opened.total } else { pending.total };
    let needed = total.saturating_sub(paid_in).saturating_add(opened.bond);
    let account = debtor.account();
    let dollar = TestDollarInstance::new(debtor.token, place.provider.clone());
    let balance = dollar.balanceOf(account).call().await.context("the chain does not answer")?;
    ensure!(
        balance >= U256::from(needed),
        "the root needs {} and the account {account} that pays has {}: {}",
        Dollars(needed),
        Dollars(balance.saturating_to()),
        match debtor.book {
            Book::Gateway(_) => "channels that are claimed bring dollars",
            Book::Trainer(_) => "send it the pot of its trainings",
        }
    );
    Ok(())
}

fn sorted(leaves: &[Leaf]) -> Vec<Leaf> {
    let mut leaves = leaves.to_vec();
    leaves.sort_by_key(|leaf| leaf.account);
    leaves
}

/// The newest series of this debtor in its settlement and token.
async fn own_series(place: &Place, debtor: &Debtor) -> anyhow::Result<Option<U256>> {
    let contract = place.economy.contributions;
    let reader = ContributionRootInstance::new(contract, place.provider.clone());
    let mut series = reader.seriesCount().call().await.context("the chain does not answer")?;
    while !series.is_zero() {
        let opened = reader.seriesOf(series).call().await.context("the chain does not answer")?;
        if opened.publisher == debtor.account()
            && opened.settlement == debtor.domain.settlement
            && opened.token == debtor.token
        {
            return Ok(Some(series));
        }
        series -= U256::ONE;
    }
    Ok(None)
}

/// A root that is not final stands in the way of the next: a challenge that this root covers is
/// answered, and said; nothing is said where the next can come.
async fn wait(
    place: &Place,
    contributions: &Contributions,
    series: U256,
    pending: &proposalsReturn,
    known: Option<&Tree>,
) -> anyhow::Result<Option<String>> {
    if pending.root.is_zero() {
        return Ok(None);
    }
    let now = chain_time(place).await?;
    match pending.challenge {
        Challenge::None if now >= pending.finalAt => Ok(None),
        Challenge::None => bail!(
            "root {} of series {series} can be challenged until Unix time {}: settle again then",
            pending.root,
            pending.finalAt
        ),
        Challenge::Cover => {
            let covers = known.filter(|tree| tree.root() == pending.root).filter(|tree| {
                tree.proof(pending.account).is_some_and(|(leaf, _)| {
                    leaf.cumulative >= pending.cumulative && leaf.sequence >= pending.sequence
                })
            });
            let tree = covers.with_context(|| {
                format!(
                    "root {} of series {series} leaves out receipt {} of {}, as a challenge says: \
                     it is void once someone enforces that, after Unix time {}",
                    pending.root, pending.sequence, pending.account, pending.deadline
                )
            })?;
            contributions.answer(series, tree, pending.account).await?;
            Ok(Some(format!(
                "answered the challenge of root {}: its window runs anew",
                pending.root
            )))
        }
        _ => bail!("root {} of series {series} is before its arbiter", pending.root),
    }
}

/// Every data-use receipt of this machine's provider.
async fn quoted(place: &Place, gateway: &Gateway, wallet: &Wallet) -> anyhow::Result<Vec<Receipt>> {
    let provider = gateway.document.provider;
    let grants = place.consents().await?.grants();
    // Also of grants that ended or were revoked: what was used before is owed.
    let ours = grants.iter().filter(|(_, held)| held.grant.grantee == provider);
    let owners: BTreeSet<Address> = ours.map(|(_, held)| held.grant.owner).collect();
    let mut receipts = Vec::new();
    for owner in owners {
        let found = gateway.uses(owner, wallet).await?;
        ensure!(
            found.faults.is_empty(),
            "the own receipts are damaged: {}",
            found.faults.join("; ")
        );
        receipts.extend(found.uses.into_iter().map(|usage| usage.receipt));
    }
    Ok(receipts)
}
