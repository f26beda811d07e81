"""STS: who asks, and keys for a while."""

from .embedded_aws import refused, until


def tour(aws):
    sts = aws.client("sts")
    me = sts.get_caller_identity()
    assert me["Arn"].startswith("arn:aws:iam::123456789012:role/"), me
    role = "arn:aws:iam::123456789012:role/deploy"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="tour", DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/deploy/tour"
    key = assumed["Credentials"]["AccessKeyId"]
    assert aws.client("sts", key).get_caller_identity()["Arn"] == assumed["AssumedRoleUser"]["Arn"]
    refused("ValidationError", 400, sts.assume_role, RoleArn=role, RoleSessionName="tour", DurationSeconds=899)
    refused("ValidationError", 400, sts.assume_role, RoleArn=role, RoleSessionName="t")
    refused("ValidationError", 400, sts.assume_role, RoleSessionName="tour")
    refused("InvalidClientTokenId", 403, aws.client("sts", "AKIANOTISSUED").get_caller_identity)
    for service, call, code, status in (
        ("sts", "get_caller_identity", "ExpiredToken", 403),
        ("ec2", "describe_images", "RequestExpired", 400),
        ("codepipeline", "list_pipelines", "ExpiredTokenException", 400),
        ("s3", "list_buckets", "ExpiredToken", 400),
    ):
        def late():
            try:
                getattr(aws.client(service, key), call)()
            except Exception:  # noqa: BLE001 - whatever it is, the assertion below names it
                return True
        until(late, "the key expires")
        refused(code, status, getattr(aws.client(service, key), call))
