//! `vouch data list`.

use std::path::Path;

use serde_json::json;

use super::{grant::describe, owner::Owner};
use crate::{arguments::data::List, output::Output, time::unix_seconds};

pub(super) async fn run(arguments: List, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let owner = Owner::open(&arguments.on, data_dir).await?;
    let account = owner.wallet.address();
    let consents = owner.place.consents().await?;
    let mine = |of| arguments.all || of == account;
    let mut datasets = consents.datasets();
    datasets.retain(|(_, dataset)| mine(dataset.owner));
    let mut grants = consents.grants();
    grants.retain(|(_, held)| mine(held.grant.owner));
    let name = |id| owner.library.get(id).map(|dataset| dataset.card.field("name")).ok();
    let now = unix_seconds();
    let state = |held: &vouch_data::consent::Held| match held {
        held if held.revoked => "revoked",
        held if now < held.grant.start => "not started",
        held if now >= held.grant.end => "ended",
        _ => "runs",
    };
    let value = json!({
        "owner": account,
        "datasets": datasets.iter().map(|(id, dataset)| json!({
            "id": id, "name": name(*id), "owner": dataset.owner, "root": dataset.root, "card": dataset.card,
        })).collect::<Vec<_>>(),
        "grants": grants.iter().map(|(id, held)| json!({
            "id": id, "state": state(held), "grant": held.grant,
        })).collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let mut lines = vec![format!("owner {account}")];
        for (id, dataset) in &datasets {
            let name = name(*id).unwrap_or_else(|| format!("of {}", dataset.owner));
            lines.push(format!("dataset {id}  {name}"));
        }
        for (id, held) in &grants {
            lines.push(format!("grant {id}  {}\n{}", state(held), describe(&held.grant)));
        }
        if datasets.is_empty() {
            lines.push("no dataset yet: `vouch data publish` makes one".into());
        }
        lines.join("\n")
    })
}
