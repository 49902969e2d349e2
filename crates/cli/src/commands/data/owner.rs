//! An owner put together: key, library, chain, contracts.

use std::{path::Path, sync::Arc};

use alloy::{
    network::TransactionBuilder,
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
};
use alloy_primitives::{Address, B256, U256};
use anyhow::{Context, bail};
use vouch_contracts::economy::{Economy, Governance, economy};
use vouch_data::{
    consent::{Clock, Consents, Registry},
    dataset::{Library, Published},
};
use vouch_wallet::Wallet;

use crate::{arguments::data::OnChain, onchain, time::unix_milliseconds};

/// What the provider on the same machine gives an owner without ether: 0.1, of a test chain's 1,000.
const GIFT_WEI: u128 = 100_000_000_000_000_000;

/// The chain, and where the economy's contracts stand on it.
pub(crate) struct Place {
    pub(crate) provider: DynProvider,
    pub(crate) chain: u64,
    pub(crate) economy: Economy,
}

impl Place {
    /// Reaches the chain; the registry must be on it.
    pub(crate) async fn open(on: &OnChain, data_dir: &Path) -> anyhow::Result<Self> {
        let provider = onchain::reader(&on.chain)?;
        let chain = provider.get_chain_id().await.with_context(|| {
            format!(
                "the chain at {} does not answer: start `vouch up`, or name it by --chain",
                on.chain
            )
        })?;
        // Consent, lineage and contributions stand at one address whoever governs; the vault does not.
        let holder = provider_wallet(data_dir)?.map_or(Address::ZERO, |wallet| wallet.address());
        let economy = economy(&Governance::development(holder))?;
        let code = provider.get_code_at(economy.consent).await;
        if code.context("the chain does not answer")?.is_empty() {
            bail!(
                "the consent registry is not on chain {chain}: deploy the economy's contracts with \
                 `vouch contracts deploy`"
            );
        }
        Ok(Self { provider, chain, economy })
    }

    /// A view of all grants, up to date.
    pub(crate) async fn consents(&self) -> anyhow::Result<Arc<Consents>> {
        let consents = onchain::consents(self.provider.clone(), self.economy.consent);
        Ok(Arc::new(consents.await?))
    }
}

pub(crate) fn clock() -> Clock {
    Arc::new(unix_milliseconds)
}

/// An owner of data.
pub(crate) struct Owner {
    pub(crate) wallet: Wallet,
    pub(crate) library: Library,
    pub(crate) place: Place,
}

impl Owner {
    /// The owner in `data_dir/owner`; a new one if there is none.
    pub(crate) async fn open(on: &OnChain, data_dir: &Path) -> anyhow::Result<Self> {
        let directory = data_dir.join("owner");
        let passphrase = crate::passphrase();
        let wallet = Wallet::open_or_create(&directory, &passphrase)?;
        let library = Library::new(&directory.join("datasets"), &passphrase);
        let place = Place::open(on, data_dir).await?;
        Ok(Self { wallet, library, place })
    }

    /// The registry, written to by this owner, who can pay for it.
    pub(crate) async fn registry(&self, data_dir: &Path) -> anyhow::Result<Registry> {
        fund(&self.place, self.wallet.address(), data_dir).await?;
        Ok(Registry::new(&self.place.provider, self.place.economy.consent, &self.wallet)?)
    }

    /// A dataset by its id, or by its name here.
    pub(crate) fn dataset(&self, named: &str) -> anyhow::Result<Published> {
        if let Ok(id) = named.parse::<B256>() {
            return self.library.get(id).with_context(|| format!("dataset {id} is not here"));
        }
        let all = self.library.list()?;
        let mut found = all.into_iter().filter(|dataset| dataset.card.field("name") == named);
        match (found.next(), found.next()) {
            (Some(dataset), None) => Ok(dataset),
            (None, _) => bail!("no dataset here is called {named:?}: `vouch data list` shows them"),
            _ => bail!("several datasets are called {named:?}: name one by its id"),
        }
    }
}

/// The key of the provider on this machine, if there is one.
pub(crate) fn provider_wallet(data_dir: &Path) -> anyhow::Result<Option<Wallet>> {
    let path = data_dir.join("provider").join("wallet.json");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Wallet::open_file(&path, &crate::passphrase())?))
}

/// An account without ether gets some from the provider on this machine, who runs the test chain.
pub(crate) async fn fund(place: &Place, account: Address, data_dir: &Path) -> anyhow::Result<()> {
    let balance = async |of: Address| place.provider.get_balance(of).await;
    if !balance(account).await.context("the chain does not answer")?.is_zero() {
        return Ok(());
    }
    let gift = U256::from(GIFT_WEI);
    let rich = match provider_wallet(data_dir)? {
        Some(wallet) if balance(wallet.address()).await? > gift + gift => wallet,
        _ => bail!("the account {account} has no ether on chain {}: send it some", place.chain),
    };
    let signing = onchain::signer(&place.provider, &rich)?;
    let request =
        TransactionRequest::default().with_from(rich.address()).with_to(account).with_value(gift);
    onchain::mined("the gift of ether", signing.send_transaction(request).await).await?;
    Ok(())
}
