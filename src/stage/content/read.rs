//! Reading an image's blocks: many at a time, chained in their order, in pieces that a slice has time for.

use aws_sdk_ebs::Client as Ebs;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use tokio_util::task::AbortOnDropHandle;

use super::cost::{PIECE, Survey};
use super::rule::{BLOCK_SIZE, BLOCKS_PER_GIB, BlockSum, Chain, Position, Summing};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use crate::aws::{AwsError, Class, ServiceError};
use crate::digest::Sha256;
use crate::engine::StageError;

/// Blocks under way at a time: 32 MiB at most are in memory. An account may have a thousand reads a second.
const AT_A_TIME: usize = 64;

/// One volume of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub device: String,
    pub snapshot: String,
    /// Its size.
    pub gib: u32,
}

/// The volumes of an image in the order of their devices.
///
/// # Errors
/// EC2 does not answer, does not find the image, or does not tell a volume's snapshot or size.
pub async fn volumes(ec2: &aws_sdk_ec2::Client, image: &str) -> Result<Vec<Volume>, StageError> {
    let answer = ec2.describe_images().image_ids(image).send().await;
    let answer = answer.map_err(|error| unless_old(AwsError::new("ec2:DescribeImages", image, error)))?;
    let found = answer.images.unwrap_or_default().into_iter().next();
    let found = found.ok_or_else(|| StageError::NotYet(format!("{image} is not found")))?;
    let mut volumes = Vec::new();
    for mapping in found.block_device_mappings.unwrap_or_default() {
        let Some(ebs) = mapping.ebs else { continue };
        let gib = ebs.volume_size.and_then(|size| u32::try_from(size).ok());
        let (Some(device), Some(snapshot), Some(gib)) = (mapping.device_name, ebs.snapshot_id, gib) else {
            return Err(StageError::NotYet(format!("{image} has a volume without name, snapshot or size")));
        };
        volumes.push(Volume { device, snapshot, gib });
    }
    if volumes.is_empty() {
        return Err(StageError::Rejected(format!("{image} has no volume on EBS: it has no content to read")));
    }
    volumes.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(volumes)
}

/// What was seen before and is not found now was looked for in an old state of the world.
fn unless_old(error: AwsError) -> StageError {
    if error.class == Class::Missing { StageError::NotYet(error.to_string()) } else { error.into() }
}

/// Counts what there is to read.
///
/// # Errors
/// EBS does not answer, or refuses.
pub async fn survey(ebs: &Ebs, volumes: &[Volume]) -> Result<Survey, StageError> {
    let mut counted = Survey::default();
    for volume in volumes {
        let call = ebs.list_snapshot_blocks().snapshot_id(&volume.snapshot).max_results(10_000);
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| list_failed(volume, error))?;
            let blocks = page.blocks.map_or(0, |blocks| blocks.len());
            let blocks = u64::try_from(blocks).unwrap_or(u64::MAX);
            counted = counted + Survey { blocks, lists: 1 };
        }
    }
    Ok(counted)
}

fn list_failed<E: ServiceError>(volume: &Volume, error: SdkError<E, HttpResponse>) -> StageError {
    unless_old(AwsError::new("ebs:ListSnapshotBlocks", &volume.snapshot, error))
}

/// How far one turn of reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// More is to be read from here on.
    On(Position),
    /// The digest of the whole image.
    Whole(Sha256),
}

/// Reads at most one piece of blocks from a position on.
///
/// # Errors
/// EBS does not answer, refuses, or answers what cannot be: blocks out of order, one that is not whole, or one whose
/// checksum is another's.
pub async fn read_on(ebs: &Ebs, volumes: &[Volume], at: Position) -> Result<Turn, StageError> {
    let Some(volume) = volumes.get(usize::from(at.volume)) else { return Ok(Turn::Whole(at.chain.digest())) };
    let chain = if at.next == 0 { at.chain.volume(&volume.device, volume.gib) } else { at.chain };
    let (blocks, more) = listed(ebs, volume, at.next).await?;
    let next = blocks.last().map_or(at.next, |last| last.index.saturating_add(1));
    let (ebs, snapshot) = (ebs.clone(), volume.snapshot.clone());
    let chain = chained(chain, blocks, move |block| fetch(ebs.clone(), snapshot.clone(), block)).await?;
    if more {
        return Ok(Turn::On(Position { volume: at.volume, next, chain }));
    }
    let over = Position { volume: at.volume.saturating_add(1), next: 0, chain };
    let last = usize::from(over.volume) >= volumes.len();
    Ok(if last { Turn::Whole(chain.digest()) } else { Turn::On(over) })
}

/// How much of the volumes lies before a position, in hundredths.
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
    /// A block that is read without EBS.
    #[must_use]
    pub const fn at(index: u32) -> Self {
        Self { index, token: String::new() }
    }
}

/// The next piece of a volume's blocks, and whether there are more. An empty page that goes on is followed.
async fn listed(ebs: &Ebs, volume: &Volume, from: u32) -> Result<(Vec<Listed>, bool), StageError> {
    let odd = |what: &str| {
        let what = format!("EBS lists {what} of {}", volume.snapshot);
        StageError::NotYet(what)
    };
    let start = i32::try_from(from).map_err(|_| odd("a block beyond every volume's end"))?;
    // A volume that is read to its very end has nothing behind it to ask for.
    if u64::from(from) >= u64::from(volume.gib).saturating_mul(BLOCKS_PER_GIB) {
        return Ok((Vec::new(), false));
    }
    let most = i32::try_from(PIECE).unwrap_or(i32::MAX);
    let call = ebs.list_snapshot_blocks().snapshot_id(&volume.snapshot).max_results(most);
    let mut pages = call.starting_block_index(start).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| list_failed(volume, error))?;
        if page.block_size.is_some_and(|size| usize::try_from(size) != Ok(BLOCK_SIZE)) {
            return Err(StageError::Rejected(format!(
                "the blocks of {} have another size than {BLOCK_SIZE} bytes, for which the rule of the digest is",
                volume.snapshot
            )));
        }
        let more = page.next_token.is_some();
        let mut blocks = Vec::new();
        for block in page.blocks.unwrap_or_default() {
            let index = block.block_index.and_then(|index| u32::try_from(index).ok());
            let (Some(index), Some(token)) = (index, block.block_token) else {
                return Err(odd("a block without index or token"));
            };
            let least = blocks.last().map_or(from, |last: &Listed| last.index.saturating_add(1));
            if index < least {
                return Err(odd("blocks out of order"));
            }
            blocks.push(Listed { index, token });
        }
        if !blocks.is_empty() || !more {
            return Ok((blocks, more));
        }
    }
    Ok((Vec::new(), false))
}

/// Reads blocks side by side and chains them in their order.
///
/// # Errors
/// The first block that cannot be read.
pub async fn chained<F, R>(chain: Chain, blocks: Vec<Listed>, read: F) -> Result<Chain, StageError>
where
    F: Fn(Listed) -> R,
    R: Future<Output = Result<BlockSum, StageError>> + Send + 'static,
{
    futures::stream::iter(blocks)
        .map(|block| {
            let index = block.index;
            // A task of its own: summing is work for every core there is.
            let task = AbortOnDropHandle::new(tokio::spawn(read(block)));
            async move {
                let sum = task
                    .await
                    .map_err(|_| StageError::NotYet(format!("reading block {index} ended early")))?;
                Ok((index, sum?))
            }
        })
        .buffered(AT_A_TIME)
        .try_fold(chain, |chain, (index, sum)| async move { Ok(chain.block(index, sum)) })
        .await
}

async fn fetch(ebs: Ebs, snapshot: String, block: Listed) -> Result<BlockSum, StageError> {
    let index = i32::try_from(block.index).unwrap_or(i32::MAX);
    let place = || format!("block {} of {snapshot}", block.index);
    let call = ebs.get_snapshot_block().snapshot_id(&snapshot).block_index(index).block_token(&block.token);
    let answer = call.send().await;
    let mut answer =
        answer.map_err(|error| unless_old(AwsError::new("ebs:GetSnapshotBlock", place(), error)))?;
    let mut summing = Summing::default();
    while let Some(chunk) = answer.block_data.next().await {
        let chunk = chunk.map_err(|_| StageError::NotYet(format!("{} broke off", place())))?;
        summing.update(&chunk);
    }
    let (digest, sum) =
        summing.finish().ok_or_else(|| StageError::NotYet(format!("{} is not whole", place())))?;
    if answer.checksum.as_deref() != Some(STANDARD.encode(digest.as_bytes()).as_str()) {
        return Err(StageError::NotYet(format!("{} has another checksum than EBS says", place())));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_what_lies_before() {
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
