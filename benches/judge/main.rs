//! What the judge does and costs, by simulation with fixed seeds. `scripts/bench judge` runs it.

mod speed;

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    speed::table(&mut out)?;
    out.flush()
}
