//! The bake's judgement as tables.

mod tokens;

use std::collections::BTreeMap;

use super::judge::{
    Breakdown, Build, BuiltImage, ComponentBreakdown, Copies, Described, Look, RegionBreakdown, Workflow,
};
use super::provenance::{Recipe, Run, SourceArtifact};
use super::*;
use crate::evidence::{ContainerIdentity, Sha256};
use crate::spec::ImageCopy;

const ARN: &str = "arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.3/2";
const HOME: &str = "123456789012";

fn built(region: &str, account: &str, id: &str) -> BuiltImage {
    BuiltImage { region: region.into(), account: account.into(), id: id.into() }
}

fn copy(region: &str, account: &str) -> ImageCopy {
    ImageCopy { region: region.into(), account: account.into() }
}

#[test]
fn a_status_goes_on_unless_it_is_known_to_be_an_end() {
    for (status, expected) in [
        ("PENDING", Stand::Going),
        ("CREATING", Stand::Going),
        ("BUILDING", Stand::Going),
        ("TESTING", Stand::Going),
        ("DISTRIBUTING", Stand::Going),
        ("INTEGRATING", Stand::Going),
        ("", Stand::Going),
        ("SOMETHING_NEW", Stand::Going),
        ("AVAILABLE", Stand::Available),
        ("FAILED", Stand::Ended),
        ("CANCELLED", Stand::Ended),
        ("DELETED", Stand::Ended),
        ("DEPRECATED", Stand::Ended),
        ("DISABLED", Stand::Ended),
    ] {
        assert_eq!(judge::stand(status), expected, "{status}");
    }
}

#[test]
fn a_failed_build_is_told_with_everything_image_builder_says() {
    let component = Build {
        status: "FAILED".into(),
        reason: Some("SSM execution failed".into()),
        breakdown: Some(Breakdown {
            workflow: Some("arn:workflow".into()),
            step: Some("ApplyBuildComponents".into()),
            component: Some(ComponentBreakdown {
                component: Some("arn:component".into()),
                phase: Some("build".into()),
                step: Some("InstallNginx".into()),
                action: Some("ExecuteBash".into()),
                message: Some("no such package".into()),
            }),
            ..Breakdown::default()
        }),
        images: vec![built("eu-west-1", HOME, "ami-1")],
        ..Build::default()
    };
    assert_eq!(
        judge::failure_summary(ARN, &component),
        format!(
            "image build {ARN} ended FAILED; SSM execution failed; workflow arn:workflow; workflow step \
             ApplyBuildComponents; component arn:component; phase build; step InstallNginx; action ExecuteBash; \
             error: no such package; images that came out remain: ami-1 in eu-west-1 of account {HOME}"
        )
    );
    let distribution = Build {
        status: "FAILED".into(),
        breakdown: Some(Breakdown {
            distribution: Some("2 regions failed".into()),
            regions: vec![
                RegionBreakdown {
                    region: Some("eu-west-2".into()),
                    account: Some(HOME.into()),
                    status: Some("TIMED_OUT".into()),
                    step: Some("PUT_SSM_PARAMETERS".into()),
                    message: Some("denied".into()),
                },
                RegionBreakdown::default(),
            ],
            ..Breakdown::default()
        }),
        ..Build::default()
    };
    assert_eq!(
        judge::failure_summary(ARN, &distribution),
        format!(
            "image build {ARN} ended FAILED; distribution: 2 regions failed; region eu-west-2 (account {HOME}) \
             TIMED_OUT in PUT_SSM_PARAMETERS: denied; region ? (account ?) ?: no message"
        )
    );
    let cancelled = Build { status: "CANCELLED".into(), ..Build::default() };
    assert_eq!(judge::failure_summary(ARN, &cancelled), format!("image build {ARN} ended CANCELLED"));
}

#[test]
fn progress_follows_the_workflows_and_falls_back_on_the_status() {
    let workflow = |kind: &str, status: &str, total, succeeded, skipped| Workflow {
        id: "wf-1".into(),
        kind: kind.into(),
        status: status.into(),
        total,
        succeeded,
        skipped,
    };
    let built = || workflow("BUILD", "COMPLETED", 9, 9, 0);
    for (status, workflows, step, percent, text) in [
        ("PENDING", vec![], None, 1, "pending"),
        ("BUILDING", vec![], None, 3, "building"),
        ("NEW", vec![], None, 0, "new"),
        (
            "BUILDING",
            vec![workflow("BUILD", "RUNNING", 10, 4, 1)],
            Some("Boot"),
            31,
            "building: step 6 of 10, Boot",
        ),
        ("BUILDING", vec![workflow("BUILD", "RUNNING", 0, 0, 0)], None, 3, "building"),
        ("BUILDING", vec![workflow("BUILD", "RUNNING", -1, i32::MAX, 5)], None, 3, "building"),
        ("TESTING", vec![built(), workflow("TEST", "RUNNING", 4, 4, 4)], None, 80, "testing: step 4 of 4"),
        ("TESTING", vec![built()], None, 60, "testing"),
        (
            "DISTRIBUTING",
            vec![built(), workflow("DISTRIBUTION", "RUNNING", 2, 1, 0)],
            None,
            89,
            "distributing: step 2 of 2",
        ),
        (
            "INTEGRATING",
            vec![workflow("DISTRIBUTION", "RUNNING", 2, 0, 0)],
            None,
            95,
            "integrating: step 1 of 2",
        ),
    ] {
        assert_eq!(
            judge::progress(status, &workflows, step),
            (percent, text.to_owned()),
            "{status} {workflows:?}"
        );
    }
}

#[test]
fn what_came_out_is_held_against_what_is_expected() {
    let (west, north) = (built("eu-west-1", HOME, "ami-w"), built("eu-north-1", HOME, "ami-n"));
    let other = built("eu-west-1", "210987654321", "ami-o");
    let all = [west.clone(), other.clone(), north.clone()];
    let expect = [copy("eu-west-1", HOME), copy("eu-north-1", HOME), copy("eu-west-1", "210987654321")];
    let sorted = Copies { own: vec![north.clone(), west.clone()], foreign: vec![other.clone()] };
    assert_eq!(judge::copies(&all, &expect, HOME), Ok(sorted.clone()));
    assert_eq!(judge::copies(&all, &[], HOME), Ok(sorted.clone()), "none expected: taken as they are");
    assert_eq!(
        judge::copies(&all, &expect[..1], HOME),
        Ok(sorted.clone()),
        "more than expected may come out"
    );
    assert_eq!(sorted.in_region("eu-west-1"), Some(&west), "never another account's");
    assert_eq!(sorted.in_region("us-east-1"), None);
    let twice = [west.clone(), built("eu-west-1", HOME, "ami-x")];
    for (images, expect, words) in [
        (&[][..], &[][..], "no image came out of it"),
        (&twice[..], &[], "two images came out in eu-west-1 of account 123456789012"),
        (
            &all[..1],
            &expect,
            "no image came out in eu-north-1 of account 123456789012, eu-west-1 of account 210987654321",
        ),
        (&all[1..2], &[], "none of the images is account 123456789012's own"),
    ] {
        let error = judge::copies(images, expect, HOME).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_look_tells_available_from_pending_from_broken() {
    let image = built("eu-west-1", HOME, "ami-1");
    let found = |state: &str| Described { state: state.into(), ..Described::default() };
    assert_eq!(judge::look(&image, Some(&found("available"))), Look::Available);
    assert_eq!(judge::look(&image, None), Look::NotYet("ami-1 in eu-west-1 is not found yet".into()));
    for state in ["pending", "transient", "", "new"] {
        assert!(matches!(judge::look(&image, Some(&found(state))), Look::NotYet(_)), "{state}");
    }
    for state in ["failed", "error", "invalid", "deregistered", "disabled"] {
        assert!(matches!(judge::look(&image, Some(&found(state))), Look::Broken(_)), "{state}");
    }
}

#[test]
fn only_what_an_image_lacks_is_tagged() {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let wanted = map(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let found = Described { tags: map(&[("a", "1"), ("b", "other"), ("z", "9")]), ..Described::default() };
    assert_eq!(judge::missing_tags(&wanted, &found), map(&[("b", "2"), ("c", "3")]));
    assert_eq!(judge::missing_tags(&BTreeMap::new(), &found), BTreeMap::new());
}

#[test]
fn an_image_without_a_date_or_a_name_has_no_identity() {
    let image = built("eu-west-1", HOME, "ami-1");
    let found = Described {
        name: Some("web".into()),
        creation_date: Some("2026-01-01T00:00:00.000Z".into()),
        ..Described::default()
    };
    let identity = judge::identity(&image, &found).unwrap();
    assert_eq!((identity.name.as_str(), identity.image_id.as_str()), ("web", "ami-1"));
    assert!(
        judge::identity(&image, &Described { name: None, ..found.clone() }).unwrap_err().contains("Name")
    );
    assert!(
        judge::identity(&image, &Described { creation_date: None, ..found })
            .unwrap_err()
            .contains("CreationDate")
    );
}

#[test]
fn the_home_of_a_pipeline_is_in_its_arn() {
    let arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    assert_eq!(judge::home(arn), Some((HOME, "eu-west-1")));
    for arn in [
        "",
        "arn",
        "arn:aws:imagebuilder",
        "arn:aws:imagebuilder::123456789012:x",
        "arn:aws:imagebuilder:eu-west-1::x",
    ] {
        assert_eq!(judge::home(arn), None, "{arn}");
    }
}

#[test]
fn the_provenance_names_source_recipe_parent_components_and_build() {
    let pipeline = "arn:aws-cn:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    let run = Run {
        build: ARN.into(),
        of: Of::Pipeline(pipeline.into()),
        reused: false,
        service: "web".into(),
        recipe: Recipe {
            arn: Some("arn:recipe".into()),
            parent_image: Some("ami-parent".into()),
            parent_digest: None,
            components: vec!["arn:component/a/1.0.0/1".into(), "arn:component/b/1.0.0/1".into()],
        },
        infrastructure: Some("arn:infrastructure".into()),
        distribution: None,
        created: Some("2026-01-01T00:00:00.000Z".into()),
    };
    let digest = Sha256::of(b"source");
    let spec_digest = Sha256::of(b"spec");
    let uri = "s3://bucket/source.zip".to_owned();
    let source = SourceArtifact { uri, digest, spec: "bakeline.yaml".into(), spec_digest };
    let said = provenance::provenance(&run, &source, &[built("eu-west-1", "210987654321", "ami-o")]);
    let value = serde_json::to_value(&said).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "buildDefinition": {
                "buildType": provenance::BUILD_TYPE,
                "externalParameters": { "source": "s3://bucket/source.zip", "spec": "bakeline.yaml", "service": "web" },
                "internalParameters": {
                    "infrastructureConfiguration": "arn:infrastructure",
                    "distributionConfiguration": null,
                    "imagePipeline": pipeline,
                },
                "resolvedDependencies": [
                    { "name": "source", "uri": "s3://bucket/source.zip", "digest": { "sha256": digest.to_string() } },
                    { "name": "spec", "digest": { "sha256": spec_digest.to_string() } },
                    { "name": "recipe", "uri": "arn:recipe" },
                    { "name": "parentImage", "uri": "ami-parent" },
                    { "name": "component/a", "uri": "arn:component/a/1.0.0/1" },
                    { "name": "component/b", "uri": "arn:component/b/1.0.0/1" },
                ],
            },
            "runDetails": {
                "builder": { "id": "https://bakeline.dev/builder/image-builder/v1", "version": { "bakeline": env!("CARGO_PKG_VERSION") } },
                "metadata": { "invocationId": ARN, "startedOn": "2026-01-01T00:00:00Z" },
                "byproducts": [
                    { "name": "imageBuild", "uri": ARN },
                    {
                        "name": "copy/eu-west-1/210987654321",
                        "uri": "arn:aws-cn:ec2:eu-west-1::image/ami-o",
                        "annotations": { "account": "210987654321", "bakeline_verified": false },
                    },
                ],
            },
        })
    );
    let undated = provenance::provenance(&Run { created: Some("yesterday".into()), ..run }, &source, &[]);
    assert_eq!(undated.run_details.metadata.started_on, None);
}

#[test]
fn output_variables_have_keys_that_codepipeline_takes() {
    let copies = Copies {
        own: vec![built("eu-north-1", HOME, "ami-n"), built("eu-west-1", HOME, "ami-w")],
        foreign: vec![built("eu-west-1", "210987654321", "ami-o")],
    };
    let variables = forward::variables(&copies, "eu-west-1", ARN);
    let keys: Vec<&str> = variables.keys().map(String::as_str).collect();
    assert_eq!(keys, ["ImageBuildArn", "ImageId", "ImageId-eu-north-1", "ImageId-eu-west-1", "ImageRegion"]);
    assert_eq!(variables["ImageId"], "ami-w");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '-' | '_');
    assert!(keys.iter().all(|key| key.chars().all(fits)));
    let container = |region: &str| ContainerIdentity {
        region: region.into(),
        account: HOME.into(),
        repository: "team/web".into(),
        digest: Sha256::of(b"manifest"),
        tag: Some("1.0.0-1".into()),
    };
    let containers = [container("eu-north-1"), container("eu-west-1")];
    let variables = forward::container_variables(&containers, "eu-west-1", ARN);
    assert_eq!(variables["ImageUri"], containers[1].reference());
    assert_eq!(variables["ImageDigest"], format!("sha256:{}", Sha256::of(b"manifest")));
    assert!(variables.keys().all(|key| key.chars().all(fits)), "{variables:?}");
    assert_eq!(variables.len(), 6);
}

#[test]
fn an_image_that_was_available_can_be_retired_and_cannot_fail() {
    for (status, ends) in [
        ("DELETED", true),
        ("DEPRECATED", true),
        ("DISABLED", true),
        ("FAILED", false),
        ("CANCELLED", false),
        ("TESTING", false),
    ] {
        assert_eq!(judge::ends_after_available(status), ends, "{status}");
    }
}

#[test]
fn only_a_failure_on_the_way_to_a_region_is_run_on() {
    let region = RegionBreakdown { region: Some("eu-west-1".into()), ..RegionBreakdown::default() };
    let failed = |breakdown| Build { status: "FAILED".into(), breakdown, ..Build::default() };
    let in_region = Breakdown { regions: vec![region], ..Breakdown::default() };
    let in_component = Breakdown { component: Some(ComponentBreakdown::default()), ..Breakdown::default() };
    assert!(judge::failed_in_distribution(&failed(Some(in_region.clone()))));
    assert!(!judge::failed_in_distribution(&failed(Some(in_component))));
    assert!(!judge::failed_in_distribution(&failed(None)));
    let cancelled = Build { status: "CANCELLED".into(), breakdown: Some(in_region), ..Build::default() };
    assert!(!judge::failed_in_distribution(&cancelled));
}

#[test]
fn a_mark_changes_whenever_a_build_moves() {
    let workflow =
        |succeeded| Workflow { id: "wf".into(), status: "RUNNING".into(), succeeded, ..Workflow::default() };
    let mark = judge::mark("BUILDING", &[workflow(1)], Some("Apply"));
    assert_eq!(mark, judge::mark("BUILDING", &[workflow(1)], Some("Apply")));
    for other in [
        judge::mark("TESTING", &[workflow(1)], Some("Apply")),
        judge::mark("BUILDING", &[workflow(2)], Some("Apply")),
        judge::mark("BUILDING", &[workflow(1)], Some("Next")),
        judge::mark("BUILDING", &[], Some("Apply")),
    ] {
        assert_ne!(other, mark);
    }
}
