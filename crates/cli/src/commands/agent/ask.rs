//! `vouch agent ask`.

use std::{path::Path, time::Duration};

use alloy_primitives::B256;
use serde_json::json;
use vouch_buyer::Question;

use super::{MANDATE, asker::Asker, client, connect, home, read_grant};
use crate::{arguments::agent::AgentAsk, commands::ask, money::Dollars, output::Output};

pub(super) async fn run(
    arguments: AgentAsk,
    data_dir: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let home = home(data_dir, &arguments.name)?;
    let mandate = read_grant(&home.join(MANDATE))?.mandate;
    let signer = client(arguments.signer.as_ref(), &home);
    let connect = connect(arguments.connect.as_ref(), data_dir);
    let question = Question {
        model: arguments.model,
        sourced: arguments.sources,
        system: arguments.system,
        max_tokens: Some(arguments.max_tokens),
        temperature: arguments.temperature,
        seed: arguments.seed,
        patience: Duration::ZERO,
        ..Question::new(arguments.question)
    };
    let most = arguments.max_charge.map(|Dollars(most)| most);
    let asker = Asker::new(signer, &mandate, connect, data_dir, B256::ZERO);
    let asked = asker.ask(question, most, |_| String::new(), output).await?;
    let mut value = ask::value(&asked.answer);
    value["ask"] = json!(asked.ask);
    value["aside"] = json!(asked.aside.to_string());
    value["act"] = json!(asked.act);
    output.answer(&value, || {
        let charge = asked.answer.bundle.receipt.charge;
        format!(
            "{}\nset aside {} by act {}\nact       {}, which gave {} back",
            ask::shown(&asked.answer, None),
            Dollars(asked.aside),
            asked.ask,
            asked.act,
            Dollars(asked.aside.saturating_sub(charge)),
        )
    })
}
