//! What the judge does and costs, by simulation with fixed seeds. `scripts/bench judge` runs it.
//!
//! Cells in which theory promises a bound are asserted; the others are printed.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts"
)]

mod detection;
mod false_alarms;
mod passing;
mod random;
mod rollout;
mod speed;

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    speed::table(&mut out)?;
    detection::table(&mut out)?;
    passing::table(&mut out)?;
    false_alarms::table(&mut out)?;
    out.flush()
}
