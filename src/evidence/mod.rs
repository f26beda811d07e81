//! Signed statements about a release: in-toto Statements in DSSE envelopes, who may sign them, and the
//! chain in which they stand.
//!
//! Every stage leaves one statement in its artifact. A stage reads the statements before it through
//! [`chain::verify`] and in no other way: an [`Envelope`] keeps its payload to itself until a key of a
//! [`TrustRoot`] has verified it, and a [`Statement`] is parsed from the very bytes that were verified.
//!
//! Nothing here reads a clock: the time at which something is signed or judged is an argument.

pub mod chain;
pub mod container;
pub mod dsse;
pub mod image;
pub mod key;
pub mod key_source;
pub mod link;
pub mod predicate;
pub mod signer;
pub mod statement;
#[cfg(test)]
mod testing;
pub mod trust;

pub use crate::digest::Sha256;
pub use chain::{Chain, ChainError, Expectation, NamedBytes, Refusal, verify};
pub use container::ContainerIdentity;
pub use dsse::Envelope;
pub use image::{Bound, ImageIdentity};
pub use key::PublicKey;
pub use key_source::KeySource;
pub use link::{Link, Stage};
pub use signer::{SignError, Signer, seal};
pub use statement::{ResourceDescriptor, Statement, StatementError};
pub use trust::{TrustError, TrustRoot, VerifyError};
