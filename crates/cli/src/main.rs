//! The `vouch` command: the only place that wires parts together.
fn main() {}
