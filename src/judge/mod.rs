//! The canary judge: whether a new image does harm, said at any look, with a known chance to be wrong.
//!
//! Pure: no IO, no clock, no randomness. [`Judge`] takes the rules and, one after the other, the windows of a
//! rollout; [`Judge::look`] answers with a verdict and every number behind it. docs/judge.md has the method, its proof and its cost.
//! [`compare`] and [`kayenta`] are the comparison that Kayenta makes, for teams that migrate: shown beside the verdict, never gating.

pub mod compare;
pub mod counts;
pub mod curve;
pub mod gauge;
pub mod guard;
pub mod holding;
pub mod kayenta;
mod metric;
pub mod normal;
pub mod ranks;
pub mod recording;
mod rollout;
pub mod rules;
pub mod share;
pub mod spending;
pub mod verdict;
pub mod window;

pub use rollout::{Judge, judge};
pub use rules::{Rules, RulesError};
pub use verdict::{Look, Verdict};
pub use window::Window;
