//! Tests of Parameter Store.

use super::super::{parameter_value, parameters_naming};
use super::*;

fn put(world: &mut World, name: &str, value: &str) -> Result<Value, ApiError> {
    ask(world, "PutParameter", json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true }))
}

fn value(world: &mut World, name: &str) -> Result<String, String> {
    match ask(world, "GetParameter", json!({ "Name": name })) {
        Ok(answer) => Ok(answer["Parameter"]["Value"].as_str().unwrap().to_owned()),
        Err(refused) => Err(refused.code),
    }
}

#[test]
fn a_selector_finds_a_version() {
    let mut world = new_world();
    for text in ["one", "two", "three"] {
        put(&mut world, "/app/image", text).unwrap();
    }
    let label = json!({ "Name": "/app/image", "ParameterVersion": 2, "Labels": ["live"] });
    ask(&mut world, "LabelParameterVersion", label).unwrap();
    for (name, expected) in [
        ("/app/image", Ok("three")),
        ("/app/image:1", Ok("one")),
        ("/app/image:live", Ok("two")),
        ("/app/image:9", Err("ParameterVersionNotFound")),
        ("/app/image:dead", Err("ParameterVersionNotFound")),
        ("/app/none", Err("ParameterNotFound")),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/app/image:1", Ok("one")),
    ] {
        let found = value(&mut world, name);
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{name}");
        let seen = parameter_value(&world, ACCOUNT, REGION, name);
        assert_eq!(seen.as_deref(), expected.ok(), "{name}");
    }
    assert_eq!(parameters_naming(&world, ACCOUNT, REGION, "three"), ["/app/image"]);
    assert!(parameters_naming(&world, ACCOUNT, REGION, "two").is_empty());
}

#[test]
fn an_image_is_validated_after_the_response() {
    let mut world = new_world();
    let ready = image(&mut world, InstanceBehavior::default(), 0);
    let pending = image(&mut world, InstanceBehavior::default(), 600);
    for (ami, stored) in [(ready.as_str(), true), (pending.as_str(), false), ("ami-00000000000000bad", false)]
    {
        let name = format!("/images/{}", &ami[4..]);
        let input = json!({ "Name": name, "Value": ami, "Type": "String", "DataType": "aws:ec2:image" });
        let answer = ask(&mut world, "PutParameter", input).unwrap();
        assert_eq!(answer["Version"], 1, "the answer is the same for every image");
        assert_eq!(value(&mut world, &name), Err("ParameterNotFound".into()));
        wait(&mut world, 3);
        assert_eq!(value(&mut world, &name).is_ok(), stored, "{ami}");
    }
}

#[test]
fn an_invalid_image_does_not_replace_the_last_valid_one() {
    let mut world = new_world();
    let ready = image(&mut world, InstanceBehavior::default(), 0);
    for ami in [ready.as_str(), "ami-00000000000000bad"] {
        let input = json!({ "Name": "/image", "Value": ami, "Type": "String", "DataType": "aws:ec2:image",
            "Overwrite": true });
        ask(&mut world, "PutParameter", input).unwrap();
        wait(&mut world, 3);
    }
    assert_eq!(value(&mut world, "/image"), Ok(ready));
}

#[test]
fn invalid_writes_are_rejected() {
    let deep = "/a".repeat(16);
    let long = "v".repeat(4097);
    for (input, code) in [
        (json!({ "Name": "/there", "Value": "x", "Type": "String" }), "ParameterAlreadyExists"),
        (
            json!({ "Name": "/there", "Value": "x", "Type": "StringList", "Overwrite": true }),
            "HierarchyTypeMismatchException",
        ),
        (
            json!({ "Name": "/there", "Value": "x", "Overwrite": true, "Tags": [{ "Key": "a", "Value": "b" }] }),
            "ValidationException",
        ),
        (json!({ "Name": "/new", "Value": "x" }), "ValidationException"),
        (json!({ "Name": "/aws/new", "Value": "x", "Type": "String" }), "ValidationException"),
        (json!({ "Name": "SSM-new", "Value": "x", "Type": "String" }), "ValidationException"),
        (json!({ "Name": "no/slash", "Value": "x", "Type": "String" }), "ValidationException"),
        (json!({ "Name": deep, "Value": "x", "Type": "String" }), "HierarchyLevelLimitExceededException"),
        (json!({ "Name": "/new", "Value": long, "Type": "String" }), "ValidationException"),
        (
            json!({ "Name": "/new", "Value": "x", "Type": "String", "AllowedPattern": "^y$" }),
            "ParameterPatternMismatchException",
        ),
        (
            json!({ "Name": "/new", "Value": "x", "Type": "String", "DataType": "other" }),
            "ValidationException",
        ),
    ] {
        let mut world = new_world();
        put(&mut world, "/there", "v").unwrap();
        let refused = ask(&mut world, "PutParameter", input.clone()).map_err(|refused| refused.code);
        assert_eq!(refused, Err(code.to_owned()), "{input}");
    }
    let mut world = new_world();
    put(&mut world, "/there", "v").unwrap();
    let update = json!({ "Name": "/there", "Value": "w", "Overwrite": true });
    assert_eq!(ask(&mut world, "PutParameter", update).unwrap()["Version"], 2, "a type is not needed again");
}

#[test]
fn a_label_is_on_one_version_and_invalid_labels_are_returned() {
    let mut world = new_world();
    put(&mut world, "/p", "1").unwrap();
    put(&mut world, "/p", "2").unwrap();
    let label =
        |version: u64, labels: Value| json!({ "Name": "/p", "ParameterVersion": version, "Labels": labels });
    let labels = json!(["live", "aws-x", "SSMy", "1st", "no space"]);
    let answer = ask(&mut world, "LabelParameterVersion", label(1, labels)).unwrap();
    assert_eq!(answer["InvalidLabels"], json!(["aws-x", "SSMy", "1st", "no space"]));
    ask(&mut world, "LabelParameterVersion", label(2, json!(["live"]))).unwrap();
    assert_eq!(value(&mut world, "/p:live"), Ok("2".into()));
    let many: Vec<String> = (0..11).map(|n| format!("l{n}")).collect();
    let refused = ask(&mut world, "LabelParameterVersion", label(1, json!(many))).unwrap_err();
    assert_eq!(refused.code, "ParameterVersionLabelLimitExceeded");
    let refused = ask(&mut world, "LabelParameterVersion", label(9, json!(["x"]))).unwrap_err();
    assert_eq!(refused.code, "ParameterVersionNotFound");
    let removed = ask(&mut world, "UnlabelParameterVersion", label(2, json!(["live", "other"]))).unwrap();
    assert_eq!(removed, json!({ "RemovedLabels": ["live"], "InvalidLabels": ["other"] }));
}

#[test]
fn a_hundred_versions_are_kept_unless_the_oldest_has_a_label() {
    let mut world = new_world();
    for n in 1..=101 {
        put(&mut world, "/p", &n.to_string()).unwrap();
    }
    assert_eq!(value(&mut world, "/p:1"), Err("ParameterVersionNotFound".into()));
    let label = json!({ "Name": "/p", "ParameterVersion": 2, "Labels": ["keep"] });
    ask(&mut world, "LabelParameterVersion", label).unwrap();
    assert_eq!(put(&mut world, "/p", "x").unwrap_err().code, "ParameterMaxVersionLimitExceeded");
}

#[test]
fn lists_are_filtered_and_paginated() {
    let mut world = new_world();
    for name in ["/a/one", "/a/two", "/a/deep/three", "/b/four"] {
        put(&mut world, name, "v").unwrap();
    }
    let names = |answer: &Value| -> Vec<String> {
        answer["Parameters"].as_array().unwrap().iter().map(|p| p["Name"].as_str().unwrap().into()).collect()
    };
    let flat = ask(&mut world, "GetParametersByPath", json!({ "Path": "/a" })).unwrap();
    assert_eq!(names(&flat), ["/a/one", "/a/two"]);
    let first = json!({ "Path": "/a", "Recursive": true, "MaxResults": 2 });
    let first = ask(&mut world, "GetParametersByPath", first).unwrap();
    let rest = json!({ "Path": "/a", "Recursive": true, "NextToken": first["NextToken"] });
    let rest = ask(&mut world, "GetParametersByPath", rest).unwrap();
    assert_eq!((names(&first).len(), names(&rest).len()), (2, 1));
    let filter = json!({ "ParameterFilters": [{ "Key": "Name", "Option": "BeginsWith", "Values": ["/b"] }] });
    assert_eq!(names(&ask(&mut world, "DescribeParameters", filter).unwrap()), ["/b/four"]);
    let unknown = json!({ "ParameterFilters": [{ "Key": "Colour", "Values": ["red"] }] });
    assert_eq!(ask(&mut world, "DescribeParameters", unknown).unwrap_err().code, "InvalidFilterKey");
    let many = json!({ "Names": ["/a/one", "/none"] });
    let many = ask(&mut world, "GetParameters", many).unwrap();
    assert_eq!((names(&many), &many["InvalidParameters"]), (vec!["/a/one".into()], &json!(["/none"])));
    ask(&mut world, "DeleteParameter", json!({ "Name": "/a/one" })).unwrap();
    assert_eq!(
        ask(&mut world, "DeleteParameter", json!({ "Name": "/a/one" })).unwrap_err().code,
        "ParameterNotFound"
    );
}

#[test]
fn a_secure_string_is_decrypted_only_on_request() {
    let mut world = new_world();
    let secret = json!({ "Name": "/secret", "Value": "hush", "Type": "SecureString" });
    ask(&mut world, "PutParameter", secret).unwrap();
    for (decrypt, clear) in [(false, false), (true, true)] {
        let input = json!({ "Name": "/secret", "WithDecryption": decrypt });
        let shown = ask(&mut world, "GetParameter", input).unwrap();
        assert_eq!(shown["Parameter"]["Value"] == "hush", clear);
    }
}

#[test]
fn tags_are_added_and_removed() {
    let mut world = new_world();
    put(&mut world, "/p", "v").unwrap();
    let on = |more: Value| {
        let mut input = json!({ "ResourceType": "Parameter", "ResourceId": "/p" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let tags = json!({ "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }] });
    ask(&mut world, "AddTagsToResource", on(tags)).unwrap();
    ask(&mut world, "RemoveTagsFromResource", on(json!({ "TagKeys": ["a"] }))).unwrap();
    let listed = ask(&mut world, "ListTagsForResource", on(json!({}))).unwrap();
    assert_eq!(listed["TagList"], json!([{ "Key": "b", "Value": "2" }]));
}
