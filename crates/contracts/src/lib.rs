//! The Rust face of the Solidity contracts: bindings, artefacts, deployment.
