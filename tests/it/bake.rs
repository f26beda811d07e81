//! The bake stage with an image recipe: components, recipe, reuse, gates, and the removal of what a failed bake created.

use std::sync::Arc;

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::transcript::Record;
use serde_json::{Value, json};

use crate::support::{Moment, changed, in_virtual_time, work};
use crate::trail::ask;

mod gates;

const SPEC: &str = "tests/it/fixtures/bake/bakeline.yaml";

/// The release of the fixture with passages of its spec replaced, at its start.
pub fn release(changes: &[(&str, &str)], scenario: &str) -> Moment {
    Moment::start(&changed(SPEC, &["image/web.yaml"], changes, scenario))
}

/// The result of a bake.
pub struct Baked {
    pub status: ActionStatus,
    /// The failure message; empty after a success.
    pub why: String,
    pub records: Vec<Record>,
    pub after: Moment,
}

impl Baked {
    pub fn calls(&self, operation: &str) -> Vec<&Record> {
        self.records.iter().filter(|record| record.operation == operation).collect()
    }

    pub fn ask(&self, service: &'static str, operation: &str, input: Value) -> Value {
        let mut world = self.after.world.clone();
        ask(&self.after, &mut world, service, operation, input)
    }

    /// Images of Image Builder in one region, in any state.
    pub fn images(&self, region: &str) -> Vec<Value> {
        let mut elsewhere = self.after.clone();
        elsewhere.region = region.into();
        let mut world = self.after.world.clone();
        let input = json!({"Owners": ["self"], "IncludeDisabled": true,
            "Filters": [{"Name": "tag:CreatedBy", "Values": ["EC2 Image Builder"]}]});
        ask(&elsewhere, &mut world, "ec2", "DescribeImages", input)["Images"].as_array().unwrap().clone()
    }

    fn snapshots(&self, region: &str) -> usize {
        let mut elsewhere = self.after.clone();
        elsewhere.region = region.into();
        let mut world = self.after.world.clone();
        let all = ask(&elsewhere, &mut world, "ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]}));
        all["Snapshots"].as_array().unwrap().len()
    }

    fn recipes(&self) -> usize {
        self.ask("imagebuilder", "ListImageRecipes", json!({"owner": "Self"}))["imageRecipeSummaryList"]
            .as_array()
            .unwrap()
            .len()
    }

    fn components(&self) -> usize {
        self.ask("imagebuilder", "ListComponents", json!({"owner": "Self"}))["componentVersionList"]
            .as_array()
            .unwrap()
            .len()
    }

    /// The artifact, and the statement of the bake in it.
    pub fn artifact(&self) -> (zip::ZipArchive<std::io::Cursor<Vec<u8>>>, Value) {
        use base64::Engine as _;
        use std::io::Read as _;
        let bucket =
            bakeline_rehearsal::services::s3::bucket(&self.after.world, &self.after.provisioned.bucket)
                .unwrap();
        let (_, object) = bucket
            .objects()
            .filter(|(key, _)| key.contains("BakedImag"))
            .max_by_key(|(_, object)| object.modified)
            .unwrap();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(object.body.to_vec())).unwrap();
        let mut envelope = String::new();
        zip.by_name("statements/01-bake.dsse.json").unwrap().read_to_string(&mut envelope).unwrap();
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        let payload = envelope["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        (zip, serde_json::from_slice(&payload).unwrap())
    }
}

pub fn bake(moment: &Moment) -> Baked {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let status = work(moment, &cloud, &deps, Stage::Bake).await;
        tell(moment, &cloud, status)
    })
}

pub fn tell(moment: &Moment, cloud: &Cloud, status: ActionStatus) -> Baked {
    let after = moment.now(cloud);
    let execution = codepipeline::execution(&after.world, &after.provisioned.execution).unwrap();
    let failure = execution.runs.iter().rev().find_map(|run| run.failure.clone());
    Baked {
        status,
        why: failure.map(|failure| failure.message).unwrap_or_default(),
        records: cloud.with_transcript(|transcript| transcript.records().to_vec()),
        after,
    }
}

/// The same release again, in the world after the first one.
pub fn again(first: &Baked) -> Moment {
    let mut moment = first.after.clone();
    let mut world = moment.world.clone();
    let started = ask(&moment, &mut world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}));
    moment.provisioned.execution = started["pipelineExecutionId"].as_str().unwrap().into();
    moment.world = world;
    moment
}

/// The same world with another scenario.
fn under(mut moment: Moment, scenario: &str) -> Moment {
    bakeline_rehearsal::scenario::Scenario::parse(&format!("version: 1\n{scenario}"), "scenario")
        .unwrap()
        .apply(&mut moment.world);
    moment
}

pub const REUSED: (&str, &str) = ("    root_volume:", "    reuse: unchanged\n    root_volume:");
const GOOD: &str = "build: {duration: 10m}";

#[test]
fn a_recipe_becomes_components_a_recipe_and_encrypted_images_in_two_regions() {
    let baked = bake(&release(&[], GOOD));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!((baked.calls("CreateComponent").len(), baked.calls("CreateImageRecipe").len()), (1, 1));
    for region in ["eu-west-1", "eu-central-1"] {
        let images = baked.images(region);
        assert_eq!(images.len(), 1, "{region}");
        let ebs = &images[0]["BlockDeviceMappings"][0]["Ebs"];
        assert_eq!((&ebs["Encrypted"], &ebs["VolumeSize"]), (&json!(true), &json!(10)), "{region}");
    }
    let (mut zip, statement) = baked.artifact();
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["buildType"], "https://bakeline.dev/build-types/image-builder-recipe/v1");
    assert_eq!(definition["internalParameters"]["reused"], false);
    let resolved = definition["resolvedDependencies"].as_array().unwrap();
    let named = |prefix: &str| -> Vec<_> {
        resolved.iter().filter(|d| d["name"].as_str().unwrap().starts_with(prefix)).cloned().collect()
    };
    assert!(named("parentImage")[0]["uri"].as_str().unwrap().starts_with("ami-"), "{resolved:?}");
    assert!(named("component/")[0]["digest"]["sha256"].is_string(), "its document is bound: {resolved:?}");
    assert_eq!(statement["subject"].as_array().unwrap().len(), 2);
    assert!(zip.by_name("reports/bake/vulnerabilities.dsse.json").is_ok(), "the findings as a statement");
    assert!(zip.by_name("source/image/web.yaml").is_ok() && zip.by_name("reports/bake/scan.sarif").is_ok());
}

#[test]
fn an_unchanged_recipe_creates_no_component_and_no_recipe() {
    let first = bake(&release(&[], GOOD));
    let second = bake(&again(&first));
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!((second.components(), second.recipes()), (first.components(), first.recipes()));
    assert_eq!(second.images("eu-west-1").len(), 2, "it baked again: the spec does not reuse");
}

#[test]
fn a_newer_parent_image_creates_a_recipe_and_no_component() {
    let first = bake(&release(&[], GOOD));
    let mut moment = again(&first);
    let image = moment.provisioned.current_image.clone();
    assert_eq!(image, None, "the fixture has no fleet");
    let other = first.images("eu-west-1")[0]["ImageId"].as_str().unwrap().to_owned();
    let name = "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-x86_64";
    let now = moment.now;
    bakeline_rehearsal::services::ssm::write_parameter(
        &mut moment.world,
        now,
        "123456789012",
        "eu-west-1",
        name,
        "text",
        &other,
    );
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!((second.components(), second.recipes()), (first.components(), first.recipes() + 1));
}

#[test]
fn an_unchanged_release_is_reused_within_one_slice() {
    let first = bake(&release(&[REUSED], GOOD));
    assert_eq!(first.status, ActionStatus::Succeeded, "{}", first.why);
    let second = bake(&again(&first));
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!(second.calls("CreateImage").len(), 0);
    assert_eq!(second.images("eu-west-1").len(), 1);
    let jobs = second.calls("AcknowledgeJob").len();
    assert_eq!(jobs, 1, "one slice");
    let (_, statement) = second.artifact();
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["reused"], true);
}

#[test]
fn a_removed_image_is_not_reused() {
    let first = bake(&release(&[REUSED], GOOD));
    let mut moment = again(&first);
    let image = first.images("eu-west-1")[0]["ImageId"].clone();
    let mut world = moment.world.clone();
    ask(&moment, &mut world, "ec2", "DeregisterImage", json!({"ImageId": image}));
    moment.world = world;
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!(second.calls("CreateImage").len(), 1);
    let (_, statement) = second.artifact();
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["reused"], false);
}

#[test]
fn parallel_releases_with_the_same_bake_key_share_one_build() {
    let moment = release(&[REUSED], GOOD);
    let baked = in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        // A second pipeline execution of the same source, in parallel.
        let mut other = moment.clone();
        let started = cloud.with_world(|world| {
            ask(&moment, world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}))
        });
        other.provisioned.execution = started["pipelineExecutionId"].as_str().unwrap().into();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let first = work(&moment, &cloud, &deps, Stage::Bake).await;
        assert_eq!(first, ActionStatus::Succeeded);
        let second = work(&other, &cloud, &deps, Stage::Bake).await;
        tell(&other, &cloud, second)
    });
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(baked.images("eu-west-1").len(), 1);
    assert_eq!(baked.images("eu-central-1").len(), 1);
}

#[test]
fn a_component_created_by_hand_under_our_name_is_refused() {
    let mut moment = release(&[], GOOD);
    let first = bake(&moment);
    let made = first.calls("CreateComponent")[0].input.clone();
    let mut world = moment.world.clone();
    let forged = json!({"name": made["name"], "semanticVersion": made["semanticVersion"], "platform": "Linux",
        "data": "name: evil\nschemaVersion: 1.0\nphases: []\n", "clientToken": "by-hand"});
    ask(&moment, &mut world, "imagebuilder", "CreateComponent", forged);
    moment.world = world;
    let baked = bake(&moment);
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("exists and its content is not image/web.yaml"), "{}", baked.why);
    assert_eq!(baked.calls("CreateImage").len(), 0);
}

#[test]
fn a_missing_document_is_reported_before_anything_is_created() {
    let baked = bake(&release(&[("image/web.yaml", "image/gone.yaml")], GOOD));
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(
        baked.why.contains("has no file `image/gone.yaml`, a component document that the spec names"),
        "{}",
        baked.why
    );
    assert_eq!(baked.calls("CreateComponent").len(), 0);
}
