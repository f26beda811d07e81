//! Which call meets which fault.

use proptest::prelude::*;

use super::*;

const NOW: Time = Time(0);

fn met(plan: &mut FaultPlan, calls: &[(&str, &str)]) -> Vec<Option<Fault>> {
    calls.iter().map(|(service, operation)| plan.meet(service, operation, NOW)).collect()
}

#[test]
fn the_nth_matching_call_meets_the_fault() {
    let calls = [("ec2", "A"), ("s3", "A"), ("ec2", "A"), ("ec2", "B"), ("ec2", "A")];
    let any =
        |service: Option<&str>, nth| When::Call { service: service.map(Into::into), operation: None, nth };
    for (when, hits) in [
        (When::nth("ec2", "A", 2), vec![2]),
        (When::nth("ec2", "A", 9), vec![]),
        (When::nth("ec2", "A", 0), vec![0, 2, 4]),
        (any(Some("ec2"), 3), vec![3]),
        (any(None, 2), vec![1]),
        (When::Index(4), vec![3]),
    ] {
        let mut plan = FaultPlan::default().rule(when.clone(), Fault::LoseReply);
        let hit: Vec<usize> = met(&mut plan, &calls)
            .iter()
            .enumerate()
            .filter_map(|(i, fault)| fault.as_ref().map(|_| i))
            .collect();
        assert_eq!(hit, hits, "{when:?}");
    }
}

#[test]
fn the_first_rule_counts_and_later_ones_still_count_calls() {
    let mut plan = FaultPlan::default()
        .rule(When::nth("ec2", "A", 1), Fault::Throttle)
        .rule(When::nth("ec2", "A", 1), Fault::LoseReply)
        .rule(When::nth("ec2", "A", 2), Fault::KillAfter);
    let faults = met(&mut plan, &[("ec2", "A"), ("ec2", "A"), ("ec2", "A")]);
    assert_eq!(faults, [Some(Fault::Throttle), Some(Fault::KillAfter), None]);
}

#[test]
fn a_limit_throttles_when_its_bucket_is_empty_and_refills() {
    let limit = Limit { service: "ec2".into(), operation: "A".into(), capacity: 2.0, refill: 0.5 };
    let mut plan = FaultPlan::default().limit(limit);
    let at = |plan: &mut FaultPlan, ms| plan.meet("ec2", "A", Time(ms)).is_some();
    assert_eq!([at(&mut plan, 0), at(&mut plan, 0), at(&mut plan, 0)], [false, false, true]);
    assert!(at(&mut plan, 1_000), "half a token");
    assert!(!at(&mut plan, 2_000), "one token");
    assert_eq!(plan.meet("ec2", "B", Time(2_000)), None, "another operation has its own limit");
}

#[test]
fn reads_are_told_from_writes() {
    for (service, operation, mutating) in [
        ("codepipeline", "PollForJobs", false),
        ("codepipeline", "AcknowledgeJob", true),
        ("codepipeline", "PutJobSuccessResult", true),
        ("ec2", "DescribeImages", false),
        ("ec2", "DeregisterImage", true),
        ("s3", "HeadObject", false),
        ("s3", "PutObject", true),
        ("s3", "CompleteMultipartUpload", true),
        ("kms", "Sign", false),
        ("kms", "Verify", false),
        ("sts", "AssumeRole", true),
        ("ssm", "SendCommand", true),
        ("ssm", "LabelParameterVersion", true),
    ] {
        assert_eq!(is_mutating(service, operation), mutating, "{service} {operation}");
    }
}

#[test]
fn a_rule_is_readable_from_a_file() {
    let rule: Rule = serde_json::from_value(serde_json::json!({
        "when": {"call": {"service": "ec2", "nth": 2}},
        "fault": {"kind": "fail_before"},
    }))
    .unwrap();
    assert_eq!(rule.fault, Fault::fail_before());
    assert!(serde_json::from_str::<Fault>("{\"kind\":\"explode\"}").is_err());
}

proptest! {
    #[test]
    fn chance_is_the_same_for_one_seed_and_stays_within_its_kinds(seed: u64, probability in 0.0..=1.0_f64) {
        let random = Random { seed, probability, kinds: vec![Fault::Throttle, Fault::LoseReply] };
        let mut one = FaultPlan::default().random(random.clone());
        let mut other = one.clone();
        for _ in 0..50 {
            let fault = one.meet("a", "B", NOW);
            prop_assert_eq!(&fault, &other.meet("a", "B", NOW));
            prop_assert!(fault.is_none_or(|f| random.kinds.contains(&f)));
        }
    }

    #[test]
    fn chance_keeps_to_its_extremes(seed: u64) {
        let plan = |probability| {
            FaultPlan::default().random(Random { seed, probability, kinds: vec![Fault::Throttle] })
        };
        prop_assert_eq!(plan(0.0).meet("a", "B", NOW), None);
        prop_assert_eq!(plan(1.1).meet("a", "B", NOW), Some(Fault::Throttle));
    }
}

#[test]
fn each_service_throttles_and_denies_with_its_own_code_and_status() {
    for (service, throttling, denial) in [
        ("autoscaling", ("Throttling", 400), ("AccessDenied", 403)),
        ("cloudwatch", ("Throttling", 400), ("AccessDenied", 403)),
        ("codepipeline", ("ThrottlingException", 400), ("AccessDeniedException", 400)),
        ("ec2", ("RequestLimitExceeded", 503), ("UnauthorizedOperation", 403)),
        ("elbv2", ("Throttling", 400), ("AccessDenied", 403)),
        ("imagebuilder", ("TooManyRequestsException", 429), ("AccessDeniedException", 403)),
        ("kms", ("ThrottlingException", 400), ("AccessDeniedException", 400)),
        ("s3", ("SlowDown", 503), ("AccessDenied", 403)),
        ("ssm", ("ThrottlingException", 400), ("AccessDeniedException", 400)),
        ("sts", ("Throttling", 400), ("AccessDenied", 403)),
    ] {
        let answered = |error: &ApiError| (error.code.clone(), error.status.unwrap_or_default());
        let wanted = |(code, status): (&str, u16)| (code.to_owned(), status);
        assert_eq!(answered(&throttled(service)), wanted(throttling), "{service}");
        let refusal = denied(service, "Do");
        assert_eq!(answered(&refusal), wanted(denial), "{service}");
        assert!(refusal.message.contains(&format!("{service}:Do")), "{}", refusal.message);
    }
}
