//! The one integration binary: each further one would link the AWS SDKs again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod architecture;
mod chaos;
mod crash;
mod hostile;
mod independent;
mod kill;
mod line;
mod support;
mod surface;
mod trail;
mod work;
