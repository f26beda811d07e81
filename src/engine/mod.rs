//! What every stage stands on: the resumable machine, its token, its keys and its clock. Knows no stage.

pub mod clock;
pub mod error;
pub mod job;
pub mod key;
pub mod machine;
pub mod token;

pub use clock::{Clock, Timestamp};
pub use error::{Failure, FailureKind, StageError};
pub use job::Job;
pub use key::ExecutionKey;
pub use machine::{Machine, Outcome, Progress, Slice, Step};
pub use token::Token;
