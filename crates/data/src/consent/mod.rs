//! Who may use what, for what, at what price: grants, the registry on the chain, and a view of it
//! that answers in memory.
//!
//! ```text
//!  terms (TOML) ──▶ Grant ──sign──▶ ConsentRegistry ──events──▶ Consents ──▶ allows? (default deny)
//! ```
//! A use is checked when it starts *and* when it settles: [`Consents::check`] both times. Revoking
//! stops future use and future pay; it does not untrain what was trained before.

mod denial;
mod events;
mod grant;
mod registry;
mod view;

pub use denial::Denial;
pub use events::{Event, events};
pub use grant::{Grant, Purpose, Terms};
pub use registry::Registry;
pub use view::{Clock, Consents, Dataset, Held, Use};

pub(crate) use events::logs;
pub(crate) use registry::signing;
