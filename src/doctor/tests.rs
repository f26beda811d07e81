use std::collections::{BTreeMap, BTreeSet};

use super::judge;
use super::observed::{Action, ActionType, Caller, Key, Network, Parameter, Pipeline, Property, Trouble};
use super::{Finding, Verdict, worst};
use crate::engine::Timestamp;
use crate::evidence::{Stage, TrustRoot};

const REGION: &str = "eu-west-1";

fn said(finding: &Finding) -> (Verdict, &str) {
    (finding.verdict, finding.observed.as_str())
}

fn bake_type() -> ActionType {
    ActionType {
        category: "Build".into(),
        version: "1".into(),
        inputs: (1, 1),
        outputs: (1, 1),
        properties: vec![Property { name: "Spec".into(), required: false, queryable: false }],
    }
}

#[test]
fn an_action_type_must_be_one_the_worker_can_poll_for() {
    let seen = |change: fn(&mut ActionType)| {
        let mut found = bake_type();
        change(&mut found);
        judge::action_type(Stage::Bake, &Ok(vec![found]))
    };
    assert_eq!(seen(|_| {}).verdict, Verdict::Fit);
    for (change, verdict, observed) in [
        ((|t| t.version = "2".into()) as fn(&mut ActionType), Verdict::Unfit, "only version 2 exists"),
        (|t| t.inputs = (2, 5), Verdict::Unfit, "it takes 2 to 5 inputs and leaves 1 to 1 outputs"),
        (|t| t.outputs = (0, 0), Verdict::Unfit, "it takes 1 to 1 inputs and leaves 0 to 0 outputs"),
        (|t| t.properties[0].queryable = true, Verdict::Unfit, "its property Spec is queryable"),
        (
            |t| t.properties[0].name = "Other".into(),
            Verdict::Doubtful,
            "it has properties that no stage reads: Other",
        ),
        (|t| t.category = "Test".into(), Verdict::Unfit, "it does not exist in this account and region"),
    ] {
        assert_eq!(said(&seen(change)), (verdict, observed));
    }
}

fn action(stage: &str, category: &str, takes: &str, leaves: &str, turn: usize) -> Action {
    Action {
        name: format!("{stage}/{stage}"),
        category: category.into(),
        owner: "Custom".into(),
        provider: "Bakeline".into(),
        version: "1".into(),
        inputs: vec![takes.into()],
        outputs: vec![leaves.into()],
        turn: (turn, 1),
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
fn a_line_must_be_wired_from_stage_to_stage() {
    let unfit = |change: fn(&mut Pipeline)| {
        let mut pipeline = line();
        change(&mut pipeline);
        let findings = judge::pipeline("web", &Ok(Some(pipeline)), REGION);
        let bad: Vec<String> = findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Fit)
            .map(|finding| format!("{} {}: {}", finding.check, finding.thing, finding.observed))
            .collect();
        bad
    };
    assert_eq!(unfit(|_| {}), Vec::<String>::new());
    for (change, expected) in [
        (
            (|p| p.actions[3].inputs = vec!["Nothing".into()]) as fn(&mut Pipeline),
            "hand_over_is_wired Cleanup/Cleanup: no bakeline action leaves Nothing",
        ),
        (
            |p| p.actions[1].turn = (0, 1),
            "hand_over_is_wired Test/Test: takes Baked from Bake/Bake, which does not run before it",
        ),
        (|p| p.actions[0].outputs.clear(), "hand_over_is_wired Bake/Bake: 1 input and 0 output artifacts"),
        (|p| p.actions[2].version = "2".into(), "action_is_polled_for Promote/Promote: it is of version 2"),
        (
            |p| p.actions[2].region = Some("us-east-1".into()),
            "action_is_polled_for Promote/Promote: it runs in us-east-1",
        ),
        (|p| p.actions.clear(), "pipeline_exists web: none of its 0 actions is of provider Bakeline"),
    ] {
        assert!(unfit(change).contains(&expected.to_owned()), "{expected}: {:?}", unfit(change));
    }
}

#[test]
fn the_spec_that_is_looked_at_should_be_the_actions() {
    let mut pipeline = line();
    let seen =
        |pipeline: &Pipeline, file: &str| judge::spec_path(pipeline, file, "bakeline.yaml").unwrap().verdict;
    assert_eq!(seen(&pipeline, "examples/web/bakeline.yaml"), Verdict::Fit);
    assert_eq!(seen(&pipeline, "notbakeline.yaml"), Verdict::Doubtful);
    pipeline.actions[0].configuration = BTreeMap::from([("Spec".to_owned(), "ops/web.yaml".to_owned())]);
    assert_eq!(seen(&pipeline, "ops/web.yaml"), Verdict::Fit);
    assert_eq!(seen(&pipeline, "bakeline.yaml"), Verdict::Doubtful);
}

#[test]
fn keys_are_for_one_use_and_enabled() {
    let key = |state: &str, usage: &str| {
        let found = Key { arn: "arn".into(), state: state.into(), usage: usage.into() };
        judge::key("check", "k", &Ok(Some(found)), "ENCRYPT_DECRYPT").verdict
    };
    assert_eq!(key("Enabled", "ENCRYPT_DECRYPT"), Verdict::Fit);
    assert_eq!(key("PendingDeletion", "ENCRYPT_DECRYPT"), Verdict::Unfit);
    assert_eq!(key("Enabled", "SIGN_VERIFY"), Verdict::Unfit);
    assert_eq!(judge::key("check", "k", &Ok(None), "SIGN_VERIFY").verdict, Verdict::Unfit);
}

#[test]
fn a_key_is_believed_for_its_stages_and_its_time() {
    let text = include_str!("../../tests/golden/evidence/trust.yaml");
    let whole = TrustRoot::parse(text).unwrap();
    let trusted = &whole.keys()[0];
    let stages = |stages: &[Stage]| stages.iter().copied().collect::<BTreeSet<_>>();
    let now = Timestamp(1_767_225_600);
    let judged = |trust: &TrustRoot, asked: &[Stage], at| {
        judge::believed("kms:k", &trusted.public_key, trust, &stages(asked), at).verdict
    };
    assert_eq!(judged(&whole, &Stage::ALL, now), Verdict::Fit);
    let pem: String = text
        .lines()
        .skip_while(|line| !line.contains("BEGIN"))
        .take_while(|line| !line.contains("stages"))
        .flat_map(|line| ["      ", line.trim(), "\n"])
        .collect();
    let narrowed = format!(
        "version: 1\nkeys:\n  - name: narrow\n    public_key: |\n{pem}    may_sign: [bake]\n    not_after: 2026-01-01T00:00:00Z\n"
    );
    let narrow = TrustRoot::parse(&narrowed).unwrap();
    assert_eq!(judged(&narrow, &[Stage::Bake], Timestamp(now.0 - 1)), Verdict::Fit);
    assert_eq!(judged(&narrow, &[Stage::Bake], now), Verdict::Unfit);
    assert_eq!(judged(&narrow, &[Stage::Bake, Stage::Test], Timestamp(now.0 - 1)), Verdict::Unfit);
}

#[test]
fn the_network_shares_a_vpc() {
    let groups = ["sg-1".to_owned()];
    let network = |subnet: Option<&str>, group: Option<&str>| {
        let groups_seen = group.map(|vpc| ("sg-1".to_owned(), vpc.to_owned())).into_iter().collect();
        let seen = Network { subnet: subnet.map(str::to_owned), groups: groups_seen };
        judge::network("subnet-1", &groups, &Ok(seen)).verdict
    };
    assert_eq!(network(Some("vpc-1"), Some("vpc-1")), Verdict::Fit);
    assert_eq!(network(Some("vpc-1"), Some("vpc-2")), Verdict::Unfit);
    assert_eq!(network(Some("vpc-1"), None), Verdict::Unfit);
    assert_eq!(network(None, Some("vpc-1")), Verdict::Unfit);
}

#[test]
fn the_rest_of_what_a_spec_names() {
    let arn = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web";
    let status = |status: &str| judge::image_pipeline(arn, &Ok(Some(status.to_owned())), REGION).verdict;
    assert_eq!((status("DISABLED"), status("ENABLED")), (Verdict::Fit, Verdict::Doubtful));
    assert_eq!(judge::image_pipeline(arn, &Ok(None), "us-east-1").verdict, Verdict::Unfit);
    let typed = |data_type: &str| {
        let found = Parameter { data_type: data_type.into(), value: "ami-1".into() };
        ["aws:ec2:image", "text"]
            .map(|needed| judge::parameter("/p", &Ok(Some(found.clone())), needed).verdict)
    };
    assert_eq!(typed("aws:ec2:image"), [Verdict::Fit, Verdict::Unfit]);
    assert_eq!(typed("text"), [Verdict::Unfit, Verdict::Fit], "what a container is pulled by is no AMI");
    assert_eq!(judge::parameter("/p", &Ok(None), "text").verdict, Verdict::Fit);
    let clusters = [Some("ACTIVE"), Some("INACTIVE"), None];
    let verdicts = clusters.map(|status| judge::cluster("c", &Ok(status.map(str::to_owned))).verdict);
    assert_eq!(verdicts, [Verdict::Fit, Verdict::Unfit, Verdict::Unfit]);
    assert_eq!(
        [true, false].map(|there| judge::repository("r", &Ok(there)).verdict),
        [Verdict::Fit, Verdict::Unfit]
    );
    assert_eq!(judge::metric("m", &Ok(4), 5).verdict, Verdict::Doubtful);
    assert_eq!(judge::metric("m", &Ok(5), 5).verdict, Verdict::Fit);
}

#[test]
fn what_was_not_seen_is_never_fit() {
    for (trouble, verdict) in [
        (Trouble::Denied("no".into()), Verdict::Denied),
        (Trouble::Unanswered("silence".into()), Verdict::Unanswered),
        (Trouble::Refused("wrong".into()), Verdict::Unfit),
    ] {
        let findings = [
            judge::caller(&Err(trouble.clone()), None),
            judge::action_type(Stage::Bake, &Err(trouble.clone())),
            judge::bucket("b", "b", &Err(trouble.clone()), REGION),
            judge::target("t", &Err(trouble.clone())),
            judge::images("s", &Err(trouble.clone())),
            judge::instance_type("t", &Err(trouble.clone())),
            judge::fleet("g", &Err(trouble)).remove(0),
        ];
        assert!(findings.iter().all(|finding| finding.verdict == verdict), "{findings:#?}");
        assert_eq!(worst(&findings), verdict);
    }
    assert_eq!(worst(&[]), Verdict::Fit);
}

#[test]
fn a_worker_polls_in_the_account_of_the_pipeline() {
    let caller = Ok(Caller { account: "123456789012".into(), arn: "arn:me".into() });
    let seen = |arn: Option<&str>| judge::caller(&caller, arn).verdict;
    assert_eq!(seen(None), Verdict::Fit);
    assert_eq!(seen(Some("arn:aws:codepipeline:eu-west-1:123456789012:web")), Verdict::Fit);
    assert_eq!(seen(Some("arn:aws:codepipeline:eu-west-1:111122223333:web")), Verdict::Unfit);
}
