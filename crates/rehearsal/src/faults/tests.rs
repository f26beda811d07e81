//! Fault rules: which calls they match.

use proptest::prelude::*;

use super::*;

const NOW: Time = Time(0);

fn met(plan: &mut FaultPlan, calls: &[(&str, &str)]) -> Vec<Option<Fault>> {
    calls.iter().map(|(service, operation)| plan.meet(service, operation, NOW)).collect()
}

#[test]
fn the_nth_matching_call_meets_the_fault() {
    let calls = [("ec2", "A"), ("s3", "A"), ("ec2", "A"), ("ec2", "B"), ("ec2", "A")];
    let any = |service: &str, nth| When {
        calls: CallMatch { service: Some(service.into()), operation: None },
        trigger: Trigger::Nth(nth),
    };
    for (when, hits) in [
        (When::nth("ec2", "A", 2), vec![2]),
        (When::nth("ec2", "A", 9), vec![]),
        (When::every("ec2", "A"), vec![0, 2, 4]),
        (any("ec2", 3), vec![3]),
        (When::index(4), vec![3]),
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
fn the_first_matching_rule_applies_and_later_rules_still_count_the_call() {
    let mut plan = FaultPlan::default()
        .rule(When::nth("ec2", "A", 1), Fault::Throttle)
        .rule(When::nth("ec2", "A", 1), Fault::LoseReply)
        .rule(When::nth("ec2", "A", 2), Fault::KillAfter);
    let faults = met(&mut plan, &[("ec2", "A"), ("ec2", "A"), ("ec2", "A")]);
    assert_eq!(faults, [Some(Fault::Throttle), Some(Fault::KillAfter), None]);
}

#[test]
fn a_limit_throttles_when_its_bucket_is_empty_and_refills() {
    let limit =
        RateLimit { service: "ec2".into(), operation: "A".into(), capacity: 2.0, refill_per_second: 0.5 };
    let mut plan = FaultPlan::default().rate_limit(limit);
    let at = |plan: &mut FaultPlan, ms| plan.meet("ec2", "A", Time(ms)).is_some();
    assert_eq!([at(&mut plan, 0), at(&mut plan, 0), at(&mut plan, 0)], [false, false, true]);
    assert!(at(&mut plan, 1_000), "half a token");
    assert!(!at(&mut plan, 2_000), "one token");
    assert_eq!(plan.meet("ec2", "B", Time(2_000)), None, "another operation has its own limit");
}

#[test]
fn reads_and_writes_are_distinguished() {
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
fn a_fault_is_one_key_with_a_mapping() {
    let read = serde_json::from_str::<Fault>;
    assert_eq!(read(r#"{"error": {}}"#).unwrap(), Fault::server_error());
    assert_eq!(read(r#"{"error": {"status": 503, "code": "X"}}"#).unwrap(), Fault::error(503, "X"));
    assert_eq!(read(r#"{"throttle": {}}"#).unwrap(), Fault::Throttle);
    for wrong in
        [r#"{"explode": {}}"#, r#""throttle""#, r#"{"throttle": {"code": "X"}}"#, r#"{"throttle": null}"#]
    {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_server_error_is_the_operations_own() {
    for (service, operation, code, status) in [
        ("elbv2", "DescribeTargetHealth", "HealthUnavailable", 500),
        ("ebs", "GetSnapshotBlock", "InternalServerException", 500),
        ("kms", "Sign", "DependencyTimeoutException", 500),
        ("ec2", "DescribeImages", "InternalFailure", 500),
    ] {
        let answer = ServerError::default().answer(service, operation);
        assert_eq!((answer.code.as_str(), answer.status), (code, Some(status)), "{service}:{operation}");
    }
    let code = Some("KeyUnavailableException".to_owned());
    assert_eq!(ServerError { code, status: None }.answer("kms", "Sign").status, Some(500));
}

#[test]
fn modeled_errors_are_server_errors_and_throttling() {
    let faults = Fault::modeled_errors("ebs", "GetSnapshotBlock");
    assert!(faults.contains(&Fault::error(500, "InternalServerException")), "{faults:?}");
    assert!(faults.contains(&Fault::error(400, "RequestThrottledException")), "{faults:?}");
    assert!(!faults.iter().any(|fault| *fault == Fault::error(400, "ValidationException")), "{faults:?}");
    assert_eq!(Fault::modeled_errors("ec2", "DescribeImages"), []);
}

proptest! {
    #[test]
    fn chance_is_the_same_for_one_seed_and_stays_within_its_faults(seed: u64, probability in 0.0..=1.0_f64) {
        let faults = [Fault::Throttle, Fault::LoseReply];
        let mut one = FaultPlan::default().chance(seed, probability, &faults);
        let mut other = one.clone();
        for _ in 0..50 {
            let fault = one.meet("a", "B", NOW);
            prop_assert_eq!(&fault, &other.meet("a", "B", NOW));
            prop_assert!(fault.is_none_or(|f| faults.contains(&f)));
        }
    }

    #[test]
    fn a_chance_of_zero_never_fails_and_of_one_always(seed: u64) {
        let plan = |probability| FaultPlan::default().chance(seed, probability, &[Fault::Throttle]);
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
