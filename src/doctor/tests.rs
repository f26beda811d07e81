use std::collections::{BTreeMap, BTreeSet};

use super::checks;
use super::observed::{Action, ActionType, Caller, Key, Network, Parameter, Pipeline, Property, ReadError};
use super::{Finding, Status, worst};
use crate::engine::Timestamp;
use crate::evidence::{Stage, TrustRoot};

const REGION: &str = "eu-west-1";

fn said(finding: &Finding) -> (Status, &str) {
    (finding.status, finding.observed.as_str())
}

fn property(name: &str) -> Property {
    Property { name: name.into(), required: false, queryable: false }
}

fn bake_type() -> ActionType {
    ActionType {
        category: "Build".into(),
        provider: "BakelineBake".into(),
        version: "1".into(),
        inputs: (1, 5),
        outputs: (0, 1),
        properties: ["Spec", "Part", "Options"].map(property).into(),
    }
}

#[test]
fn an_action_type_must_be_as_the_worker_polls_for_it() {
    let seen = |change: fn(&mut ActionType)| {
        let mut found = bake_type();
        change(&mut found);
        checks::action_type(Stage::Bake, &Ok(vec![found]))
    };
    assert_eq!(seen(|_| {}).status, Status::Ok);
    for (change, verdict, observed) in [
        ((|t| t.version = "2".into()) as fn(&mut ActionType), Status::Failed, "only version 2 exists"),
        (|t| t.inputs = (2, 5), Status::Failed, "it takes 2 to 5 input and 0 to 1 output artifacts"),
        (|t| t.outputs = (0, 0), Status::Failed, "it takes 1 to 5 input and 0 to 0 output artifacts"),
        (|t| t.properties[0].queryable = true, Status::Failed, "its property Spec is queryable"),
        (
            |t| t.properties[0].name = "Other".into(),
            Status::Warning,
            "it has properties that no stage reads: Other",
        ),
        (|t| t.category = "Test".into(), Status::Failed, "it does not exist in this account and region"),
    ] {
        assert_eq!(said(&seen(change)), (verdict, observed));
    }
}

fn action(stage: &str, category: &str, takes: &str, leaves: &str, order: usize) -> Action {
    Action {
        name: format!("{stage}/{stage}"),
        category: category.into(),
        owner: "Custom".into(),
        provider: format!("Bakeline{stage}"),
        version: "1".into(),
        inputs: vec![takes.into()],
        outputs: vec![leaves.into()],
        order: (order, 1),
        ..Action::default()
    }
}

fn line() -> Pipeline {
    let actions = vec![
        action("Bake", "Build", "Source", "Baked", 1),
        action("Test", "Test", "Baked", "Tested", 2),
        action("Promote", "Deploy", "Tested", "Promoted", 3),
        action("Cleanup", "Invoke", "Promoted", "Cleaned", 4),
    ];
    Pipeline { actions, ..Pipeline::default() }
}

#[test]
fn each_stage_must_take_the_artifact_of_the_stage_before() {
    let unfit = |change: fn(&mut Pipeline)| {
        let mut pipeline = line();
        change(&mut pipeline);
        let findings = checks::pipeline("web", &Ok(Some(pipeline)), REGION);
        let bad: Vec<String> = findings
            .iter()
            .filter(|finding| finding.status != Status::Ok)
            .map(|finding| format!("{} {}: {}", finding.check, finding.subject, finding.observed))
            .collect();
        bad
    };
    assert_eq!(unfit(|_| {}), Vec::<String>::new());
    for (change, expected) in [
        (
            (|p| p.actions[3].inputs = vec!["Nothing".into()]) as fn(&mut Pipeline),
            "artifacts_are_connected Cleanup/Cleanup: no bakeline action outputs Nothing",
        ),
        (
            |p| p.actions[1].order = (0, 1),
            "artifacts_are_connected Test/Test: takes Baked from Bake/Bake, which does not run before it",
        ),
        (
            |p| p.actions[0].outputs.clear(),
            "artifacts_are_connected Bake/Bake: 1 input and 0 output artifacts",
        ),
        (|p| p.actions[2].version = "2".into(), "action_is_polled_for Promote/Promote: its version is 2"),
        (
            |p| p.actions[2].region = Some("us-east-1".into()),
            "action_is_polled_for Promote/Promote: it runs in us-east-1",
        ),
        (|p| p.actions.clear(), "pipeline_exists web: none of its 0 actions has a provider of bakeline"),
    ] {
        assert!(unfit(change).contains(&expected.to_owned()), "{expected}: {:?}", unfit(change));
    }
}

#[test]
fn the_bake_action_should_read_the_spec_that_doctor_checked() {
    let mut pipeline = line();
    let seen =
        |pipeline: &Pipeline, file: &str| checks::spec_path(pipeline, file, "bakeline.yaml").unwrap().status;
    assert_eq!(seen(&pipeline, "examples/web/bakeline.yaml"), Status::Ok);
    assert_eq!(seen(&pipeline, "notbakeline.yaml"), Status::Warning);
    pipeline.actions[0].configuration = BTreeMap::from([("Spec".to_owned(), "ops/web.yaml".to_owned())]);
    assert_eq!(seen(&pipeline, "ops/web.yaml"), Status::Ok);
    assert_eq!(seen(&pipeline, "bakeline.yaml"), Status::Warning);
}

#[test]
fn a_key_must_be_enabled_and_have_the_needed_usage() {
    let key = |state: &str, usage: &str| {
        let found = Key { arn: "arn".into(), state: state.into(), usage: usage.into() };
        checks::key("check", "k", &Ok(Some(found)), "ENCRYPT_DECRYPT").status
    };
    assert_eq!(key("Enabled", "ENCRYPT_DECRYPT"), Status::Ok);
    assert_eq!(key("PendingDeletion", "ENCRYPT_DECRYPT"), Status::Failed);
    assert_eq!(key("Enabled", "SIGN_VERIFY"), Status::Failed);
    assert_eq!(checks::key("check", "k", &Ok(None), "SIGN_VERIFY").status, Status::Failed);
}

#[test]
fn the_signing_key_must_be_trusted_for_its_stages_at_this_time() {
    let text = include_str!("../../tests/golden/evidence/trust.yaml");
    let whole = TrustRoot::parse(text).unwrap();
    let trusted = &whole.keys()[0];
    let stages = |stages: &[Stage]| stages.iter().copied().collect::<BTreeSet<_>>();
    let now = Timestamp(1_767_225_600);
    let judged = |trust: &TrustRoot, asked: &[Stage], at| {
        checks::key_is_trusted("kms:k", &trusted.public_key, trust, &stages(asked), at).status
    };
    assert_eq!(judged(&whole, &Stage::ALL, now), Status::Ok);
    let pem: String = text
        .lines()
        .skip_while(|line| !line.contains("BEGIN"))
        .take_while(|line| !line.contains("may_sign"))
        .flat_map(|line| ["      ", line.trim(), "\n"])
        .collect();
    let narrowed = format!(
        "version: 1\nkeys:\n  - name: narrow\n    public_key: |\n{pem}    may_sign: [bake]\n    not_after: 2026-01-01T00:00:00Z\n"
    );
    let narrow = TrustRoot::parse(&narrowed).unwrap();
    assert_eq!(judged(&narrow, &[Stage::Bake], Timestamp(now.0 - 1)), Status::Ok);
    assert_eq!(judged(&narrow, &[Stage::Bake], now), Status::Failed);
    assert_eq!(judged(&narrow, &[Stage::Bake, Stage::Test], Timestamp(now.0 - 1)), Status::Failed);
}

#[test]
fn subnet_and_security_groups_must_share_a_vpc() {
    let groups = ["sg-1".to_owned()];
    let network = |subnet: Option<&str>, group: Option<&str>| {
        let groups_seen = group.map(|vpc| ("sg-1".to_owned(), vpc.to_owned())).into_iter().collect();
        let seen = Network { subnet: subnet.map(str::to_owned), groups: groups_seen };
        checks::network("subnet-1", &groups, &Ok(seen)).status
    };
    assert_eq!(network(Some("vpc-1"), Some("vpc-1")), Status::Ok);
    assert_eq!(network(Some("vpc-1"), Some("vpc-2")), Status::Failed);
    assert_eq!(network(Some("vpc-1"), None), Status::Failed);
    assert_eq!(network(None, Some("vpc-1")), Status::Failed);
}

#[test]
fn resources_of_the_spec_must_exist_in_a_usable_state() {
    let arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    let status = |status: &str| checks::image_pipeline(arn, &Ok(Some(status.to_owned())), REGION).status;
    assert_eq!((status("DISABLED"), status("ENABLED")), (Status::Ok, Status::Warning));
    assert_eq!(checks::image_pipeline(arn, &Ok(None), "us-east-1").status, Status::Failed);
    let typed = |data_type: &str| {
        let found = Parameter { data_type: data_type.into(), value: "ami-1".into() };
        ["aws:ec2:image", "text"]
            .map(|needed| checks::parameter("/p", &Ok(Some(found.clone())), needed).status)
    };
    assert_eq!(typed("aws:ec2:image"), [Status::Ok, Status::Failed]);
    assert_eq!(typed("text"), [Status::Failed, Status::Ok], "a container image is no AMI id");
    assert_eq!(checks::parameter("/p", &Ok(None), "text").status, Status::Ok);
    let clusters = [Some("ACTIVE"), Some("INACTIVE"), None];
    let verdicts = clusters.map(|status| checks::cluster("c", &Ok(status.map(str::to_owned))).status);
    assert_eq!(verdicts, [Status::Ok, Status::Failed, Status::Failed]);
    assert_eq!(
        [true, false].map(|there| checks::repository("r", &Ok(there)).status),
        [Status::Ok, Status::Failed]
    );
    assert_eq!(checks::metric("m", &Ok(4), 5).status, Status::Warning);
    assert_eq!(checks::metric("m", &Ok(5), 5).status, Status::Ok);
}

#[test]
fn a_resource_that_was_not_read_is_never_ok() {
    for (trouble, verdict) in [
        (ReadError::Denied("no".into()), Status::Denied),
        (ReadError::NoAnswer("silence".into()), Status::Unknown),
        (ReadError::Refused("wrong".into()), Status::Failed),
    ] {
        let findings = [
            checks::caller(&Err(trouble.clone()), None),
            checks::action_type(Stage::Bake, &Err(trouble.clone())),
            checks::bucket("b", "b", &Err(trouble.clone()), REGION),
            checks::environment("t", &Err(trouble.clone())),
            checks::images("s", &Err(trouble.clone())),
            checks::instance_type("t", &Err(trouble.clone())),
            checks::promotion("g", &Err(trouble)).remove(0),
        ];
        assert!(findings.iter().all(|finding| finding.status == verdict), "{findings:#?}");
        assert_eq!(worst(&findings), verdict);
    }
    assert_eq!(worst(&[]), Status::Ok);
}

#[test]
fn the_caller_must_be_in_the_account_of_the_pipeline() {
    let caller = Ok(Caller { account: "123456789012".into(), arn: "arn:me".into() });
    let seen = |arn: Option<&str>| checks::caller(&caller, arn).status;
    assert_eq!(seen(None), Status::Ok);
    assert_eq!(seen(Some("arn:aws:codepipeline:eu-west-1:123456789012:web")), Status::Ok);
    assert_eq!(seen(Some("arn:aws:codepipeline:eu-west-1:111122223333:web")), Status::Failed);
}
