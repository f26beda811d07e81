//! Tests of which inputs are rejected, and with which message.

use serde_json::{Value, json};

use super::super::model;
use super::*;

fn refuse(service: &str, operation: &str, input: &Value, dialect: Dialect) -> Option<(String, String)> {
    let model = model::of(service).unwrap();
    let operation = &model.operations[operation];
    check(model, operation, input.as_object().unwrap(), dialect).err().map(|e| (e.code, e.message))
}

#[test]
fn a_valid_input_passes() {
    for (service, operation, input, dialect) in [
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": "11111111-2222-4333-8444-555555555555", "nonce": "3"}),
            Dialect::Json,
        ),
        ("sts", "GetCallerIdentity", json!({}), Dialect::Query),
        ("ec2", "DescribeImages", json!({"ImageIds": ["ami-1"], "IncludeDisabled": true}), Dialect::Ec2),
        (
            "kms",
            "Sign",
            json!({"KeyId": "k", "Message": "AAEC", "SigningAlgorithm": "ECDSA_SHA_256"}),
            Dialect::Json,
        ),
    ] {
        assert_eq!(refuse(service, operation, &input, dialect), None, "{service} {operation}");
    }
}

#[test]
fn an_invalid_input_is_rejected_with_the_wording_of_the_service() {
    let uuid = "11111111-2222-4333-8444-555555555555";
    let cases = [
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": uuid}),
            Dialect::Json,
            "ValidationException",
            "Value null at 'nonce'",
        ),
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": uuid, "nonce": 3}),
            Dialect::Json,
            "SerializationException",
            "nonce: expected String",
        ),
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": uuid, "nonce": "3", "who": 1}),
            Dialect::Json,
            "ValidationException",
            "'who'",
        ),
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": "x", "nonce": "3"}),
            Dialect::Json,
            "ValidationException",
            "regular expression pattern",
        ),
        (
            "codepipeline",
            "AcknowledgeJob",
            json!({"jobId": uuid, "nonce": ""}),
            Dialect::Json,
            "ValidationException",
            "length greater than or equal to 1",
        ),
        (
            "codepipeline",
            "PutJobSuccessResult",
            json!({"jobId": uuid, "continuationToken": "x".repeat(2049)}),
            Dialect::Json,
            "ValidationException",
            "length less than or equal to 2048",
        ),
        (
            "codepipeline",
            "PutJobFailureResult",
            json!({"jobId": uuid, "failureDetails": {"type": "Odd", "message": "m"}}),
            Dialect::Json,
            "ValidationException",
            "'failureDetails.type' failed to satisfy constraint: Member must satisfy enum value set",
        ),
        (
            "kms",
            "Sign",
            json!({"KeyId": "k", "Message": "?", "SigningAlgorithm": "ECDSA_SHA_256"}),
            Dialect::Json,
            "SerializationException",
            "Message: expected Blob",
        ),
        (
            "autoscaling",
            "SetDesiredCapacity",
            json!({"AutoScalingGroupName": "g"}),
            Dialect::Query,
            "ValidationError",
            "'DesiredCapacity'",
        ),
        ("ec2", "DeregisterImage", json!({}), Dialect::Ec2, "MissingParameter", "ImageId"),
        (
            "ec2",
            "DeregisterImage",
            json!({"ImageId": "ami-1", "Colour": "red"}),
            Dialect::Ec2,
            "UnknownParameter",
            "Colour",
        ),
        (
            "ec2",
            "DeregisterImage",
            json!({"ImageId": "ami-1", "DryRun": "perhaps"}),
            Dialect::Ec2,
            "InvalidParameterValue",
            "DryRun",
        ),
        ("sts", "GetCallerIdentity", json!({"x": "y"}), Dialect::Query, "ValidationError", "'x'"),
    ];
    for (service, operation, input, dialect, code, part) in cases {
        let (found, message) = refuse(service, operation, &input, dialect).expect(operation);
        assert_eq!(found, code, "{service} {operation} {input}");
        assert!(message.contains(part), "{message} should contain {part}");
    }
}

#[test]
fn the_error_does_not_contain_a_sensitive_value() {
    let input = json!({"Name": "n", "SecretString": "hunter2".repeat(10_000)});
    let (_, message) = refuse("secretsmanager", "CreateSecret", &input, Dialect::Json).unwrap();
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn the_message_has_the_number_of_findings() {
    let (_, message) = refuse("codepipeline", "AcknowledgeJob", &json!({}), Dialect::Json).unwrap();
    assert!(message.starts_with("2 validation errors detected: "), "{message}");
}
