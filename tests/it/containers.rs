//! The bake stage with a container recipe: the pushed image and its digest, reuse, and the removal after a failed bake.

use std::sync::Arc;

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use serde_json::{Value, json};

use crate::bake::{Baked, again, bake, tell};
use crate::crash::{crash_some, report};
use crate::support::{Moment, changed, in_virtual_time, work_until};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/containers/bakeline.yaml";
const REGIONS: [&str; 2] = ["eu-west-1", "eu-central-1"];
const GOOD: &str = "build: {duration: 10m}";
const REUSED: (&str, &str) = ("    repository:", "    reuse: unchanged\n    repository:");
const FINDING: &str = "build: {duration: 10m, scan: {findings: [{id: CVE-2026-7, severity: critical}]}}";

fn release(changes: &[(&str, &str)], scenario: &str) -> Moment {
    Moment::start(&changed(SPEC, &["image/web.yaml", "image/Dockerfile"], changes, scenario))
}

/// Images of the service's repository in one region.
fn pushed(moment: &Moment, region: &str) -> Vec<Value> {
    let mut elsewhere = moment.clone();
    elsewhere.region = region.into();
    let mut world = moment.world.clone();
    let found = ask(&elsewhere, &mut world, "ecr", "DescribeImages", json!({"repositoryName": "team/web"}));
    found["imageDetails"].as_array().unwrap().clone()
}

fn recipes(baked: &Baked) -> usize {
    let found = baked.ask("imagebuilder", "ListContainerRecipes", json!({"owner": "Self"}));
    found["containerRecipeSummaryList"].as_array().unwrap().len()
}

#[test]
fn a_container_recipe_becomes_an_image_in_two_regions_bound_by_its_digest() {
    let baked = bake(&release(&[], GOOD));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!((baked.calls("CreateContainerRecipe").len(), baked.calls("CreateImage").len()), (1, 1));
    let (_, statement) = baked.artifact();
    let subjects = statement["subject"].as_array().unwrap();
    assert_eq!(subjects.len(), 1, "the same bytes are one subject: {subjects:?}");
    for (at, region) in REGIONS.iter().enumerate() {
        let images = pushed(&baked.after, region);
        assert_eq!(images.len(), 1, "{region}");
        let digest = format!("sha256:{}", subjects[0]["digest"]["sha256"].as_str().unwrap());
        assert_eq!(images[0]["imageDigest"], digest, "{region}");
        let places = subjects[0]["annotations"]["bakeline_container"].as_array().unwrap();
        let place = places.iter().find(|place| place["region"] == *region).unwrap();
        assert_eq!(place["repository"], "team/web", "{at}");
        assert!(images[0]["imageTags"].as_array().unwrap().contains(&place["tag"]), "{place}");
    }
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["buildType"], "https://bakeline.dev/build-types/image-builder-container-recipe/v1");
    let resolved = definition["resolvedDependencies"].as_array().unwrap();
    let parent = resolved.iter().find(|dependency| dependency["name"] == "parentImage").unwrap();
    let base = baked.ask("ecr", "DescribeImages", json!({"repositoryName": "base"}));
    let base = base["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    assert_eq!(format!("sha256:{}", parent["digest"]["sha256"].as_str().unwrap()), base);
    // The parameter and the output variable have the reference with the digest.
    let parameter = baked.ask("ssm", "GetParameter", json!({"Name": "/bakeline/images/web/candidate"}));
    let ended = &baked.calls("PutJobSuccessResult").last().unwrap().input["outputVariables"];
    assert_eq!(parameter["Parameter"]["Value"], ended["ImageURI"]);
    assert_eq!(parameter["Parameter"]["DataType"], "text");
    let reference = ended["ImageURI-eu-central-1"].as_str().unwrap();
    assert!(
        reference.starts_with("123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/web@sha256:"),
        "{reference}"
    );
}

#[test]
fn an_unchanged_container_is_reused_within_one_slice() {
    let first = bake(&release(&[REUSED], GOOD));
    assert_eq!(first.status, ActionStatus::Succeeded, "{}", first.why);
    let second = bake(&again(&first));
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!((second.calls("CreateImage").len(), second.calls("AcknowledgeJob").len()), (0, 1));
    assert_eq!(pushed(&second.after, "eu-west-1").len(), 1);
    assert_eq!(recipes(&second), recipes(&first));
}

#[test]
fn a_new_image_under_the_tag_of_the_parent_makes_another_bake() {
    let first = bake(&release(&[REUSED], GOOD));
    let mut moment = again(&first);
    let mut world = moment.world.clone();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
            "digest": format!("sha256:{}", "0".repeat(64))},
        "layers": [],
    });
    let newer =
        json!({"repositoryName": "base", "imageTag": "2026-01", "imageManifest": manifest.to_string()});
    ask(&moment, &mut world, "ecr", "PutImage", newer);
    moment.world = world;
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!(second.calls("CreateImage").len(), 1);
    assert_eq!(recipes(&second), recipes(&first) + 1);
}

/// Bakes that fail: the change, the scenario, and parts of the message. Everything they pushed is removed.
#[test]
fn a_failed_bake_of_a_container_leaves_nothing_in_any_registry() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, &'c str, &'c str);
    let cases: Vec<Case<'_>> = vec![
        ("a critical finding", vec![], FINDING, "1 CRITICAL, max 0: CVE-2026-7"),
        (
            "a scan that was abandoned",
            vec![],
            "build: {duration: 10m, scan: {abandoned: true}}",
            "no completed vulnerability scan",
        ),
        (
            "a component that fails",
            vec![],
            "build: {duration: 10m, outcome: {failed: {component: web-web, step: Download, message: no such key}}}",
            "no such key",
        ),
        (
            "a distribution that fails for good",
            vec![],
            "build: {duration: 10m, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}",
            "region eu-central-1",
        ),
        (
            "a deadline in the middle of the distribution",
            vec![("timeout: 2h", "timeout: 27m")],
            "build: {duration: 30m}",
            "did not end by its deadline",
        ),
        ("someone cancels it", vec![], "build: {duration: 10m, outcome: {cancelled: {}}}", "ended CANCELLED"),
        (
            "a region that is expected and not distributed to",
            vec![(
                "    distribution_configuration: arn:aws:imagebuilder:eu-west-1:123456789012:distribution-configuration/web\n",
                "",
            )],
            GOOD,
            "has no image in eu-central-1",
        ),
        (
            "a template without its parent image",
            vec![("    dockerfile: image/Dockerfile", "    dockerfile: image/web.yaml")],
            GOOD,
            "image/web.yaml has no {{{ imagebuilder:parentImage }}}",
        ),
    ];
    for (name, changes, scenario, words) in &cases {
        let baked = bake(&release(changes, scenario));
        assert_eq!(baked.status, ActionStatus::Failed, "{name}");
        assert!(baked.why.contains(words), "{name}: {}", baked.why);
        for region in REGIONS {
            assert_eq!(pushed(&baked.after, region), Vec::<Value>::new(), "{name}");
        }
    }
    println!("{} bakes", cases.len());
}

#[test]
fn the_message_names_a_missing_repository() {
    let mut moment = release(&[], GOOD);
    let mut world = moment.world.clone();
    ask(&moment, &mut world, "ecr", "DeleteRepository", json!({"repositoryName": "team/web"}));
    moment.world = world;
    let baked = bake(&moment);
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("team/web") && baked.why.contains("does not exist"), "{}", baked.why);
}

#[test]
fn an_image_with_a_tag_of_someone_else_loses_its_build_tag_and_stays() {
    let moment = release(&[], FINDING);
    let baked = in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let status = work_until(&moment, &cloud, &deps, Stage::Bake, || {
            cloud.with_world(|world| {
                let all = json!({"repositoryName": "team/web"});
                let found = ask(&moment, world, "ecr", "DescribeImages", all);
                let Some(image) = found["imageDetails"].as_array().and_then(|all| all.first()) else { return };
                if image["imageTags"].as_array().is_some_and(|tags| tags.contains(&json!("kept"))) {
                    return;
                }
                let id = json!({"repositoryName": "team/web", "imageIds": [{"imageDigest": image["imageDigest"]}]});
                let got = ask(&moment, world, "ecr", "BatchGetImage", id);
                let manifest = &got["images"][0]["imageManifest"];
                let tagged = json!({"repositoryName": "team/web", "imageTag": "kept", "imageManifest": manifest});
                ask(&moment, world, "ecr", "PutImage", tagged);
            });
            false
        })
        .await
        .unwrap();
        tell(&moment, &cloud, status)
    });
    assert_eq!(baked.status, ActionStatus::Failed);
    let here = pushed(&baked.after, "eu-west-1");
    let tags = here[0]["imageTags"].as_array().unwrap();
    assert!(
        tags.contains(&json!("kept")) && tags.len() == 2,
        "its own tag is gone, latest and kept stay: {tags:?}"
    );
    assert_eq!(pushed(&baked.after, "eu-central-1"), Vec::<Value>::new());
}

#[test]
fn every_call_of_a_container_bake_survives_every_fault() {
    let moment = release(&[], GOOD);
    let (cases, wrong) = crash_some("container", Stage::Bake, &moment, |records| 0..records.len(), 150);
    println!("container: {cases} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
fn every_call_of_a_failed_container_bake_survives_every_fault() {
    let moment = release(&[], FINDING);
    let (cases, wrong) =
        crash_some("container refused", Stage::Bake, &moment, |records| 0..records.len(), 150);
    println!("container refused: {cases} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
