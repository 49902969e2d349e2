//! What each owner's data is worth to a model, and a classifier trained on it.
//!
//! ```text
//!  granted sets ──▶ without copies ──▶ embeddings, labels ──┬──▶ classifier ──▶ identity, accuracy
//!                                                           │
//!  committed validation set ────────────────────────────────┴──▶ KNN-Shapley ──▶ values, error
//!                                                                      │ negatives clipped to 0
//!                                                                      ▼
//!                                               weights (sum 10^18) ──▶ the pot, to the last unit
//! ```
//! KNN-Shapley is exact: Jia et al., "Efficient Task-Specific Data Valuation for Nearest Neighbor
//! Algorithms" (PVLDB 2019), theorem 1. No method of valuation penalises a copy, so copies are taken
//! out first; the earliest by the stated order stays.

mod apportion;
mod classifier;
mod config;
mod copies;
mod examples;
mod receipt;
mod shapley;
mod train;

pub use apportion::{PARTS, apportion, weights};
pub use classifier::Classifier;
pub use config::{Config, SetConfig, Validation, validation_hash};
pub use copies::{Copies, remove_copies};
pub use examples::Examples;
pub use receipt::{Draft, Opening, UseDraft, UseOpening};
pub use shapley::{OwnerValue, Values, knn_shapley};
pub use train::{OwnerReport, Report, Set, Trained, train};
