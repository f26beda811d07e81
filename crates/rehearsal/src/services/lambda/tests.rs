//! Tests of the documented rules of Lambda.

use serde_json::{Value, json};

use super::super::ecr;
use super::super::test_aws::{ACCOUNT, REGION, TestAws};

const URI: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/app";

/// An AWS with the repository `app` and an image with the tag `v1`, and the image's digest.
fn aws() -> (TestAws, String) {
    let mut aws = TestAws::new();
    ecr::seed_repository(&mut aws.world, ACCOUNT, REGION, "app");
    let digest =
        ecr::push(&mut aws.world, (ACCOUNT, REGION), "app", &["v1"], &ecr::sample_manifest("one")).unwrap();
    (aws, digest)
}

fn create(aws: &mut TestAws, name: &str) -> Value {
    aws.ok(
        "lambda",
        "CreateFunction",
        json!({ "FunctionName": name, "Role": "arn:aws:iam::111122223333:role/run", "PackageType": "Image",
            "Code": { "ImageUri": format!("{URI}:v1") } }),
    )
}

fn resolved(aws: &mut TestAws, qualifier: &str) -> String {
    let got = aws.ok("lambda", "GetFunction", json!({ "FunctionName": "web", "Qualifier": qualifier }));
    got["Code"]["ResolvedImageUri"].as_str().unwrap().to_owned()
}

#[test]
fn a_tag_is_resolved_once_and_a_version_keeps_its_image() {
    let (mut t, first) = aws();
    create(&mut t, "web");
    t.pass(60);
    let published = t.ok("lambda", "PublishVersion", json!({ "FunctionName": "web" }));
    assert_eq!(published["Version"], "1");
    let second =
        ecr::push(&mut t.world, (ACCOUNT, REGION), "app", &["v1"], &ecr::sample_manifest("two")).unwrap();
    assert_eq!(resolved(&mut t, "$LATEST"), format!("{URI}@{first}"), "the tag moved, the function did not");
    t.ok("lambda", "UpdateFunctionCode", json!({ "FunctionName": "web", "ImageUri": format!("{URI}:v1") }));
    assert_eq!(resolved(&mut t, "$LATEST"), format!("{URI}@{second}"));
    assert_eq!(resolved(&mut t, "1"), format!("{URI}@{first}"));
}

#[test]
fn publishing_unchanged_code_creates_no_version() {
    let (mut t, _) = aws();
    create(&mut t, "web");
    t.pass(60);
    for _ in 0..2 {
        assert_eq!(t.ok("lambda", "PublishVersion", json!({ "FunctionName": "web" }))["Version"], "1");
    }
    let listed = t.ok("lambda", "ListFunctions", json!({ "FunctionVersion": "ALL" }));
    assert_eq!(listed["Functions"].as_array().unwrap().len(), 2, "the latest and one");
    assert_eq!(t.ok("lambda", "ListFunctions", json!({}))["Functions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_pending_or_updating_function_cannot_be_changed() {
    let (mut t, _) = aws();
    assert_eq!(create(&mut t, "web")["State"], "Pending");
    assert_eq!(
        t.refused("lambda", "PublishVersion", json!({ "FunctionName": "web" })),
        "ResourceConflictException"
    );
    t.pass(60);
    let code = json!({ "FunctionName": "web", "ImageUri": format!("{URI}:v1") });
    assert_eq!(t.ok("lambda", "UpdateFunctionCode", code.clone())["LastUpdateStatus"], "InProgress");
    assert_eq!(t.refused("lambda", "UpdateFunctionCode", code), "ResourceConflictException");
}

#[test]
fn an_unknown_image_is_rejected() {
    let (mut t, _) = aws();
    let input = json!({ "FunctionName": "web", "Role": "arn:aws:iam::111122223333:role/run",
        "PackageType": "Image", "Code": { "ImageUri": format!("{URI}:v9") } });
    assert_eq!(t.refused("lambda", "CreateFunction", input), "InvalidParameterValueException");
}

#[test]
fn a_page_has_at_most_fifty_functions() {
    let (mut t, _) = aws();
    for number in 0..51 {
        create(&mut t, &format!("f{number}"));
    }
    let first = t.ok("lambda", "ListFunctions", json!({ "MaxItems": 1000 }));
    assert_eq!(first["Functions"].as_array().unwrap().len(), 50);
    let second = t.ok("lambda", "ListFunctions", json!({ "Marker": first["NextMarker"] }));
    assert_eq!(second["Functions"].as_array().unwrap().len(), 1);
}
