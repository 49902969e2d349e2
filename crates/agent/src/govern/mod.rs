//! Vote for an owner by a written policy.

use alloy::sol;

sol! {
    #![sol(all_derives)]
    /// OpenZeppelin's `Governor`.
    function castVoteWithReason(uint256 proposalId, uint8 support, string reason) external returns (uint256 weight);
}
