//! How fast an image's blocks become its content digest, without what their transfer takes: `cargo bench --bench content`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement in real time"
)]

use std::time::Instant;

use bakeline::engine::StageError;
use bakeline::stage::content::chain::{BLOCK_SIZE, BlockHasher, Chain};
use bakeline::stage::content::read::{Listed, chained};

const BLOCKS: u32 = 8192;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for threads in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build()?;
        for (what, byte) in [("data", 0xa5_u8), ("zeros", 0)] {
            let block: std::sync::Arc<[u8]> = vec![byte; BLOCK_SIZE].into();
            let read = move |_| {
                let block = block.clone();
                async move {
                    let mut summing = BlockHasher::default();
                    // As hyper hands a body over.
                    for chunk in block.chunks(16 << 10) {
                        summing.update(chunk);
                    }
                    let sum = summing.finish().map(|(_, sum)| sum);
                    sum.ok_or_else(|| StageError::Bug("a block that is not whole".into()))
                }
            };
            let began = Instant::now();
            let listed = (0..BLOCKS).map(Listed::at).collect();
            let chain = runtime.block_on(chained(Chain::default().volume("/dev/xvda", 8), listed, read))?;
            let took = began.elapsed().as_secs_f64();
            let gib = f64::from(BLOCKS) / 2048.0;
            println!(
                "{threads} threads, {what}: {:.2} GiB/s ({gib} GiB in {took:.2} s, {})",
                gib / took,
                chain.digest()
            );
        }
    }
    Ok(())
}
