//! What is said and signed in Vouch, and the pure machines over it.
