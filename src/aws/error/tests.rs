//! Error classes, checked against the error shapes of AWS's service models.

use serde_json::Value;

use super::*;

/// Every service model that the embedded AWS has, cut down to the operations in use.
const MODELS: [(&str, &str); 15] = [
    ("autoscaling", include_str!("../../../crates/rehearsal/src/models/autoscaling.json")),
    ("cloudwatch", include_str!("../../../crates/rehearsal/src/models/cloudwatch.json")),
    ("codepipeline", include_str!("../../../crates/rehearsal/src/models/codepipeline.json")),
    ("ebs", include_str!("../../../crates/rehearsal/src/models/ebs.json")),
    ("ec2", include_str!("../../../crates/rehearsal/src/models/ec2.json")),
    ("ecr", include_str!("../../../crates/rehearsal/src/models/ecr.json")),
    ("ecs", include_str!("../../../crates/rehearsal/src/models/ecs.json")),
    ("elbv2", include_str!("../../../crates/rehearsal/src/models/elbv2.json")),
    ("imagebuilder", include_str!("../../../crates/rehearsal/src/models/imagebuilder.json")),
    ("kms", include_str!("../../../crates/rehearsal/src/models/kms.json")),
    ("lambda", include_str!("../../../crates/rehearsal/src/models/lambda.json")),
    ("secretsmanager", include_str!("../../../crates/rehearsal/src/models/secretsmanager.json")),
    ("securityhub", include_str!("../../../crates/rehearsal/src/models/securityhub.json")),
    ("ssm", include_str!("../../../crates/rehearsal/src/models/ssm.json")),
    ("sts", include_str!("../../../crates/rehearsal/src/models/sts.json")),
];

/// The code and status of an error shape on the wire. A `fault` without a status has 500, another error 400.
fn on_the_wire<'a>(name: &'a str, shape: &'a Value) -> (&'a str, u16) {
    let code = shape["error"]["code"].as_str().unwrap_or(name);
    let fault = shape["fault"].as_bool().unwrap_or(false);
    let status = shape["error"]["httpStatusCode"].as_u64().unwrap_or(if fault { 500 } else { 400 });
    (code, u16::try_from(status).unwrap())
}

#[test]
fn every_modeled_fault_and_throttle_of_every_operation_in_use_is_transient() {
    let mut checked = 0;
    for (service, model) in MODELS {
        let model: Value = serde_json::from_str(model).unwrap();
        for (operation, definition) in model["operations"].as_object().unwrap() {
            for error in definition["errors"].as_array().into_iter().flatten() {
                let name = error.as_str().unwrap();
                let (code, status) = on_the_wire(name, &model["shapes"][name]);
                if status >= 500 || status == 429 || code.contains("Throttl") {
                    let class = Class::of_answer(status, None, Some(code));
                    assert!(class.is_transient(), "{service}:{operation}: {code} ({status}) is {class:?}");
                    checked += 1;
                }
            }
        }
    }
    // Image Builder alone has four such errors for each operation.
    assert!(checked > 150, "{checked}");
}

#[test]
fn faults_that_ended_a_promotion_or_its_rollback_are_transient() {
    for (service, name, expected) in [
        ("elbv2", "HealthUnavailableException", Class::Transient),
        ("ebs", "InternalServerException", Class::Transient),
        ("securityhub", "InternalException", Class::Transient),
        ("kms", "KeyUnavailableException", Class::Transient),
        ("kms", "KMSInternalException", Class::Transient),
        ("ecs", "ServerException", Class::Transient),
        ("autoscaling", "ResourceContentionFault", Class::Transient),
        ("securityhub", "LimitExceededException", Class::Throttled),
        ("imagebuilder", "CallRateLimitExceededException", Class::Throttled),
        ("elbv2", "PriorRequestNotCompleteException", Class::Throttled),
    ] {
        let model = MODELS.iter().find(|(name, _)| *name == service).unwrap().1;
        let model: Value = serde_json::from_str(model).unwrap();
        let shape = &model["shapes"][name];
        assert!(shape.is_object(), "{service} has no {name}");
        let (code, status) = on_the_wire(name, shape);
        assert_eq!(Class::of_answer(status, None, Some(code)), expected, "{service}: {code} ({status})");
    }
}

#[test]
fn the_status_decides_before_the_code() {
    for (status, retry, code, expected) in [
        (500, None, Some("SomethingNew"), Class::Transient),
        (503, None, None, Class::Transient),
        (503, None, Some("RequestLimitExceeded"), Class::Throttled),
        (503, None, Some("SlowDown"), Class::Throttled),
        (429, None, Some("SomethingNew"), Class::Throttled),
        (400, Some(ErrorKind::ThrottlingError), Some("SomethingNew"), Class::Throttled),
        (400, Some(ErrorKind::ServerError), Some("SomethingNew"), Class::Transient),
        (400, Some(ErrorKind::ClientError), Some("SomethingNew"), Class::Other),
        // A quota, although the SDK retries it like a throttle.
        (400, None, Some("LimitExceededException"), Class::Other),
        (400, None, Some("ValidationException"), Class::Invalid),
        (400, None, Some("InvalidAMIID.NotFound"), Class::Missing),
        (403, None, Some("AccessDenied"), Class::Denied),
        (400, None, Some("ExpiredTokenException"), Class::ExpiredCredentials),
        (400, None, Some("InstanceRefreshInProgress"), Class::Conflict),
        (404, None, Some("NoSuchKey"), Class::Missing),
        (412, None, Some("PreconditionFailed"), Class::Other),
        (502, None, None, Class::Transient),
    ] {
        assert_eq!(Class::of_answer(status, retry, code), expected, "{status} {retry:?} {code:?}");
    }
}
