//! Signed statements about a release: in-toto Statements in DSSE envelopes, the keys that may sign them, and the
//! chain that links them.
//!
//! Every stage adds one statement to its artifact. A stage reads the statements before it only through
//! [`chain::verify`]: an [`Envelope`] gives its payload to nobody until a key of a [`TrustRoot`] has verified it,
//! and a [`Statement`] is parsed from the same bytes that were verified.
//!
//! Nothing here reads a clock: the time of signing or of verification is an argument.

pub mod chain;
pub mod container;
mod digest_set;
pub mod dsse;
pub mod image;
pub mod key;
pub mod key_source;
pub mod layout;
pub mod link;
mod pem;
pub mod predicate;
mod purpose;
pub mod resource;
pub mod signer;
pub mod statement;
#[cfg(test)]
mod testing;
pub mod trust;

pub use crate::digest::Sha256;
pub use chain::{Chain, ChainError, Expectation, NamedBytes, Refusal, verify};
pub use container::ContainerIdentity;
pub use dsse::Envelope;
pub use image::{Binding, ImageIdentity};
pub use key::PublicKey;
pub use key_source::KeySource;
pub use link::{Link, Run, Stage, System};
pub use purpose::Purpose;
pub use resource::ResourceDescriptor;
pub use signer::{SignError, Signer, seal};
pub use statement::{Statement, StatementError};
pub use trust::{TrustError, TrustRoot, VerifyError};
