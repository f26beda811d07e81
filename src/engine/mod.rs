//! The engine under every stage: the resumable state machine, its token, keys, clock and errors. It knows no stage.

pub mod clock;
pub mod error;
pub mod failure;
pub mod job;
pub mod key;
pub mod machine;
pub mod network;
pub mod token;
pub mod transition;

pub use clock::{Clock, Timestamp};
pub use error::{ErrorClass, ModuleError, StageError};
pub use failure::{Failure, FailureKind};
pub use job::Job;
pub use key::ExecutionKey;
pub use machine::{Machine, Outcome, Progress, Slice, Step};
pub use network::Network;
pub use token::Token;
