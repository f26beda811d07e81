//! The EBS direct APIs that read snapshots. The blocks are part of EC2's state.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use sha2::Digest as _;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;
use super::ec2::{BLOCK_SIZE, BLOCKS_PER_GIB, Snapshot};

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &["GetSnapshotBlock", "ListSnapshotBlocks"];

/// The lifetime of a block token.
const TOKENS_LAST: Duration = Duration::from_hours(7 * 24);

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "GetSnapshotBlock" => get(world, call),
        "ListSnapshotBlocks" => list(world, call),
        other => Err(ApiError::new("ValidationException", other)),
    }
}

/// The caller's own snapshot, which must be complete.
fn snapshot<'w>(world: &'w World, call: &Call, id: &str) -> Result<&'w Snapshot, ApiError> {
    let found = world.ec2.snapshots.get(id).filter(|s| s.account == call.account && s.region == call.region);
    let found = found.ok_or_else(|| {
        ApiError::new("ResourceNotFoundException", format!("The snapshot '{id}' does not exist."))
    })?;
    if found.done > call.now {
        return Err(invalid(format!("The snapshot '{id}' is not in the completed state.")));
    }
    Ok(found)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    snapshot_id: String,
    next_token: Option<String>,
    max_results: Option<usize>,
    starting_block_index: Option<u32>,
}

fn list(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let snapshot = snapshot(world, call, &input.snapshot_id)?;
    // A page token has the start of the next page and overrides `StartingBlockIndex`.
    let from = match input.next_token {
        Some(token) => opened(&token)
            .and_then(|text| text.strip_prefix("page ")?.parse().ok())
            .ok_or_else(|| invalid("The page token is not valid."))?,
        None => input.starting_block_index.unwrap_or_default(),
    };
    if from >= snapshot.disk.size.saturating_mul(BLOCKS_PER_GIB) {
        return Err(invalid("StartingBlockIndex is beyond the end of the volume."));
    }
    let expires = call.now + TOKENS_LAST;
    let mut written = snapshot.blocks.from(from);
    let blocks: Vec<_> = written
        .by_ref()
        .take(input.max_results.unwrap_or(10_000))
        .map(|index| json!({ "BlockIndex": index, "BlockToken": token(snapshot, index, expires) }))
        .collect();
    Ok(json!({
        "Blocks": blocks,
        "ExpiryTime": expires.epoch_seconds(),
        "VolumeSize": snapshot.disk.size,
        "BlockSize": BLOCK_SIZE,
        "NextToken": written.next().map(|index| STANDARD.encode(format!("page {index}"))),
    }))
}

/// A block token: allows reading one block of one snapshot until it expires.
fn token(snapshot: &Snapshot, index: u32, expires: Time) -> String {
    STANDARD.encode(format!("{} {index} {}", snapshot.id, expires.0))
}

fn opened(token: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(token).ok()?).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    snapshot_id: String,
    block_index: u32,
    block_token: String,
}

fn get(world: &World, call: &Call) -> Answer {
    let input: Get = call.parse()?;
    let snapshot = snapshot(world, call, &input.snapshot_id)?;
    let text = opened(&input.block_token).unwrap_or_default();
    let expires = text.strip_prefix(&format!("{} {} ", input.snapshot_id, input.block_index));
    let expires = expires.and_then(|until| until.parse().ok()).map(Time);
    if expires.is_none_or(|until| until <= call.now) {
        return Err(invalid("The block token is not valid for the block, or has expired."));
    }
    let fill = snapshot
        .blocks
        .get(input.block_index)
        .ok_or_else(|| invalid(format!("The snapshot has no block {}.", input.block_index)))?;
    let bytes = fill.bytes();
    Ok(json!({
        "DataLength": bytes.len(),
        "BlockData": STANDARD.encode(&bytes),
        "Checksum": STANDARD.encode(sha2::Sha256::digest(&bytes)),
        "ChecksumAlgorithm": "SHA256",
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::instance_behavior::InstanceBehavior;
    use super::super::ec2::{Blocks, Fill};
    use super::super::test_aws::{ACCOUNT, TestAws};
    use super::*;

    fn snapshot_with(blocks: Blocks) -> (TestAws, String) {
        let mut aws = TestAws::new();
        let image = aws.image("web", InstanceBehavior::default());
        let id = aws.world.ec2.images[&image].snapshots[0].clone();
        aws.world.ec2.snapshots.get_mut(&id).unwrap().blocks = blocks;
        (aws, id)
    }

    #[test]
    fn only_written_blocks_are_listed_and_each_is_read_with_its_token() {
        let (mut aws, id) = snapshot_with((0..250).map(|n| (n * 2, Fill::Noise(u64::from(n)))).collect());
        let (mut page, mut found): (Value, Vec<Value>) =
            (json!({"SnapshotId": id, "MaxResults": 100}), vec![]);
        loop {
            let answer = aws.ok("ebs", "ListSnapshotBlocks", page.clone());
            assert_eq!((&answer["VolumeSize"], &answer["BlockSize"]), (&json!(8), &json!(BLOCK_SIZE)));
            found.extend(answer["Blocks"].as_array().unwrap().iter().cloned());
            if answer["NextToken"].is_null() {
                break;
            }
            page["NextToken"] = answer["NextToken"].clone();
        }
        let indices: Vec<u64> = found.iter().map(|block| block["BlockIndex"].as_u64().unwrap()).collect();
        assert_eq!(indices, (0..250).map(|n| n * 2).collect::<Vec<u64>>());

        let read = json!({"SnapshotId": id, "BlockIndex": 4, "BlockToken": found[2]["BlockToken"]});
        let block = aws.ok("ebs", "GetSnapshotBlock", read.clone());
        let bytes = STANDARD.decode(block["BlockData"].as_str().unwrap()).unwrap();
        assert_eq!(bytes, Fill::Noise(2).bytes());
        assert_eq!(block["Checksum"], STANDARD.encode(sha2::Sha256::digest(&bytes)));

        let other = json!({"SnapshotId": id, "BlockIndex": 6, "BlockToken": found[2]["BlockToken"]});
        assert_eq!(aws.refused("ebs", "GetSnapshotBlock", other), "ValidationException");
        aws.pass(8 * 24 * 3600);
        assert_eq!(aws.refused("ebs", "GetSnapshotBlock", read), "ValidationException");
    }

    #[test]
    fn a_list_starts_at_the_given_block_and_only_the_owner_can_read() {
        let (mut aws, id) = snapshot_with([(3, Fill::Zeros), (9, Fill::Zeros)].into_iter().collect());
        let from = json!({"SnapshotId": id, "StartingBlockIndex": 4});
        let answer = aws.ok("ebs", "ListSnapshotBlocks", from);
        assert_eq!(answer["Blocks"].as_array().unwrap().len(), 1);
        assert_eq!(answer["Blocks"][0]["BlockIndex"], 9);
        let beyond = json!({"SnapshotId": id, "StartingBlockIndex": 8 * 2048});
        assert_eq!(aws.refused("ebs", "ListSnapshotBlocks", beyond), "ValidationException");
        let of_others = json!({"SnapshotId": id});
        aws.world.ec2.snapshots.get_mut(&id).unwrap().account = "444455556666".into();
        assert_eq!(aws.refused("ebs", "ListSnapshotBlocks", of_others), "ResourceNotFoundException");
        aws.world.ec2.snapshots.get_mut(&id).unwrap().account = ACCOUNT.into();
        aws.region = "eu-central-1";
        let abroad = json!({"SnapshotId": id});
        assert_eq!(aws.refused("ebs", "ListSnapshotBlocks", abroad), "ResourceNotFoundException");
    }

    #[test]
    fn a_copy_has_the_blocks_of_its_source_with_any_key() {
        let (mut aws, id) = snapshot_with([(3, Fill::Noise(1))].into_iter().collect());
        let source = aws.world.ec2.images.values().find(|i| i.snapshots.contains(&id)).unwrap().id.clone();
        let copied = aws.ok(
            "ec2",
            "CopyImage",
            json!({"Name": "copy", "SourceImageId": source, "SourceRegion": "eu-west-1", "Encrypted": true}),
        );
        aws.pass(600);
        let copy = &aws.world.ec2.images[copied["ImageId"].as_str().unwrap()];
        let theirs = aws.world.ec2.snapshots[&copy.snapshots[0]].clone();
        assert!(theirs.disk.encrypted);
        assert_eq!(theirs.blocks, aws.world.ec2.snapshots[&id].blocks);
    }
}
