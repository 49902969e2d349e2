//! Keys and what they may sign: keystore files and budgets.
