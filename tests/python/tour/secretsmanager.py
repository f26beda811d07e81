"""Secrets Manager: versions, their stages, secrets that are gone and come back."""

from .embedded_aws import pages, refused


def tour(aws):
    secrets = aws.client("secretsmanager")
    first = secrets.create_secret(Name="tour/key", SecretString="one", ClientRequestToken="1" * 32,
                                  Tags=[{"Key": "of", "Value": "tour"}])
    assert first["VersionId"] == "1" * 32
    again = secrets.create_secret(Name="tour/key", SecretString="one", ClientRequestToken="1" * 32,
                                  Tags=[{"Key": "of", "Value": "tour"}])
    assert again["ARN"] == first["ARN"]
    refused("ResourceExistsException", 400, secrets.create_secret, Name="tour/key", SecretString="two",
            ClientRequestToken="9" * 32)
    read = secrets.get_secret_value(SecretId="tour/key")
    assert (read["SecretString"], read["VersionStages"]) == ("one", ["AWSCURRENT"])

    second = secrets.put_secret_value(SecretId=first["ARN"], SecretString="two", ClientRequestToken="2" * 32)
    assert second["VersionStages"] == ["AWSCURRENT"]
    refused("ResourceExistsException", 400, secrets.put_secret_value, SecretId=first["ARN"], SecretString="other",
            ClientRequestToken="2" * 32)
    assert secrets.get_secret_value(SecretId="tour/key", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    refused("ResourceNotFoundException", 400, secrets.get_secret_value, SecretId="tour/key", VersionStage="none")
    refused("ResourceNotFoundException", 400, secrets.get_secret_value, SecretId="none")

    secrets.put_secret_value(SecretId="tour/key", SecretBinary=b"\0\xff", ClientRequestToken="3" * 32,
                             VersionStages=["next"])
    assert secrets.get_secret_value(SecretId="tour/key", VersionStage="next")["SecretBinary"] == b"\0\xff"
    assert secrets.get_secret_value(SecretId="tour/key")["SecretString"] == "two"
    refused("InvalidParameterException", 400, secrets.update_secret_version_stage, SecretId="tour/key",
            VersionStage="AWSCURRENT", MoveToVersionId="3" * 32)
    secrets.update_secret_version_stage(SecretId="tour/key", VersionStage="AWSCURRENT", MoveToVersionId="3" * 32,
                                        RemoveFromVersionId="2" * 32)
    described = secrets.describe_secret(SecretId="tour/key")
    assert described["VersionIdsToStages"]["2" * 32] == ["AWSPREVIOUS"], described
    assert described["Tags"] == [{"Key": "of", "Value": "tour"}]
    versions = pages(secrets, "list_secret_version_ids", "Versions", 1, SecretId="tour/key", IncludeDeprecated=True)
    assert {v["VersionId"] for v in versions} == {"1" * 32, "2" * 32, "3" * 32}
    for name in ("tour/b", "tour/c"):
        secrets.create_secret(Name=name, SecretString="x")
    listed = pages(secrets, "list_secrets", "SecretList", 1, Filters=[{"Key": "name", "Values": ["tour/"]}])
    assert {s["Name"] for s in listed} == {"tour/key", "tour/b", "tour/c"}, listed

    secrets.delete_secret(SecretId="tour/key", RecoveryWindowInDays=7)
    refused("InvalidRequestException", 400, secrets.get_secret_value, SecretId="tour/key")
    refused("InvalidRequestException", 400, secrets.put_secret_value, SecretId="tour/key", SecretString="x")
    secrets.restore_secret(SecretId="tour/key")
    assert secrets.get_secret_value(SecretId="tour/key")["SecretBinary"] == b"\0\xff"
    secrets.delete_secret(SecretId="tour/key", ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", 400, secrets.describe_secret, SecretId="tour/key")
    refused("InvalidParameterException", 400, secrets.delete_secret, SecretId="tour/b", RecoveryWindowInDays=5)
