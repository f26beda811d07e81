//! Tests of the documented rules of importing findings.

use serde_json::{Value, json};

use super::super::test_aws::{ACCOUNT, TestAws};

fn finding(id: &str, updated: &str) -> Value {
    json!({
        "SchemaVersion": "2018-10-08",
        "Id": id,
        "ProductArn": format!("arn:aws:securityhub:eu-west-1:{ACCOUNT}:product/{ACCOUNT}/default"),
        "GeneratorId": "tests",
        "AwsAccountId": ACCOUNT,
        "CreatedAt": "2026-01-01T00:00:00Z",
        "UpdatedAt": updated,
        "Title": "title",
        "Description": "description",
        "Severity": { "Label": "HIGH" },
        "Resources": [{ "Type": "Other", "Id": "resource" }],
    })
}

fn aws() -> TestAws {
    let mut aws = TestAws::new();
    let early = json!({ "Findings": [finding("1", "2026-01-01T00:00:00Z")] });
    assert_eq!(aws.refused("securityhub", "BatchImportFindings", early), "InvalidAccessException");
    aws.ok("securityhub", "EnableSecurityHub", json!({}));
    assert_eq!(aws.refused("securityhub", "EnableSecurityHub", json!({})), "ResourceConflictException");
    aws
}

#[test]
fn each_finding_is_imported_or_rejected_on_its_own() {
    let mut aws = aws();
    let changed = |member: &str, value: Value| {
        let mut finding = finding(member, "2026-01-01T00:00:00Z");
        finding[member] = value;
        finding
    };
    let mut findings = vec![finding("good", "2026-01-01T00:00:00Z")];
    let wrong = [
        ("Title", json!("t".repeat(257))),
        ("Description", json!("d".repeat(1025))),
        ("SchemaVersion", json!("2017-01-01")),
        ("ProductArn", json!("arn:aws:securityhub:eu-west-1::product/aws/guardduty")),
        ("AwsAccountId", json!("999999999999")),
        ("UpdatedAt", json!("yesterday")),
        ("Severity", Value::Null),
        ("Resources", json!([])),
    ];
    for (member, value) in &wrong {
        let mut finding = changed(member, value.clone());
        if value.is_null() {
            finding.as_object_mut().unwrap().remove(*member);
        }
        findings.push(finding);
    }
    let answer = aws.ok("securityhub", "BatchImportFindings", json!({ "Findings": findings }));
    assert_eq!((&answer["SuccessCount"], &answer["FailedCount"]), (&json!(1), &json!(wrong.len())));
    for ((member, _), failed) in wrong.iter().zip(answer["FailedFindings"].as_array().unwrap()) {
        assert!(failed["ErrorMessage"].as_str().unwrap().contains(member), "{failed}");
    }
}

#[test]
fn an_import_keeps_customer_members_and_newer_findings() {
    let mut aws = aws();
    let import = |aws: &mut TestAws, finding: Value| {
        let answer = aws.ok("securityhub", "BatchImportFindings", json!({ "Findings": [finding] }));
        assert_eq!(answer["SuccessCount"], 1, "{answer}");
        let found = aws.ok("securityhub", "GetFindings", json!({}));
        assert_eq!(found["Findings"].as_array().unwrap().len(), 1);
        found["Findings"][0].clone()
    };
    let first = import(&mut aws, finding("1", "2026-01-02T00:00:00Z"));
    assert_eq!((&first["Workflow"]["Status"], &first["RecordState"]), (&json!("NEW"), &json!("ACTIVE")));
    let mut newer = finding("1", "2026-01-03T00:00:00Z");
    newer["Title"] = "newer".into();
    newer["Workflow"] = json!({ "Status": "SUPPRESSED" });
    let newer = import(&mut aws, newer);
    assert_eq!((&newer["Title"], &newer["Workflow"]["Status"]), (&json!("newer"), &json!("NEW")));
    let older = import(&mut aws, finding("1", "2026-01-01T00:00:00Z"));
    assert_eq!(older["Title"], "newer");
}

#[test]
fn findings_are_filtered_by_strings() {
    let mut aws = aws();
    let all: Vec<Value> = ["a/1", "a/2", "b/1"].map(|id| finding(id, "2026-01-01T00:00:00Z")).into();
    aws.ok("securityhub", "BatchImportFindings", json!({ "Findings": all }));
    for (filters, found) in [
        (json!({ "Id": [{ "Value": "a/", "Comparison": "PREFIX" }] }), 2),
        (json!({ "Id": [{ "Value": "b/1", "Comparison": "EQUALS" }] }), 1),
        (json!({ "Title": [{ "Value": "x", "Comparison": "EQUALS" }] }), 0),
    ] {
        let answer = aws.ok("securityhub", "GetFindings", json!({ "Filters": filters }));
        assert_eq!(answer["Findings"].as_array().unwrap().len(), found, "{filters}");
    }
    let page = aws.ok("securityhub", "GetFindings", json!({ "MaxResults": 2 }));
    let rest =
        aws.ok("securityhub", "GetFindings", json!({ "MaxResults": 2, "NextToken": page["NextToken"] }));
    assert_eq!(rest["Findings"].as_array().unwrap().len(), 1);
    let odd = json!({ "Filters": { "Id": [{ "Value": "a", "Comparison": "NOT_EQUALS" }] } });
    assert_eq!(aws.refused("securityhub", "GetFindings", odd), "InvalidInputException");
}
