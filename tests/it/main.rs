//! The integration tests, in one binary: every further binary would link the AWS SDKs again.
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
mod by_hand;
mod chaos;
mod checks;
mod cleanup;
mod conformance;
mod containers;
mod content;
mod crash;
mod crash_checks;
mod doctor;
mod environments;
mod hostile;
mod independent;
mod kill;
mod partitions;
mod process;
mod promote;
mod reap;
mod release;
mod scenarios;
mod sources;
mod storm;
mod support;
mod surface;
mod tasks;
mod trail;
mod transitions;
mod twice;
mod unwinding;
mod work;
