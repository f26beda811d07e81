//! Validation of pipelines and action types.

use super::*;

fn new_type() -> Value {
    json!({
        "category": "Build", "provider": "New", "version": "1",
        "inputArtifactDetails": { "minimumCount": 0, "maximumCount": 1 },
        "outputArtifactDetails": { "minimumCount": 0, "maximumCount": 1 },
    })
}

fn property(name: &str, required: bool, secret: bool, queryable: bool) -> Value {
    json!({ "name": name, "required": required, "key": true, "secret": secret, "queryable": queryable })
}

#[test]
fn invalid_action_types_are_rejected() {
    let many = |count: usize| (0..count).map(|i| property(&format!("P{i}"), true, false, false)).collect();
    let cases: Vec<(&str, Value, bool)> = vec![
        ("configurationProperties", many(10), true),
        ("configurationProperties", many(11), false),
        ("configurationProperties", json!([property("A", true, false, true)]), true),
        ("configurationProperties", json!([property("A", false, false, true)]), false),
        ("configurationProperties", json!([property("A", true, true, true)]), false),
        (
            "configurationProperties",
            json!([property("A", true, false, true), property("B", true, false, true)]),
            false,
        ),
        (
            "configurationProperties",
            json!([property("A", true, false, false), property("A", true, false, false)]),
            false,
        ),
        ("category", json!("Approval"), false),
        ("category", json!("Source"), false),
        ("category", json!("Invoke"), true),
        ("inputArtifactDetails", json!({ "minimumCount": 2, "maximumCount": 1 }), false),
        ("settings", json!({ "entityUrlTemplate": "https://x/{Config:A}" }), false),
    ];
    for (member, value, accepted) in cases {
        let mut world = World::new(Time(0), 1);
        let mut input = new_type();
        input[member] = value;
        let answer = ask(&mut world, "CreateCustomActionType", input.clone());
        match answer {
            Ok(answer) => {
                assert!(accepted, "{input}");
                assert_eq!(answer["actionType"]["id"]["owner"], "Custom");
            }
            Err(refused) => {
                assert_eq!((refused.code.as_str(), accepted), ("ValidationException", false), "{input}");
            }
        }
    }
}

#[test]
fn a_deleted_version_is_never_used_again() {
    let mut world = World::new(Time(0), 1);
    ask(&mut world, "CreateCustomActionType", new_type()).unwrap();
    let delete = json!({ "category": "Build", "provider": "New", "version": "1" });
    ask(&mut world, "DeleteCustomActionType", delete).unwrap();
    assert_eq!(
        ask(&mut world, "CreateCustomActionType", new_type()).unwrap_err().code,
        "ValidationException"
    );
    let mut next = new_type();
    next["version"] = json!("2");
    ask(&mut world, "CreateCustomActionType", next).unwrap();
    let listed = ask(&mut world, "ListActionTypes", json!({ "actionOwnerFilter": "Custom" })).unwrap();
    assert_eq!(listed["actionTypes"].as_array().unwrap().len(), 1);
}

#[test]
fn an_account_has_fifty_custom_types() {
    let mut world = World::new(Time(0), 1);
    for version in 1..=51 {
        let mut input = new_type();
        input["version"] = json!(version.to_string());
        let answer = ask(&mut world, "CreateCustomActionType", input).map_err(|refused| refused.code);
        assert_eq!(answer.is_err(), version == 51);
        if let Err(code) = answer {
            assert_eq!(code, "LimitExceededException");
        }
    }
}

#[test]
fn invalid_pipelines_are_rejected() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 10] = [
        ("one stage", |d| d["stages"].as_array_mut().unwrap().truncate(1), "InvalidStructureException"),
        (
            "unknown input",
            |d| d["stages"][2]["actions"][0]["inputArtifacts"] = json!([{ "name": "X" }]),
            "InvalidStructureException",
        ),
        (
            "same output twice",
            |d| d["stages"][2]["actions"][0]["outputArtifacts"] = json!([{ "name": "Made" }]),
            "InvalidStructureException",
        ),
        (
            "no source first",
            |d| {
                d["stages"].as_array_mut().unwrap().remove(0);
            },
            "InvalidStructureException",
        ),
        ("same stage name", |d| d["stages"][2]["name"] = json!("Build"), "InvalidStageDeclarationException"),
        (
            "unknown type",
            |d| d["stages"][1]["actions"][0]["actionTypeId"]["version"] = json!("9"),
            "InvalidActionDeclarationException",
        ),
        (
            "unknown configuration",
            |d| d["stages"][1]["actions"][0]["configuration"]["Nope"] = json!("x"),
            "InvalidActionDeclarationException",
        ),
        (
            "missing configuration",
            |d| d["stages"][0]["actions"][0]["configuration"] = json!({ "S3Bucket": "b" }),
            "InvalidActionDeclarationException",
        ),
        (
            "timeout of a custom action",
            |d| d["stages"][1]["actions"][0]["timeoutInMinutes"] = json!(10),
            "InvalidActionDeclarationException",
        ),
        (
            "a mode of V2",
            |d| {
                d["pipelineType"] = json!("V1");
                d["executionMode"] = json!("QUEUED");
            },
            "InvalidStructureException",
        ),
    ];
    for (name, change, code) in cases {
        let mut world = world_with(&declaration());
        let mut declared = declaration();
        declared["name"] = json!("another");
        change(&mut declared);
        let refused = ask(&mut world, "CreatePipeline", json!({ "pipeline": declared }));
        assert_eq!(refused.map_err(|r| r.code), Err(code.to_owned()), "{name}");
    }
}

#[test]
fn an_update_creates_a_version_and_keeps_hidden_secrets() {
    let mut world = world_with(&declaration());
    let shown = ask(&mut world, "GetPipeline", json!({ "name": PIPELINE })).unwrap()["pipeline"].clone();
    assert_eq!(shown["stages"][1]["actions"][0]["configuration"]["Password"], "*****");
    let updated = ask(&mut world, "UpdatePipeline", json!({ "pipeline": shown })).unwrap();
    assert_eq!(updated["pipeline"]["version"], 2);
    start(&mut world);
    let job = claim(&mut world, "Build");
    assert_eq!(job["data"]["actionConfiguration"]["configuration"]["Password"], "hush");
    let old = ask(&mut world, "GetPipeline", json!({ "name": PIPELINE, "version": 1 })).unwrap();
    assert_eq!(old["pipeline"]["version"], 1);
    let none = ask(&mut world, "GetPipeline", json!({ "name": PIPELINE, "version": 3 })).unwrap_err();
    assert_eq!(none.code, "PipelineVersionNotFoundException");
}

#[test]
fn members_without_an_effect_are_kept() {
    let mut declared = declaration();
    declared["name"] = json!("kept");
    declared["triggers"] = json!([{ "providerType": "CodeStarSourceConnection" }]);
    declared["stages"][1]["beforeEntry"] = json!({ "conditions": [] });
    let mut world = world_with(&declaration());
    ask(&mut world, "CreatePipeline", json!({ "pipeline": declared })).unwrap();
    let shown = ask(&mut world, "GetPipeline", json!({ "name": "kept" })).unwrap()["pipeline"].clone();
    assert_eq!(shown["triggers"], declared["triggers"]);
    assert_eq!(shown["stages"][1]["beforeEntry"], declared["stages"][1]["beforeEntry"]);
}
