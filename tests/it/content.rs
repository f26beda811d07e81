//! The content digest: computed by the bake, bound by its statement, compared later.

use std::sync::Arc;

use bakeline::cli::Output;
use bakeline::cli::verify::progress::Progress;
use bakeline::cli::verify::{Options, content as verified, verify};
use bakeline::engine::Clock;
use bakeline::evidence::{Chain, Stage};
use bakeline::stage::content::{ContentEvent, Position, digest};
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::journal::Journal;
use bakeline::worker::run_once::run_once;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::ec2::{self, BLOCKS_PER_GIB, Blocks, Disk, Fill, NewImage};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bake::{Baked, bake, release, tell};
use crate::support::{Moment, in_virtual_time, work};
use crate::trail::ask;

pub const HOME: (&str, &str) = ("  gates:\n", "  content_digest: one_copy\n  gates:\n");
pub const ALL: (&str, &str) = ("  gates:\n", "  content_digest: every_copy\n  gates:\n");
const GOOD: &str = "build: {duration: 10m}";
const DIGEST: &str = "bakeline_ebsContentV1";

/// The digest by the rule of docs/predicates.md, over the names, sizes and written blocks of the volumes.
fn documented(volumes: &[(&str, u32, &Blocks)]) -> String {
    let mut h: [u8; 32] = Sha256::digest(DIGEST).into();
    for (device, gib, blocks) in volumes {
        h = Sha256::digest([&h, b"v".as_slice(), &gib.to_be_bytes(), device.as_bytes()].concat()).into();
        for index in blocks.from(0) {
            let Fill::Noise(_) = blocks.get(index).unwrap() else { continue };
            let block = Sha256::digest(blocks.get(index).unwrap().bytes());
            h = Sha256::digest([&h, b"b".as_slice(), &index.to_be_bytes(), &block].concat()).into();
        }
    }
    h.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image with these volumes, and its devices in EC2's order.
fn image(moment: &mut Moment, name: &str, gib: u32, volumes: &[Blocks]) -> (String, Vec<String>) {
    let new = NewImage {
        name: name.into(),
        account: "123456789012".into(),
        region: moment.region.clone(),
        description: None,
        tags: std::collections::BTreeMap::new(),
        source_image: None,
        behavior: bakeline_rehearsal::instance_behavior::InstanceBehavior::default(),
        available_after: std::time::Duration::ZERO,
        snapshots: volumes.len(),
        disk: Disk { size: gib, encrypted: false },
    };
    let id = ec2::register_image(&mut moment.world, new);
    for (volume, blocks) in volumes.iter().enumerate() {
        ec2::write_volume(&mut moment.world, &id, volume, blocks.clone());
    }
    let mut world = moment.world.clone();
    let told = ask(moment, &mut world, "ec2", "DescribeImages", json!({"ImageIds": [id]}));
    let mappings = told["Images"][0]["BlockDeviceMappings"].as_array().unwrap().clone();
    (id, mappings.iter().map(|mapping| mapping["DeviceName"].as_str().unwrap().to_owned()).collect())
}

fn noise(indices: impl IntoIterator<Item = u32>) -> Blocks {
    indices.into_iter().map(|index| (index, Fill::Noise(u64::from(index) + 7))).collect()
}

async fn worker(moment: &Moment, cloud: &Cloud, clock: &Clock) -> WorkerDeps {
    moment.worker(cloud, clock, &Arc::new(Journal::in_memory()), &[Stage::Bake], Telemetry::default()).await
}

#[test]
fn every_snapshot_and_its_copy_have_the_documented_digest() {
    // Every block of a GiB is written, most of them with zeros; EBS lists those too.
    let full: Blocks = (0..BLOCKS_PER_GIB)
        .map(|index| (index, if index % 128 == 5 { Fill::Noise(index.into()) } else { Fill::Zeros }))
        .collect();
    let cases: Vec<(&str, u32, Vec<Blocks>)> = vec![
        ("nothing written", 8, vec![Blocks::default()]),
        ("sparse", 8, vec![noise([0, 1, 77, 8 * BLOCKS_PER_GIB - 1])]),
        ("full", 1, vec![full]),
        ("several volumes, one of them empty", 8, vec![noise([3]), Blocks::default(), noise([3, 9000])]),
    ];
    let mut moment = release(&[], GOOD);
    for (name, gib, volumes) in cases {
        let (id, devices) = image(&mut moment, name.split(',').next().unwrap(), gib, &volumes);
        let mut named: Vec<_> =
            devices.iter().zip(&volumes).map(|(device, blocks)| (device.as_str(), gib, blocks)).collect();
        named.sort_by_key(|(device, ..)| *device);
        let expected = documented(&named);
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            let deps = worker(&moment, &cloud, &clock).await;
            let written: usize = volumes.iter().map(|blocks| blocks.from(0).count()).sum();
            let tell = |news| {
                if let ContentEvent::Started(survey) = news {
                    assert_eq!(survey.blocks, written as u64, "{name}");
                }
            };
            let read = |id: String| {
                let (aws, clock) = (deps.aws.clone(), clock.clone());
                async move {
                    digest(&aws, &clock, "eu-west-1", &id, Position::default(), tell)
                        .await
                        .unwrap()
                        .to_string()
                }
            };
            assert_eq!(read(id.clone()).await, expected, "{name}");
            let copy = deps.aws.ec2.copy_image().name(format!("copy of {id}")).source_image_id(&id);
            let copied = copy.source_region("eu-west-1").encrypted(true).send().await.unwrap();
            clock.sleep(std::time::Duration::from_hours(1)).await;
            assert_eq!(read(copied.image_id.unwrap()).await, expected, "{name}, encrypted anew");
        });
    }
}

#[test]
fn a_volume_of_several_pieces_is_read_with_one_list_for_each() {
    // One block more than one list has.
    let blocks: Blocks = (0..4097)
        .map(|index| (index, if index % 4000 == 0 { Fill::Noise(1) } else { Fill::Zeros }))
        .collect();
    let mut moment = release(&[], GOOD);
    let (id, devices) = image(&mut moment, "long", 8, std::slice::from_ref(&blocks));
    let expected = documented(&[(&devices[0], 8, &blocks)]);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock).await;
        let mut passed = Vec::new();
        let begin = Position::default();
        let read = async |from, tell: &mut dyn FnMut(ContentEvent)| {
            digest(&deps.aws, &clock, "eu-west-1", &id, from, tell).await.unwrap().to_string()
        };
        assert_eq!(read(begin, &mut |news| passed.push(news)).await, expected);
        let [ContentEvent::Started(_), ContentEvent::Progress { percent: 25, position }] = passed[..] else {
            panic!("{passed:?}")
        };
        let called = |operation: &str| {
            cloud.with_transcript(|t| t.records().iter().filter(|r| r.operation == operation).count())
        };
        // One list counts the blocks; two list them for reading.
        assert_eq!((called("ListSnapshotBlocks"), called("GetSnapshotBlock")), (3, 4097));
        // Another run resumes there, with one block left.
        assert_eq!(read(position, &mut |_| {}).await, expected);
        assert_eq!(called("GetSnapshotBlock"), 4098);
    });
}

/// The digests and the annotation of each subject, by region.
fn subjects(baked: &Baked) -> Vec<(String, Value, Value)> {
    let (_, statement) = baked.artifact();
    let mut subjects: Vec<_> = statement["subject"].as_array().unwrap().clone();
    subjects.sort_by_key(|subject| subject["annotations"]["bakeline_image"]["region"].to_string());
    let told = |subject: &Value| {
        let annotations = &subject["annotations"];
        let region = annotations["bakeline_image"]["region"].as_str().unwrap().to_owned();
        (region, annotations["bakeline_binds"].clone(), subject["digest"][DIGEST].clone())
    };
    subjects.iter().map(told).collect()
}

#[test]
fn the_statement_says_whether_it_binds_identity_or_content() {
    let (read, other) = (json!("content"), json!("content_of_another_copy"));
    for (changes, binds, blocks) in [
        (vec![], [json!("identity"), json!("identity")], 0),
        // Each copy has three written blocks; the worker's region is eu-west-1, the second in order.
        (vec![HOME], [other, read.clone()], 3),
        (vec![ALL], [read.clone(), read], 6),
    ] {
        let baked = bake(&release(&changes, GOOD));
        assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
        let subjects = subjects(&baked);
        let told: Vec<&Value> = subjects.iter().map(|(_, binds, _)| binds).collect();
        assert_eq!(told, binds.iter().collect::<Vec<_>>(), "{changes:?}");
        assert_eq!(baked.calls("GetSnapshotBlock").len(), blocks, "{changes:?}");
        let digests: Vec<bool> = subjects.iter().map(|(.., digest)| digest.is_string()).collect();
        assert_eq!(digests, [blocks > 0; 2], "{changes:?}");
    }
}

/// The chain in the artifact of a bake.
fn chain(baked: &Baked) -> Chain {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), baked.artifact().0.into_inner().into_inner()).unwrap();
    let at = Some(time::macros::datetime!(2026-01-01 04:00 UTC));
    let trust = in_virtual_time(async {
        let (cloud, clock) = baked.after.go_on();
        worker(&baked.after, &cloud, &clock).await.authority.trust.clone()
    });
    verify(file.path(), &trust, &Options { at, ..Options::default() }).unwrap().unwrap()
}

fn compare(moment: &Moment, chain: &Chain) -> Result<(), String> {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(moment, &cloud, &clock).await;
        verified::compare(&deps.aws, &clock, [chain], &mut Progress::default(), Output::Text)
            .await
            .map_err(|error| error.to_string())
    })
}

#[test]
fn a_block_changed_later_is_detected() {
    let baked = bake(&release(&[ALL], GOOD));
    let chain = chain(&baked);
    assert_eq!(compare(&baked.after, &chain), Ok(()));
    for region in ["eu-west-1", "eu-central-1"] {
        let image = baked.images(region)[0]["ImageId"].as_str().unwrap().to_owned();
        let changes = [
            ("changed", 1, Fill::Noise(1), true),
            ("added", 9000, Fill::Noise(1), true),
            ("zeroed", 1, Fill::Zeros, true),
            ("zeros", 9000, Fill::Zeros, false),
        ];
        for (what, index, fill, counts) in changes {
            let mut moment = baked.after.clone();
            ec2::write_block(&mut moment.world, &image, 0, index, fill);
            match compare(&moment, &chain) {
                Ok(()) => assert!(!counts, "{what} in {region}"),
                Err(why) => {
                    assert!(counts, "{what} in {region}: {why}");
                    assert!(why.contains(&format!("{image} in {region} has the content digest")), "{why}");
                }
            }
        }
    }
}

#[test]
fn a_chain_that_binds_only_identities_has_no_content_to_compare() {
    let baked = bake(&release(&[], GOOD));
    let why = compare(&baked.after, &chain(&baked)).unwrap_err();
    assert!(why.contains("bind the images' identities only"), "{why}");
}

#[test]
fn copies_with_different_content_are_refused_and_removed() {
    let moment = release(&[ALL], GOOD);
    let baked = in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock).await;
        let mut elsewhere = moment.clone();
        elsewhere.region = "eu-central-1".into();
        let copy = |cloud: &Cloud| {
            let mut world = cloud.with_world(|world| world.clone());
            let told = ask(&elsewhere, &mut world, "ec2", "DescribeImages", json!({"Owners": ["self"]}));
            told["Images"][0]["ImageId"].as_str().map(str::to_owned)
        };
        while copy(&cloud).is_none() {
            let _ = Box::pin(run_once(&deps)).await;
            clock.sleep(std::time::Duration::from_secs(5)).await;
        }
        let id = copy(&cloud).unwrap();
        cloud.with_world(|world| ec2::write_block(world, &id, 0, 5, Fill::Noise(666)));
        let status = work(&moment, &cloud, &deps, Stage::Bake).await;
        tell(&moment, &cloud, status)
    });
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("the copies of the image have different content"), "{}", baked.why);
    for region in ["eu-west-1", "eu-central-1"] {
        assert_eq!(baked.images(region), Vec::<Value>::new(), "{region}");
    }
}
