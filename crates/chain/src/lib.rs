//! The embedded EVM chain: blocks, state, pool, and its JSON-RPC.
