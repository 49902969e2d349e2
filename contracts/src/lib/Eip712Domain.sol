// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title EIP-712 domains that need no constructor
/// @notice The domain `(name, version, chainId, verifyingContract)`, computed on each call.
/// @dev OpenZeppelin's `EIP712` keeps the strings and a cache in immutables, which a constructor writes into
///      the code. Our contracts are also placed in a genesis as bare runtime code, where no constructor runs.
///      Computing costs about 300 gas a call; no cache also means none to invalidate after a fork.
library Eip712Domain {
    bytes32 internal constant TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @notice The separator of this contract's domain. Pass constant hashes.
    function separator(bytes32 nameHash, bytes32 versionHash) internal view returns (bytes32) {
        return keccak256(abi.encode(TYPEHASH, nameHash, versionHash, block.chainid, address(this)));
    }

    /// @notice The same domain as ERC-5267 describes it.
    function describe(string memory name_, string memory version_)
        internal
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        // 0x0f: the first four fields are present, salt is not.
        return (hex"0f", name_, version_, block.chainid, address(this), bytes32(0), new uint256[](0));
    }
}
