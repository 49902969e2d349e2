//! MetaMask's Delegation Framework (ERC-7710, EIP-7702) and our caveat.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "the Solidity interfaces are documented at their source"
)]

use alloy::sol;

sol! {
    /// Checks delegations and has the delegator's account execute under their caveats.
    #[sol(rpc, abi, all_derives)]
    interface DelegationManager {
        struct Delegation {
            address delegate;
            address delegator;
            bytes32 authority;
            Caveat[] caveats;
            uint256 salt;
            bytes signature;
        }

        struct Caveat {
            address enforcer;
            bytes terms;
            bytes args;
        }

        event DisabledDelegation(bytes32 indexed delegationHash, address indexed delegator, address indexed delegate, Delegation delegation);
        event EnabledDelegation(bytes32 indexed delegationHash, address indexed delegator, address indexed delegate, Delegation delegation);
        event RedeemedDelegation(address indexed rootDelegator, address indexed redeemer, Delegation delegation);

        error AlreadyDisabled();
        error AlreadyEnabled();
        error BatchDataLengthMismatch();
        error CannotUseADisabledDelegation();
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
        error EmptySignature();
        error EnforcedPause();
        error ExpectedPause();
        error InvalidAuthority();
        error InvalidDelegate();
        error InvalidDelegator();
        error InvalidEOASignature();
        error InvalidERC1271Signature();
        error InvalidShortString();
        error OwnableInvalidOwner(address owner);
        error OwnableUnauthorizedAccount(address account);
        error StringTooLong(string str);

        function redeemDelegations(bytes[] calldata permissionContexts, bytes32[] calldata modes, bytes[] calldata executionCallDatas) external;
        function enableDelegation(Delegation calldata delegation) external;
        function disableDelegation(Delegation calldata delegation) external;
        function disabledDelegations(bytes32 delegationHash) external view returns (bool isDisabled);
        function getDelegationHash(Delegation calldata input) external pure returns (bytes32);
        function getDomainHash() external view returns (bytes32);
        function ROOT_AUTHORITY() external view returns (bytes32);
        function ANY_DELEGATE() external view returns (address);
        function owner() external view returns (address);
        function paused() external view returns (bool);
    }

    /// The code that an account of its own key delegates to by EIP-7702.
    #[sol(rpc, abi, all_derives)]
    interface EIP7702StatelessDeleGator {
        struct Delegation {
            address delegate;
            address delegator;
            bytes32 authority;
            Caveat[] caveats;
            uint256 salt;
            bytes signature;
        }

        struct Caveat {
            address enforcer;
            bytes terms;
            bytes args;
        }

        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
        error ExecutionFailed();
        error InvalidEIP712NameLength();
        error InvalidEIP712VersionLength();
        error InvalidShortString();
        error NotDelegationManager();
        error NotEntryPoint();
        error NotEntryPointOrSelf();
        error NotSelf();
        error StringTooLong(string str);
        error UnauthorizedCallContext();
        error UnsupportedCallType(bytes1 callType);
        error UnsupportedExecType(bytes1 execType);

        function delegationManager() external view returns (address);
        function entryPoint() external view returns (address);
        function disableDelegation(Delegation calldata delegation) external;
        function enableDelegation(Delegation calldata delegation) external;
        function isDelegationDisabled(bytes32 delegationHash) external view returns (bool);
        function executeFromExecutor(bytes32 mode, bytes calldata executionCalldata) external payable returns (bytes[] memory returnData);
        function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue);
        function supportsExecutionMode(bytes32 mode) external view returns (bool);
    }

    /// Counts a delegation's redemptions.
    #[sol(rpc, abi, all_derives)]
    interface LimitedCallsEnforcer {
        event IncreasedCount(address indexed sender, address indexed redeemer, bytes32 indexed delegationHash, uint256 limit, uint256 callCount);

        function callCounts(address delegationManager, bytes32 delegationHash) external view returns (uint256 count);
        function getTermsInfo(bytes calldata terms) external pure returns (uint256 limit);
    }

    /// Bounds what ERC-20 `transfer`s send in each period.
    #[sol(rpc, abi, all_derives)]
    interface ERC20PeriodTransferEnforcer {
        event TransferredInPeriod(address indexed sender, address indexed redeemer, bytes32 indexed delegationHash, address token, uint256 periodAmount, uint256 periodDuration, uint256 startDate, uint256 transferredInCurrentPeriod, uint256 transferTimestamp);

        function getAvailableAmount(bytes32 delegationHash, address delegationManager, bytes calldata terms) external view returns (uint256 availableAmount, bool isNewPeriod, uint256 currentPeriod);
        function getTermsInfo(bytes calldata terms) external pure returns (address token, uint256 periodAmount, uint256 periodDuration, uint256 startDate);
        function periodicAllowances(address delegationManager, bytes32 delegationHash) external view returns (uint256 periodAmount, uint256 periodDuration, uint256 startDate, uint256 lastTransferPeriod, uint256 transferredInCurrentPeriod);
    }

    /// Ours: bounds the decrease of a balance in each period, whatever is called.
    #[sol(rpc, abi, all_derives)]
    interface SpendPerPeriodEnforcer {
        struct Terms {
            address account;
            address token;
            uint256 amount;
            uint256 period;
            uint256 start;
            bytes32 salt;
        }

        event Spent(address indexed manager, address indexed delegator, bytes32 indexed key, uint256 period, uint256 amount, uint256 sum);

        error InvalidTerms();
        error NotStarted(uint256 start);
        error SpendAboveLimit(uint256 sum, uint256 limit);

        function TERMS_LENGTH() external view returns (uint256);
        function afterAllHook(bytes calldata terms, bytes calldata, bytes32, bytes calldata, bytes32, address delegator, address) external;
        function afterHook(bytes calldata, bytes calldata, bytes32, bytes calldata, bytes32, address, address) external pure;
        function available(address manager, address delegator, bytes calldata terms) external view returns (uint256);
        function beforeAllHook(bytes calldata terms, bytes calldata, bytes32, bytes calldata, bytes32, address delegator, address) external;
        function beforeHook(bytes calldata, bytes calldata, bytes32, bytes calldata, bytes32, address, address) external pure;
        function getTermsInfo(bytes calldata terms) external pure returns (Terms memory parsed);
        function keyOf(address manager, address delegator, bytes calldata terms) external pure returns (bytes32);
        function spendings(bytes32 key) external view returns (uint128 period, uint128 amount);
    }
}

/// What a delegator signs, in the manager's EIP-712 domain
/// `{name: "DelegationManager", version: "1", chainId, verifyingContract}`.
pub mod typed {
    use super::{DelegationManager, sol};

    sol! {
        /// A caveat without its `args`, which the redeemer adds.
        #[derive(Debug, Default, PartialEq, Eq)]
        struct Caveat {
            address enforcer;
            bytes terms;
        }

        /// A delegation without its signature.
        #[derive(Debug, Default, PartialEq, Eq)]
        struct Delegation {
            address delegate;
            address delegator;
            bytes32 authority;
            Caveat[] caveats;
            uint256 salt;
        }
    }

    impl From<&DelegationManager::Delegation> for Delegation {
        fn from(delegation: &DelegationManager::Delegation) -> Self {
            let caveat = |caveat: &DelegationManager::Caveat| Caveat {
                enforcer: caveat.enforcer,
                terms: caveat.terms.clone(),
            };
            Self {
                delegate: delegation.delegate,
                delegator: delegation.delegator,
                authority: delegation.authority,
                caveats: delegation.caveats.iter().map(caveat).collect(),
                salt: delegation.salt,
            }
        }
    }
}
