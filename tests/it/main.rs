//! The one integration binary: each further one would link the AWS SDKs again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::items_after_statements,
    clippy::format_collect,
    clippy::too_many_lines,
    reason = "tests fail loudly, and a table of cases is as long as its cases"
)]

mod architecture;
mod bake;
mod chaos;
mod checks;
mod conformance;
mod cleanup;
mod containers;
mod content;
mod crash;
mod crash_checks;
mod doctor;
mod hostile;
mod independent;
mod kill;
mod line;
mod process;
mod promote;
mod reap;
mod scenarios;
mod storm;
mod support;
mod surface;
mod target;
mod tasks;
mod trail;
mod transitions;
mod twice;
mod unwinding;
mod work;
