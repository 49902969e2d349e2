//! `vouch data grant` and `vouch data revoke`.

use std::path::Path;

use alloy_primitives::{Address, B256};
use anyhow::Context;
use serde_json::json;
use vouch_data::consent::{Grant, Terms};

use super::owner::Owner;
use crate::{arguments::data, money::Dollars, output::Output, time::unix_seconds};

const DAY_S: u64 = 86_400;
/// The chain's clock may be a little behind this machine's.
const EARLIER_S: u64 = 60;
/// A terms file of more bytes is none.
const MAX_TERMS_BYTES: u64 = 64 << 10;

pub(super) async fn grant(
    arguments: data::Grant,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let grant = terms(&arguments, &owner)?.grant(owner.wallet.address())?;
    let id = grant.id();
    if arguments.sign_only {
        let signature = grant.sign(&owner.wallet, owner.place.chain, owner.place.economy.consent);
        let value = json!({ "id": id, "grant": grant, "signature": signature });
        return output.answer(&value, || value.to_string());
    }
    let receipt = owner.registry(data_dir).await?.grant(&grant, None).await?;
    let value = json!({ "id": id, "grant": grant, "transaction": receipt.transaction_hash });
    output.answer(&value, || format!("granted {id}\n{}", describe(&grant)))
}

fn terms(arguments: &data::Grant, owner: &Owner) -> anyhow::Result<Terms> {
    if let Some(path) = &arguments.terms {
        let shown = path.display();
        let size =
            std::fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.len();
        anyhow::ensure!(size <= MAX_TERMS_BYTES, "{shown} is too large to be terms");
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
        return Ok(Terms::from_toml(&text)?);
    }
    let named = arguments.dataset.as_deref().context("name the dataset, or --terms")?;
    let now = unix_seconds();
    Ok(Terms {
        dataset: owner.dataset(named)?.id,
        grantee: arguments.to.context("name the grantee with --to")?,
        purpose: arguments.purpose,
        service: arguments.service.unwrap_or_default(),
        price: arguments.price.0,
        share_bps: arguments.share_bps,
        start: now.saturating_sub(EARLIER_S),
        end: now.saturating_add(u64::from(arguments.days).saturating_mul(DAY_S)),
    })
}

/// A grant for people, over several lines.
pub(super) fn describe(grant: &Grant) -> String {
    let service = match grant.service == B256::ZERO {
        true => "any service".to_owned(),
        false => format!("service {}", grant.service),
    };
    let share = match grant.share_bps {
        0 => String::new(),
        bps => format!(" and {}.{:02}% of the charge", bps / 100, bps % 100),
    };
    format!(
        "  dataset  {}\n  to       {} for {} by {service}\n  price    {} a use{share}\n  runs     \
         from Unix time {} to {}",
        grant.dataset,
        grant.grantee,
        grant.purpose,
        Dollars(grant.price),
        grant.start,
        grant.end
    )
}

pub(super) async fn revoke(
    arguments: data::Revoke,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let (what, receipt) = if let Some(named) = &arguments.dataset {
        let dataset = owner.dataset(named)?;
        let registry = owner.registry(data_dir).await?;
        (format!("every grant of {}", dataset.id), registry.revoke_all(dataset.root).await?)
    } else {
        let id = arguments.grant.context("name the grant, or --dataset")?;
        let consents = owner.place.consents().await?;
        let other = |owners: Address| owners != owner.wallet.address();
        if let Some((_, held)) = consents.grants().into_iter().find(|(known, _)| *known == id)
            && other(held.grant.owner)
        {
            anyhow::bail!("grant {id} is {}'s: only its owner revokes it", held.grant.owner);
        }
        (format!("grant {id}"), owner.registry(data_dir).await?.revoke(id).await?)
    };
    let transaction = receipt.transaction_hash;
    output.answer(&json!({ "revoked": what, "transaction": transaction }), || {
        format!(
            "revoked {what}\n  future use and pay stop now; what was trained before stays trained"
        )
    })
}
