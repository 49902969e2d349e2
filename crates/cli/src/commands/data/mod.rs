//! `vouch data`: publish, serve, grant, revoke, list, earnings, settle, register, royalties,
//! index, train.

mod challenge;
mod earnings;
mod fetch;
mod grant;
mod index;
mod list;
mod owner;
mod publish;
mod register;
mod royalties;
mod serve;
mod settle;
mod train;
mod trainer;
mod uses;

use std::path::Path;

use crate::{arguments::data::Data, output::Output};

pub(crate) async fn run(arguments: Data, data_dir: &Path, output: Output) -> anyhow::Result<()> {
    match arguments {
        Data::Publish(publish) => publish::run(publish, data_dir, output).await,
        Data::Serve(serve) => serve::run(serve, data_dir, output).await,
        Data::Grant(grant) => grant::grant(grant, data_dir, output).await,
        Data::Revoke(revoke) => grant::revoke(revoke, data_dir, output).await,
        Data::List(list) => list::run(list, data_dir, output).await,
        Data::Earnings(earnings) => earnings::run(earnings, data_dir, output).await,
        Data::Settle(settle) => settle::run(settle, data_dir, output).await,
        Data::Register(register) => register::run(register, data_dir, output).await,
        Data::Royalties(royalties) => royalties::run(royalties, data_dir, output).await,
        Data::Index(index) => index::run(index, data_dir, output).await,
        Data::Train(train) => train::run(train, data_dir, output).await,
    }
}
