//! Follows the chain: deposits in, claims and anchors out.
