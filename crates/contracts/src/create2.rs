//! Deployment at addresses that follow from the code (CREATE2, EIP-1014), by the proxy that stands
//! on every network.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
};

use crate::{Error, addresses::CREATE2_PROXY, receipt};

/// Where the proxy puts a contract.
pub(crate) fn address(salt: B256, creation: &[u8]) -> Address {
    CREATE2_PROXY.create2_from_code(salt, creation)
}

/// Deploys a contract unless it stands already, and waits until it does.
///
/// That there is code is enough to know which: the address commits to the init code.
pub(crate) async fn deploy(
    provider: &DynProvider,
    from: Address,
    contract: &'static str,
    salt: B256,
    address: Address,
    creation: &Bytes,
) -> Result<(), Error> {
    if has_code(provider, address).await? {
        return Ok(());
    }
    let data = [salt.as_slice(), creation].concat();
    let request =
        TransactionRequest::default().with_from(from).with_to(CREATE2_PROXY).with_input(data);
    let sent = provider.send_transaction(request).await.map_err(Error::rpc("a deployment"))?;
    receipt::deployed(contract, sent).await?;
    require_code(provider, contract, address).await?;
    tracing::info!(contract, %address, "deployed");
    Ok(())
}

/// Refuses a network without the proxy.
pub(crate) async fn require_proxy(provider: &DynProvider) -> Result<(), Error> {
    if has_code(provider, CREATE2_PROXY).await? {
        return Ok(());
    }
    Err(Error::NoProxy { proxy: CREATE2_PROXY })
}

/// Refuses an address without code.
pub(crate) async fn require_code(
    provider: &DynProvider,
    contract: &'static str,
    address: Address,
) -> Result<(), Error> {
    if has_code(provider, address).await? {
        return Ok(());
    }
    Err(Error::NoCode { contract, address })
}

pub(crate) async fn has_code(provider: &DynProvider, address: Address) -> Result<bool, Error> {
    let code =
        provider.get_code_at(address).await.map_err(Error::rpc("a question for a contract"))?;
    Ok(!code.is_empty())
}
