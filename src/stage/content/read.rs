//! Reads the blocks of an image: in parallel, hashed in their order, in pieces that fit in one slice.

use aws_sdk_ebs::Client as Ebs;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use tokio_util::task::AbortOnDropHandle;

use super::chain::{BLOCK_SIZE, BLOCKS_PER_GIB, BlockDigest, BlockHasher, Chain, Position};
use super::cost::{BlockCount, PIECE};
use super::error::ContentError;
use crate::aws::{AwsError, Class, ServiceError};
use crate::digest::Sha256;
use crate::engine::StageError;

/// Blocks read in parallel: at most 32 MiB are in memory. EBS allows an account 1,000 reads a second.
const PARALLEL_READS: usize = 64;

/// A volume of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub device: String,
    pub snapshot: String,
    /// Size in GiB.
    pub gib: u32,
}

/// The volumes of an image in the order of their devices.
///
/// # Errors
/// EC2 fails, does not find the image, or does not report the snapshot or the size of a volume.
pub async fn volumes(ec2: &aws_sdk_ec2::Client, image: &str) -> Result<Vec<Volume>, StageError> {
    let answer = ec2.describe_images().image_ids(image).send().await;
    let answer =
        answer.map_err(|error| stale_if_missing(AwsError::new("ec2:DescribeImages", image, error)))?;
    let found = answer.images.unwrap_or_default().into_iter().next();
    let found = found.ok_or_else(|| ContentError::NotFound { image: image.to_owned() })?;
    let mut volumes = Vec::new();
    for mapping in found.block_device_mappings.unwrap_or_default() {
        let Some(ebs) = mapping.ebs else { continue };
        let gib = ebs.volume_size.and_then(|size| u32::try_from(size).ok());
        let (Some(device), Some(snapshot), Some(gib)) = (mapping.device_name, ebs.snapshot_id, gib) else {
            return Err(ContentError::IncompleteVolume { image: image.to_owned() }.into());
        };
        volumes.push(Volume { device, snapshot, gib });
    }
    if volumes.is_empty() {
        return Err(ContentError::NoVolume { image: image.to_owned() }.into());
    }
    volumes.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(volumes)
}

/// An object that was found before and is missing now: a stale read.
fn stale_if_missing(error: AwsError) -> StageError {
    if error.class == Class::Missing { StageError::RetryLater(error) } else { error.into() }
}

/// Counts the written blocks of an image.
///
/// # Errors
/// EBS fails or refuses.
pub async fn count_blocks(ebs: &Ebs, volumes: &[Volume]) -> Result<BlockCount, StageError> {
    let mut counted = BlockCount::default();
    for volume in volumes {
        let call = ebs.list_snapshot_blocks().snapshot_id(&volume.snapshot).max_results(10_000);
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| list_error(volume, error))?;
            let blocks = page.blocks.map_or(0, |blocks| blocks.len());
            let blocks = u64::try_from(blocks).unwrap_or(u64::MAX);
            counted = counted + BlockCount { blocks, lists: 1 };
        }
    }
    Ok(counted)
}

fn list_error<E: ServiceError>(volume: &Volume, error: SdkError<E, HttpResponse>) -> StageError {
    stale_if_missing(AwsError::new("ebs:ListSnapshotBlocks", &volume.snapshot, error))
}

/// The progress of a read after one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    /// More blocks follow from this position.
    Partial(Position),
    /// The digest of the whole image.
    Complete(Sha256),
}

/// Reads one piece of blocks from a position.
///
/// # Errors
/// EBS fails or refuses, or its response is inconsistent: blocks out of order, an incomplete block or a wrong checksum.
pub async fn read_piece(ebs: &Ebs, volumes: &[Volume], at: Position) -> Result<ReadProgress, StageError> {
    let Some(volume) = volumes.get(usize::from(at.volume)) else {
        return Ok(ReadProgress::Complete(at.chain.digest()));
    };
    let chain = if at.next == 0 { at.chain.volume(&volume.device, volume.gib) } else { at.chain };
    let (blocks, more) = listed(ebs, volume, at.next).await?;
    let next = blocks.last().map_or(at.next, |last| last.index.saturating_add(1));
    let (ebs, snapshot) = (ebs.clone(), volume.snapshot.clone());
    let chain = chained(chain, blocks, move |block| fetch(ebs.clone(), snapshot.clone(), block)).await?;
    if more {
        return Ok(ReadProgress::Partial(Position { volume: at.volume, next, chain }));
    }
    let next_volume = Position { volume: at.volume.saturating_add(1), next: 0, chain };
    let last = usize::from(next_volume.volume) >= volumes.len();
    Ok(if last { ReadProgress::Complete(chain.digest()) } else { ReadProgress::Partial(next_volume) })
}

/// The part of the volumes before a position, in percent.
#[must_use]
pub fn percent(volumes: &[Volume], at: Position) -> u64 {
    let size = |volume: &Volume| u64::from(volume.gib).saturating_mul(BLOCKS_PER_GIB);
    let all: u64 = volumes.iter().map(size).sum();
    let before: u64 = volumes.iter().take(usize::from(at.volume)).map(size).sum();
    before.saturating_add(u64::from(at.next)).saturating_mul(100).checked_div(all).unwrap_or(100).min(100)
}

/// A block as EBS lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub index: u32,
    token: String,
}

impl Listed {
    /// A listed block without a token, for benchmarks.
    #[must_use]
    pub const fn at(index: u32) -> Self {
        Self { index, token: String::new() }
    }
}

/// Lists the next piece of a volume's blocks, and says whether more follow. Skips empty pages.
async fn listed(ebs: &Ebs, volume: &Volume, from: u32) -> Result<(Vec<Listed>, bool), StageError> {
    let inconsistent = |what| ContentError::InconsistentList { what, snapshot: volume.snapshot.clone() };
    let start = i32::try_from(from).map_err(|_| inconsistent("a block beyond the end of a volume"))?;
    // EBS refuses a start index at the end of the volume.
    if u64::from(from) >= u64::from(volume.gib).saturating_mul(BLOCKS_PER_GIB) {
        return Ok((Vec::new(), false));
    }
    let max = i32::try_from(PIECE).unwrap_or(i32::MAX);
    let call = ebs.list_snapshot_blocks().snapshot_id(&volume.snapshot).max_results(max);
    let mut pages = call.starting_block_index(start).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| list_error(volume, error))?;
        if page.block_size.is_some_and(|size| usize::try_from(size) != Ok(BLOCK_SIZE)) {
            let snapshot = volume.snapshot.clone();
            return Err(ContentError::BlockSize { snapshot, expected: BLOCK_SIZE }.into());
        }
        let more = page.next_token.is_some();
        let mut blocks = Vec::new();
        for block in page.blocks.unwrap_or_default() {
            let index = block.block_index.and_then(|index| u32::try_from(index).ok());
            let (Some(index), Some(token)) = (index, block.block_token) else {
                return Err(inconsistent("a block without index or token").into());
            };
            let least = blocks.last().map_or(from, |last: &Listed| last.index.saturating_add(1));
            if index < least {
                return Err(inconsistent("blocks out of order").into());
            }
            blocks.push(Listed { index, token });
        }
        if !blocks.is_empty() || !more {
            return Ok((blocks, more));
        }
    }
    Ok((Vec::new(), false))
}

/// Reads blocks in parallel and adds them to the chain in their order.
///
/// # Errors
/// The first block that cannot be read.
pub async fn chained<F, R>(chain: Chain, blocks: Vec<Listed>, read: F) -> Result<Chain, StageError>
where
    F: Fn(Listed) -> R,
    R: Future<Output = Result<BlockDigest, StageError>> + Send + 'static,
{
    futures::stream::iter(blocks)
        .map(|block| {
            let index = block.index;
            // A task for each block: hashing uses every core.
            let task = AbortOnDropHandle::new(tokio::spawn(read(block)));
            async move {
                let sum = task.await.map_err(|source| ContentError::Aborted { index, source })?;
                Ok((index, sum?))
            }
        })
        .buffered(PARALLEL_READS)
        .try_fold(chain, |chain, (index, sum)| async move { Ok(chain.block(index, sum)) })
        .await
}

async fn fetch(ebs: Ebs, snapshot: String, block: Listed) -> Result<BlockDigest, StageError> {
    let index = i32::try_from(block.index).unwrap_or(i32::MAX);
    let name = || format!("block {} of {snapshot}", block.index);
    let call = ebs.get_snapshot_block().snapshot_id(&snapshot).block_index(index).block_token(&block.token);
    let answer = call.send().await;
    let mut answer =
        answer.map_err(|error| stale_if_missing(AwsError::new("ebs:GetSnapshotBlock", name(), error)))?;
    let mut hasher = BlockHasher::default();
    while let Some(chunk) = answer.block_data.next().await {
        let chunk = chunk.map_err(|source| ContentError::CutOff { block: name(), source })?;
        hasher.update(&chunk);
    }
    let (digest, sum) = hasher.finish().ok_or_else(|| ContentError::Incomplete { block: name() })?;
    if answer.checksum.as_deref() != Some(STANDARD.encode(digest.as_bytes()).as_str()) {
        return Err(ContentError::Checksum { block: name() }.into());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_counts_the_blocks_before_the_position() {
        let volume = |gib| Volume { device: "/dev/xvda".into(), snapshot: "snap-1".into(), gib };
        let at = |volume, next| Position { volume, next, ..Position::default() };
        for (volumes, position, expected) in [
            (vec![volume(8)], at(0, 0), 0),
            (vec![volume(8)], at(0, 4096), 25),
            (vec![volume(8), volume(24)], at(1, 2048), 28),
            (vec![volume(8)], at(1, 0), 100),
            (vec![volume(8)], at(0, u32::MAX), 100),
            (vec![], at(0, 0), 100),
        ] {
            assert_eq!(percent(&volumes, position), expected);
        }
    }
}
