//! What is called that `vouch_contracts` has no bindings for.

#![allow(missing_docs, reason = "documented at their source")]

use alloy::sol;

sol! {
    /// ERC-7579.
    struct Execution { address target; uint256 value; bytes callData; }

    /// That a part of a mandate was handed on in an act: what the agent signs.
    struct Handed {
        bytes32 mandate;
        uint256 permission;
        uint256 limit;
        uint256 before;
        uint256 dollars;
        bytes32 receipt;
    }

    /// The 7702 account: itself calls this.
    interface Account {
        function execute(bytes32 mode, bytes executionCalldata) external payable;
    }

    /// Multicall3.
    #[sol(rpc)]
    interface Multicall {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Result { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Result[] returnData);
        function getEthBalance(address account) external view returns (uint256 balance);
    }
}
