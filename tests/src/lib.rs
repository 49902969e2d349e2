//! Start the real `vouch` binary in a temporary directory, talk to it, and stop it.
