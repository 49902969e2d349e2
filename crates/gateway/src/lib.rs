//! The provider's side: paywall, model API, log.
