//! What every stage stands on: the resumable machine, its token, its keys and its clock. Knows no stage.

pub mod clock;
pub mod error;
pub mod job;
pub mod key;
pub mod machine;
pub mod network;
pub mod token;

pub use clock::{Clock, Timestamp};
pub use error::{Failure, FailureKind, StageError};
pub use job::Job;
pub use key::ExecutionKey;
pub use machine::{Machine, Outcome, Progress, Slice, Step};
pub use network::Network;
pub use token::Token;
