"""Security Hub: findings, each taken or refused by itself, and updated by a later import."""

from .embedded_aws import pages, refused

SCENARIO = "version: 1\naws: {securityhub: {enabled: false}}\n"

def finding(number, **more):
    account = "123456789012"
    return {"SchemaVersion": "2018-10-08", "Id": f"tour/{number}", "AwsAccountId": account, "GeneratorId": "tour",
            "ProductArn": f"arn:aws:securityhub:eu-west-1:{account}:product/{account}/default",
            "CreatedAt": "2026-01-01T00:00:00Z", "UpdatedAt": "2026-01-01T00:00:00Z", "Title": "tour",
            "Description": "a finding of the tour", "Severity": {"Label": "LOW"},
            "Types": ["Software and Configuration Checks/Vulnerabilities/CVE"],
            "Resources": [{"Type": "Other", "Id": "arn:aws:imagebuilder:eu-west-1:123456789012:image/tour/1.0.0/1"}],
            "Vulnerabilities": [{"Id": "CVE-2026-1", "FixAvailable": "YES",
                                 "VulnerablePackages": [{"Name": "openssl", "Version": "3.0.1"}]}], **more}


def tour(aws):
    hub = aws.client("securityhub")
    refused("InvalidAccessException", 401, hub.batch_import_findings, Findings=[finding(1)])
    hub.enable_security_hub(EnableDefaultStandards=False)
    refused("ResourceConflictException", 409, hub.enable_security_hub)
    answer = hub.batch_import_findings(Findings=[finding(1), finding(2, Title="t" * 257), finding(3)])
    assert (answer["SuccessCount"], answer["FailedCount"]) == (2, 1), answer
    assert answer["FailedFindings"][0]["Id"] == "tour/2", answer
    hub.batch_import_findings(Findings=[finding(1, UpdatedAt="2026-01-02T00:00:00Z", Title="newer",
                                                Workflow={"Status": "SUPPRESSED"})])
    found = {f["Id"]: f for f in pages(hub, "get_findings", "Findings", 1)}
    assert set(found) == {"tour/1", "tour/3"}
    assert (found["tour/1"]["Title"], found["tour/1"]["Workflow"]["Status"]) == ("newer", "NEW")
    by_id = hub.get_findings(Filters={"Id": [{"Value": "tour/3", "Comparison": "EQUALS"}]})["Findings"]
    assert [f["Id"] for f in by_id] == ["tour/3"]
