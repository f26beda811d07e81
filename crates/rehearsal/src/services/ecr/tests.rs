//! Tests of the documented rules of ECR.

use serde_json::{Value, json};

use super::super::test_aws::{ACCOUNT, REGION, TestAws};
use super::{push, sample_index, sample_manifest};

fn aws() -> TestAws {
    let mut aws = TestAws::new();
    aws.ok("ecr", "CreateRepository", json!({ "repositoryName": "app" }));
    aws
}

fn pushed(aws: &mut TestAws, content: &str, tags: &[&str]) -> String {
    push(&mut aws.world, (ACCOUNT, REGION), "app", tags, &sample_manifest(content)).unwrap()
}

/// Pushes an index of existing images. Returns its digest.
fn index(aws: &mut TestAws, children: &[&str], tags: &[&str]) -> String {
    push(&mut aws.world, (ACCOUNT, REGION), "app", tags, &sample_index(children)).unwrap()
}

fn delete(aws: &mut TestAws, ids: Value) -> Value {
    aws.ok("ecr", "BatchDeleteImage", json!({ "repositoryName": "app", "imageIds": ids }))
}

fn detail(aws: &mut TestAws, digest: &str) -> Value {
    let input = json!({ "repositoryName": "app", "imageIds": [{ "imageDigest": digest }] });
    aws.ok("ecr", "DescribeImages", input)["imageDetails"][0].clone()
}

fn listed(aws: &mut TestAws, filter: Value) -> usize {
    let input = json!({ "repositoryName": "app", "filter": filter });
    aws.ok("ecr", "DescribeImages", input)["imageDetails"].as_array().unwrap().len()
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["failures"].as_array().unwrap().iter().map(|f| f["failureCode"].as_str().unwrap()).collect()
}

#[test]
fn moving_a_tag_leaves_the_old_image_untagged() {
    let mut t = aws();
    let first = pushed(&mut t, "one", &["latest"]);
    let second = pushed(&mut t, "two", &["latest"]);
    assert_eq!(detail(&mut t, &second)["imageTags"], json!(["latest"]));
    assert_eq!(detail(&mut t, &first)["imageTags"], Value::Null);
    assert_eq!(listed(&mut t, json!({ "tagStatus": "UNTAGGED" })), 1);
}

#[test]
fn an_immutable_tag_cannot_be_moved() {
    let mut t = TestAws::new();
    t.ok(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "app", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
            "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "dev-*" }] }),
    );
    pushed(&mut t, "one", &["v1", "dev-1"]);
    let again = json!({ "repositoryName": "app", "imageManifest": sample_manifest("two"), "imageTag": "v1" });
    assert_eq!(t.refused("ecr", "PutImage", again), "ImageTagAlreadyExistsException");
    let same = json!({ "repositoryName": "app", "imageManifest": sample_manifest("one"), "imageTag": "v1" });
    assert_eq!(t.refused("ecr", "PutImage", same), "ImageAlreadyExistsException");
    let moves =
        json!({ "repositoryName": "app", "imageManifest": sample_manifest("two"), "imageTag": "dev-1" });
    t.ok("ecr", "PutImage", moves);
}

#[test]
fn deleting_by_tag_removes_the_tag_and_deleting_the_last_tag_removes_the_image() {
    let mut t = aws();
    let digest = pushed(&mut t, "one", &["v1", "v1.0"]);
    delete(&mut t, json!([{ "imageTag": "v1" }]));
    assert_eq!(detail(&mut t, &digest)["imageTags"], json!(["v1.0"]));
    delete(&mut t, json!([{ "imageTag": "v1.0" }]));
    assert_eq!(listed(&mut t, json!({})), 0);
}

#[test]
fn failed_deletions_are_listed_in_a_successful_response() {
    let mut t = aws();
    let child = pushed(&mut t, "child", &[]);
    let other = pushed(&mut t, "other", &["v1"]);
    let list = index(&mut t, &[&child], &["multi"]);
    let missing = format!("sha256:{}", "0".repeat(64));
    let answer = delete(
        &mut t,
        json!([
            { "imageDigest": child }, { "imageDigest": missing }, { "imageDigest": "sha256:1" }, {},
            { "imageDigest": other, "imageTag": "multi" }, { "imageTag": "none" }, { "imageDigest": other },
        ]),
    );
    assert_eq!(
        codes(&answer),
        [
            "ImageReferencedByManifestList",
            "ImageNotFound",
            "InvalidImageDigest",
            "MissingDigestAndTag",
            "ImageTagDoesNotMatchDigest",
            "ImageNotFound"
        ]
    );
    assert_eq!(answer["imageIds"], json!([{ "imageDigest": other, "imageTag": "v1" }]));
    assert_eq!(codes(&delete(&mut t, json!([{ "imageDigest": list }, { "imageDigest": child }]))), [""; 0]);
}

#[test]
fn an_index_requires_its_images() {
    let mut t = aws();
    let missing = format!("sha256:{}", "0".repeat(64));
    let input = json!({ "repositoryName": "app", "imageManifest": sample_index(&[&missing]) });
    assert_eq!(t.refused("ecr", "PutImage", input), "ReferencedImagesNotFoundException");
}

#[test]
fn an_archived_image_is_neither_listed_by_default_nor_pulled_and_can_be_restored() {
    let mut t = aws();
    let digest = pushed(&mut t, "one", &["v1"]);
    let class = |class: &str| json!({ "repositoryName": "app", "imageId": { "imageDigest": digest }, "targetStorageClass": class });
    assert_eq!(t.ok("ecr", "UpdateImageStorageClass", class("ARCHIVE"))["imageStatus"], "ARCHIVED");
    assert_eq!((listed(&mut t, json!({})), listed(&mut t, json!({ "imageStatus": "ANY" }))), (0, 1));
    let pull = json!({ "repositoryName": "app", "imageIds": [{ "imageTag": "v1" }] });
    assert_eq!(codes(&t.ok("ecr", "BatchGetImage", pull.clone())), ["ImageNotFound"]);
    assert_eq!(t.ok("ecr", "UpdateImageStorageClass", class("STANDARD"))["imageStatus"], "ACTIVATING");
    t.pass(20 * 60);
    assert_eq!(detail(&mut t, &digest)["imageStatus"], "ACTIVE");
    assert_eq!(codes(&t.ok("ecr", "BatchGetImage", pull)), [""; 0]);
}

#[test]
fn a_push_restores_an_archived_image_at_once() {
    let mut t = aws();
    let digest = pushed(&mut t, "one", &["v1"]);
    t.ok(
        "ecr",
        "UpdateImageStorageClass",
        json!({ "repositoryName": "app", "imageId": { "imageDigest": digest }, "targetStorageClass": "ARCHIVE" }),
    );
    pushed(&mut t, "one", &["v1"]);
    assert_eq!(detail(&mut t, &digest)["imageStatus"], "ACTIVE");
}

#[test]
fn an_image_of_an_active_index_is_not_archived() {
    let mut t = aws();
    let child = pushed(&mut t, "child", &[]);
    let list = index(&mut t, &[&child], &["multi"]);
    let archive = |digest: &str| json!({ "repositoryName": "app", "imageId": { "imageDigest": digest }, "targetStorageClass": "ARCHIVE" });
    assert_eq!(
        t.refused("ecr", "UpdateImageStorageClass", archive(&child)),
        "ImageStorageClassUpdateNotSupportedException"
    );
    t.ok("ecr", "UpdateImageStorageClass", archive(&list));
    t.ok("ecr", "UpdateImageStorageClass", archive(&child));
}

#[test]
fn a_pull_is_recorded_at_least_once_a_day() {
    let mut t = aws();
    let digest = pushed(&mut t, "one", &["v1"]);
    let mut seen = Vec::new();
    for hours in [0, 1, 23] {
        t.pass(hours * 3600);
        t.ok("ecr", "BatchGetImage", json!({ "repositoryName": "app", "imageIds": [{ "imageTag": "v1" }] }));
        seen.push(detail(&mut t, &digest)["lastRecordedPullTime"].as_f64().unwrap());
    }
    assert!(seen[0].total_cmp(&seen[1]).is_eq() && seen[2] > seen[0], "{seen:?}");
}

#[test]
fn lists_are_paginated_and_a_repository_with_images_is_not_deleted() {
    let mut t = aws();
    for number in 0..5 {
        pushed(&mut t, &format!("image {number}"), &[]);
    }
    let mut next = Value::Null;
    let mut sizes = Vec::new();
    loop {
        let input = json!({ "repositoryName": "app", "maxResults": 2, "nextToken": next });
        let mut input = input.as_object().unwrap().clone();
        input.retain(|_, value| !value.is_null());
        let answer = t.ok("ecr", "ListImages", input.into());
        sizes.push(answer["imageIds"].as_array().unwrap().len());
        next = answer["nextToken"].clone();
        if next.is_null() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    let gone = json!({ "repositoryName": "app" });
    assert_eq!(t.refused("ecr", "DeleteRepository", gone), "RepositoryNotEmptyException");
    t.ok("ecr", "DeleteRepository", json!({ "repositoryName": "app", "force": true }));
    assert_eq!(
        t.refused("ecr", "ListImages", json!({ "repositoryName": "app" })),
        "RepositoryNotFoundException"
    );
}
