// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Which keys speak for which provider, in which role, since when
/// @notice A provider's own address always speaks for it, registered keys or not: it is what a buyer knows who never
///         looks here, so no registration makes what it signs worthless. It cannot be declared stolen either:
///         whoever has it registers keys and takes the stake out. Another key speaks for its term, which it has once.
///
///         What a statement says of its time is its signer's word. So a term is read against the provider where
///         the clock is in doubt: it reaches OVERLAP beyond both ends, since promises under way at a rotation
///         carry a later time and clocks differ. Nobody else can be hurt by that: each key is the provider's own.
///
///         A key is declared compromised as of the block that says so, never as of an earlier one. A provider
///         could otherwise contradict itself first and date the theft before it afterwards. What binds itself to
///         an earlier time therefore still counts, even if it is shown after the declaration, for EVIDENCE_WINDOW;
///         what binds itself to a later time never does. Whoever holds a stolen key can date statements back:
///         until the window has passed that is the provider's risk, as it is until the theft is declared.
contract KeyRegistry {
    /// @notice `Receipts` signs promises, `Checkpoints` the logs' checkpoints.
    enum Role {
        Receipts,
        Checkpoints
    }

    /// @notice Unix seconds; zero: not yet.
    struct Term {
        uint64 since;
        uint64 until;
        uint64 compromised;
    }

    /// @notice How far a term reaches beyond its ends.
    uint256 public constant OVERLAP = 1 hours;
    /// @notice How long a statement can be held against whoever made it.
    uint256 public constant EVIDENCE_WINDOW = 14 days;

    mapping(address provider => mapping(Role role => mapping(address key => Term))) public terms;
    mapping(address provider => mapping(Role role => address key)) private _newest;

    event Rotated(address indexed provider, Role indexed role, address indexed key, address former);
    event Compromised(address indexed provider, Role indexed role, address indexed key);

    /// @notice The key is zero, has had its term, or is the provider's own address, which needs none.
    error KeyUnusable(address key);
    error UnknownKey(address key);
    error AlreadyCompromised(address key);

    /// @notice Makes `key` the sender's from now on, and ends the term of the one before.
    function rotate(Role role, address key) external {
        mapping(address key => Term) storage of_ = terms[msg.sender][role];
        if (key == address(0) || key == msg.sender || of_[key].since != 0) revert KeyUnusable(key);
        address former = _newest[msg.sender][role];
        if (former != address(0) && of_[former].until == 0) of_[former].until = uint64(block.timestamp);
        of_[key].since = uint64(block.timestamp);
        _newest[msg.sender][role] = key;
        emit Rotated(msg.sender, role, key, former);
    }

    /// @notice Says that others may sign by a key of the sender's, as of now, and ends its term.
    function declareCompromised(Role role, address key) external {
        Term storage term = terms[msg.sender][role][key];
        if (term.since == 0) revert UnknownKey(key);
        if (term.compromised != 0) revert AlreadyCompromised(key);
        term.compromised = uint64(block.timestamp);
        if (term.until == 0) term.until = uint64(block.timestamp);
        emit Compromised(msg.sender, role, key);
    }

    /// @notice The key that a provider registered last, if its term is under way; else the provider's address.
    function keyOf(address provider, Role role) external view returns (address key) {
        key = _newest[provider][role];
        if (key == address(0) || terms[provider][role][key].until != 0) key = provider;
    }

    /// @notice Whether a promised receipt can be held against `provider`.
    /// @param earliest The earlier of the two times that it binds itself to (the receipt's own, and that by which
    ///        it is logged), in Unix seconds: a later one does not take it out of the key's term.
    /// @param latest The later of them: an earlier one does not make it too old.
    /// @param shown When it was known to exist.
    function answersForReceipt(address provider, address key, uint256 earliest, uint256 latest, uint256 shown)
        external
        view
        returns (bool)
    {
        (bool known, uint256 since, uint256 end, uint64 compromised) = _term(provider, Role.Receipts, key);
        bool fresh = shown <= latest + EVIDENCE_WINDOW && !_isSpent(compromised, shown);
        return known && latest + OVERLAP >= since && earliest <= end && fresh;
    }

    /// @notice Whether a checkpoint can be held against `provider`. It binds itself to no time, so it counts while
    ///         its key's term lasts, and EVIDENCE_WINDOW longer.
    function answersForCheckpoint(address provider, address key, uint256 shown) external view returns (bool) {
        (bool known,, uint256 end,) = _term(provider, Role.Checkpoints, key);
        return known && (end == type(uint256).max || shown <= end + EVIDENCE_WINDOW);
    }

    /// @notice Whether what `key` says it signed at a time is the provider's word in its own defence, which has no
    ///         age. Of a key that was declared compromised it is for EVIDENCE_WINDOW, as what is held against the
    ///         provider; after that the provider promises the receipt anew, by a key that is its own alone.
    function wasKey(address provider, address key, uint256 time) external view returns (bool) {
        if (key == provider) return true;
        Term memory term = terms[provider][Role.Receipts][key];
        bool begun = term.since != 0 && time + OVERLAP >= term.since;
        bool within = begun && (term.until == 0 || time <= term.until + OVERLAP);
        return within && !_isSpent(term.compromised, block.timestamp);
    }

    /// @dev Whether a key was declared compromised so long ago that nothing by it counts any more. A promise says
    ///      two times; a thief can have the earlier before the theft and the later now, for ever.
    function _isSpent(uint64 compromised, uint256 shown) private pure returns (bool) {
        return compromised != 0 && shown > compromised + EVIDENCE_WINDOW;
    }

    function _term(address provider, Role role, address key)
        private
        view
        returns (bool known, uint256 since, uint256 end, uint64 compromised)
    {
        if (key == provider) return (true, 0, type(uint256).max, 0);
        Term memory term = terms[provider][role][key];
        known = term.since != 0;
        since = term.since;
        end = term.until == 0 ? type(uint256).max : term.until + OVERLAP;
        compromised = term.compromised;
        if (compromised != 0 && compromised < end) end = compromised;
    }
}
