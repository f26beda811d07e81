//! Tests of the pure parts of a bake.

mod tokens;

use std::collections::BTreeMap;

use super::build::status::{
    self, Build, BuildFailure, BuildPhase, ComponentFailure, RegionFailure, Workflow,
};
use super::images::availability::{self, Availability, BuiltImage, Copies, Described};
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
fn a_build_runs_unless_its_status_is_a_known_end() {
    for (status, expected) in [
        ("PENDING", BuildPhase::Running),
        ("CREATING", BuildPhase::Running),
        ("BUILDING", BuildPhase::Running),
        ("TESTING", BuildPhase::Running),
        ("DISTRIBUTING", BuildPhase::Running),
        ("INTEGRATING", BuildPhase::Running),
        ("", BuildPhase::Running),
        ("SOMETHING_NEW", BuildPhase::Running),
        ("AVAILABLE", BuildPhase::Available),
        ("FAILED", BuildPhase::Ended),
        ("CANCELLED", BuildPhase::Ended),
        ("DELETED", BuildPhase::Ended),
        ("DEPRECATED", BuildPhase::Ended),
        ("DISABLED", BuildPhase::Ended),
    ] {
        assert_eq!(BuildPhase::of(status), expected, "{status}");
    }
}

#[test]
fn the_failure_summary_has_everything_that_image_builder_reports() {
    let component = Build {
        status: "FAILED".into(),
        reason: Some("SSM execution failed".into()),
        failure: Some(BuildFailure {
            workflow: Some("arn:workflow".into()),
            step: Some("ApplyBuildComponents".into()),
            component: Some(ComponentFailure {
                component: Some("arn:component".into()),
                phase: Some("build".into()),
                step: Some("InstallNginx".into()),
                action: Some("ExecuteBash".into()),
                message: Some("no such package".into()),
            }),
            ..BuildFailure::default()
        }),
        images: vec![built("eu-west-1", HOME, "ami-1")],
        ..Build::default()
    };
    assert_eq!(
        status::failure_summary(ARN, &component),
        format!(
            "image build {ARN} ended FAILED; SSM execution failed; workflow arn:workflow; workflow step \
             ApplyBuildComponents; component arn:component; phase build; step InstallNginx; action ExecuteBash; \
             error: no such package; images of the build remain: ami-1 in eu-west-1 of account {HOME}"
        )
    );
    let distribution = Build {
        status: "FAILED".into(),
        failure: Some(BuildFailure {
            distribution: Some("2 regions failed".into()),
            regions: vec![
                RegionFailure {
                    region: Some("eu-west-2".into()),
                    account: Some(HOME.into()),
                    status: Some("TIMED_OUT".into()),
                    step: Some("PUT_SSM_PARAMETERS".into()),
                    message: Some("denied".into()),
                },
                RegionFailure::default(),
            ],
            ..BuildFailure::default()
        }),
        ..Build::default()
    };
    assert_eq!(
        status::failure_summary(ARN, &distribution),
        format!(
            "image build {ARN} ended FAILED; distribution: 2 regions failed; region eu-west-2 (account {HOME}) \
             TIMED_OUT in PUT_SSM_PARAMETERS: denied; region ? (account ?) ?: no message"
        )
    );
    let cancelled = Build { status: "CANCELLED".into(), ..Build::default() };
    assert_eq!(status::failure_summary(ARN, &cancelled), format!("image build {ARN} ended CANCELLED"));
}

#[test]
fn progress_follows_the_workflows_or_else_the_status() {
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
            status::progress(status, &workflows, step),
            (percent, text.to_owned()),
            "{status} {workflows:?}"
        );
    }
}

#[test]
fn the_images_of_a_build_are_compared_with_the_expected_copies() {
    let (west, north) = (built("eu-west-1", HOME, "ami-w"), built("eu-north-1", HOME, "ami-n"));
    let other = built("eu-west-1", "210987654321", "ami-o");
    let all = [west.clone(), other.clone(), north.clone()];
    let expect = [copy("eu-west-1", HOME), copy("eu-north-1", HOME), copy("eu-west-1", "210987654321")];
    let sorted = Copies { own: vec![north.clone(), west.clone()], in_other_accounts: vec![other.clone()] };
    assert_eq!(availability::copies(&all, &expect, HOME), Ok(sorted.clone()));
    assert_eq!(
        availability::copies(&all, &[], HOME),
        Ok(sorted.clone()),
        "nothing expected: every image is accepted"
    );
    assert_eq!(
        availability::copies(&all, &expect[..1], HOME),
        Ok(sorted.clone()),
        "more images than expected are accepted"
    );
    assert_eq!(sorted.in_region("eu-west-1"), Some(&west), "never the copy of another account");
    assert_eq!(sorted.in_region("us-east-1"), None);
    let twice = [west.clone(), built("eu-west-1", HOME, "ami-x")];
    for (images, expect, words) in [
        (&[][..], &[][..], "has no image"),
        (&twice[..], &[], "two images in eu-west-1 of account 123456789012"),
        (
            &all[..1],
            &expect,
            "has no image in eu-north-1 of account 123456789012, eu-west-1 of account 210987654321",
        ),
        (&all[1..2], &[], "none of the images is in account 123456789012"),
    ] {
        let error = availability::copies(images, expect, HOME).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_image_is_available_pending_or_unusable_by_its_state() {
    let image = built("eu-west-1", HOME, "ami-1");
    let found = |state: &str| Described { state: state.into(), ..Described::default() };
    assert_eq!(availability::of_image(&image, Some(&found("available"))), Availability::Available);
    assert_eq!(
        availability::of_image(&image, None),
        Availability::Pending("ami-1 in eu-west-1 is not found yet".into())
    );
    for state in ["pending", "transient", "", "new"] {
        assert!(
            matches!(availability::of_image(&image, Some(&found(state))), Availability::Pending(_)),
            "{state}"
        );
    }
    for state in ["failed", "error", "invalid", "deregistered", "disabled"] {
        assert!(
            matches!(availability::of_image(&image, Some(&found(state))), Availability::Unusable(_)),
            "{state}"
        );
    }
}

#[test]
fn only_missing_tags_are_added() {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let wanted = map(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let found = Described { tags: map(&[("a", "1"), ("b", "other"), ("z", "9")]), ..Described::default() };
    assert_eq!(availability::missing_tags(&wanted, &found), map(&[("b", "2"), ("c", "3")]));
    assert_eq!(availability::missing_tags(&BTreeMap::new(), &found), BTreeMap::new());
}

#[test]
fn an_image_without_a_date_or_a_name_has_no_identity() {
    let image = built("eu-west-1", HOME, "ami-1");
    let found = Described {
        name: Some("web".into()),
        creation_date: Some("2026-01-01T00:00:00.000Z".into()),
        ..Described::default()
    };
    let identity = availability::identity(&image, &found).unwrap();
    assert_eq!((identity.name.as_str(), identity.image_id.as_str()), ("web", "ami-1"));
    assert!(
        availability::identity(&image, &Described { name: None, ..found.clone() })
            .unwrap_err()
            .to_string()
            .contains("Name")
    );
    assert!(
        availability::identity(&image, &Described { creation_date: None, ..found })
            .unwrap_err()
            .to_string()
            .contains("CreationDate")
    );
}

#[test]
fn an_arn_has_the_account_and_the_region() {
    let arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    assert_eq!(arn::account_and_region(arn), Some((HOME, "eu-west-1")));
    for arn in [
        "",
        "arn",
        "arn:aws:imagebuilder",
        "arn:aws:imagebuilder::123456789012:x",
        "arn:aws:imagebuilder:eu-west-1::x",
    ] {
        assert_eq!(arn::account_and_region(arn), None, "{arn}");
    }
}

#[test]
fn the_provenance_names_source_recipe_parent_components_and_build() {
    let pipeline = "arn:aws-cn:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    let run = Run {
        build: ARN.into(),
        of: BuildFrom::ImagePipeline(pipeline.into()),
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
fn codepipeline_takes_every_name_of_an_output_variable() {
    let copies = Copies {
        own: vec![built("eu-north-1", HOME, "ami-n"), built("eu-west-1", HOME, "ami-w")],
        in_other_accounts: vec![built("eu-west-1", "210987654321", "ami-o")],
    };
    let variables = variables::of_machine_images(&copies, "eu-west-1", ARN);
    let keys: Vec<&str> = variables.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "Image",
            "ImageBuildArn",
            "ImageId",
            "ImageId-eu-north-1",
            "ImageId-eu-west-1",
            "ImageKind",
            "ImageRegion"
        ]
    );
    assert_eq!((variables["Image"].as_str(), variables["ImageId"].as_str()), ("ami-w", "ami-w"));
    assert_eq!(variables["ImageKind"], "machine_image");
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
    let variables = variables::of_container_images(&containers, "eu-west-1", ARN);
    assert_eq!(variables["ImageURI"], containers[1].reference());
    assert_eq!(
        (&variables["Image"], variables["ImageKind"].as_str()),
        (&variables["ImageURI"], "container_image")
    );
    assert_eq!(variables["ImageDigest"], format!("sha256:{}", Sha256::of(b"manifest")));
    assert!(variables.keys().all(|key| key.chars().all(fits)), "{variables:?}");
    assert_eq!(variables.len(), 8);
}

#[test]
fn a_build_that_was_available_can_be_retired_but_cannot_fail() {
    for (status, ends) in [
        ("DELETED", true),
        ("DEPRECATED", true),
        ("DISABLED", true),
        ("FAILED", false),
        ("CANCELLED", false),
        ("TESTING", false),
    ] {
        assert_eq!(status::ends_after_available(status), ends, "{status}");
    }
}

#[test]
fn only_a_failed_distribution_is_retried() {
    let region = RegionFailure { region: Some("eu-west-1".into()), ..RegionFailure::default() };
    let failed = |failure| Build { status: "FAILED".into(), failure, ..Build::default() };
    let in_region = BuildFailure { regions: vec![region], ..BuildFailure::default() };
    let in_component =
        BuildFailure { component: Some(ComponentFailure::default()), ..BuildFailure::default() };
    assert!(status::failed_in_distribution(&failed(Some(in_region.clone()))));
    assert!(!status::failed_in_distribution(&failed(Some(in_component))));
    assert!(!status::failed_in_distribution(&failed(None)));
    let cancelled = Build { status: "CANCELLED".into(), failure: Some(in_region), ..Build::default() };
    assert!(!status::failed_in_distribution(&cancelled));
}

#[test]
fn the_fingerprint_changes_with_every_progress_of_the_build() {
    let workflow =
        |succeeded| Workflow { id: "wf".into(), status: "RUNNING".into(), succeeded, ..Workflow::default() };
    let fingerprint = status::fingerprint("BUILDING", &[workflow(1)], Some("Apply"));
    assert_eq!(fingerprint, status::fingerprint("BUILDING", &[workflow(1)], Some("Apply")));
    for other in [
        status::fingerprint("TESTING", &[workflow(1)], Some("Apply")),
        status::fingerprint("BUILDING", &[workflow(2)], Some("Apply")),
        status::fingerprint("BUILDING", &[workflow(1)], Some("Next")),
        status::fingerprint("BUILDING", &[], Some("Apply")),
    ] {
        assert_ne!(other, fingerprint);
    }
}
