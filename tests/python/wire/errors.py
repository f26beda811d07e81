"""Refusals: which codes a service may answer, and with which status."""

from . import models

# Errors every service may answer, beside those its model lists for an operation, with their statuses.
# Source: "Common Error Types" / "Common Errors" of each service's API reference, and the S3 and EC2 pages named below.
_JSON = {
    "AccessDeniedException": {400, 403},
    "ExpiredTokenException": {400, 403},
    "IncompleteSignature": {400, 403},
    "InternalFailure": {500},
    "MissingAuthenticationTokenException": {400, 403},
    "NotAuthorized": {400},
    "RequestAbortedException": {400},
    "RequestExpired": {400},
    "SerializationException": {400},
    "ServiceUnavailable": {503},
    "ServiceUnavailableException": {503},
    "ThrottlingException": {400, 429},
    "TooManyRequestsException": {429},
    "UnknownOperationException": {400, 404},
    "UnrecognizedClientException": {400, 403},
    "ValidationException": {400},
}
_QUERY = {
    "AccessDenied": {403},
    "AccessDeniedException": {400},
    "ExpiredToken": {403},
    "IncompleteSignature": {400},
    "InternalFailure": {500},
    "InvalidAction": {400},
    "InvalidClientTokenId": {403},
    "InvalidParameterCombination": {400},
    "InvalidParameterValue": {400},
    "InvalidQueryParameter": {400},
    "MalformedQueryString": {404},
    "MissingAction": {400},
    "MissingAuthenticationToken": {403},
    "MissingParameter": {400},
    "OptInRequired": {403},
    "RequestExpired": {400},
    "ServiceUnavailable": {503},
    "Throttling": {400},
    "ThrottlingException": {400},
    "ValidationError": {400},
}
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html: EC2's errors are not in its model.
_EC2 = {
    "AuthFailure": {401},
    "DependencyViolation": {400},
    "DryRunOperation": {412},
    "IdempotentParameterMismatch": {400},
    "IncorrectInstanceState": {400},
    "IncorrectState": {400},
    "InsufficientInstanceCapacity": {500},
    "InternalError": {500},
    "InternalFailure": {500},
    "InvalidAMIAttributeItemValue": {400},
    "InvalidAMIID.Malformed": {400},
    "InvalidAMIID.NotFound": {400},
    "InvalidAMIID.Unavailable": {400},
    "InvalidAMIName.Duplicate": {400},
    "InvalidAMIName.Malformed": {400},
    "InvalidAction": {400},
    "InvalidGroup.NotFound": {400},
    "InvalidIamInstanceProfileArn.Malformed": {400},
    "InvalidInstanceID.Malformed": {400},
    "InvalidInstanceID.NotFound": {400},
    "InvalidInstanceType": {400},
    "InvalidLaunchTemplateId.Malformed": {400},
    "InvalidLaunchTemplateId.NotFound": {400},
    "InvalidLaunchTemplateId.VersionNotFound": {400},
    "InvalidLaunchTemplateName.AlreadyExistsException": {400},
    "InvalidLaunchTemplateName.MalformedException": {400},
    "InvalidLaunchTemplateName.NotFoundException": {400},
    "InvalidNextToken": {400},
    "InvalidPaginationToken": {400},
    "InvalidParameter": {400},
    "InvalidParameterCombination": {400},
    "InvalidParameterValue": {400},
    "InvalidSnapshot.InUse": {400},
    "InvalidSnapshot.NotFound": {400},
    "InvalidSnapshotID.Malformed": {400},
    "InvalidSubnetID.NotFound": {400},
    "InvalidSecurityGroupID.NotFound": {400},
    "InvalidSpotFleetRequestId.NotFound": {400},
    "InvalidFleetId.NotFound": {400},
    "InvalidFilter": {400},
    "MissingParameter": {400},
    "OperationNotPermitted": {400},
    "RequestExpired": {400},
    "RequestLimitExceeded": {503},
    "ServiceUnavailable": {503},
    "Unavailable": {503},
    "TagLimitExceeded": {400},
    "UnauthorizedOperation": {403},
    "UnknownParameter": {400},
    "UnsupportedOperation": {400},
    "Unsupported": {400},
    "VcpuLimitExceeded": {400},
}
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_S3 = {
    "AccessDenied": {403},
    "BadDigest": {400},
    "BucketAlreadyExists": {409},
    "BucketAlreadyOwnedByYou": {409},
    "BucketNotEmpty": {409},
    "ConditionalRequestConflict": {409},
    "EntityTooLarge": {400},
    "EntityTooSmall": {400},
    "ExpiredToken": {400},
    "IncompleteBody": {400},
    "InternalError": {500},
    "InternalFailure": {500},
    "InvalidAccessKeyId": {403},
    "InvalidArgument": {400},
    "InvalidBucketName": {400},
    "InvalidDigest": {400},
    "InvalidPart": {400},
    "InvalidPartOrder": {400},
    "InvalidRange": {416},
    "InvalidRequest": {400},
    "KeyTooLongError": {400},
    "MalformedXML": {400},
    "MethodNotAllowed": {405},
    "MissingAuthenticationToken": {403},
    "MissingContentLength": {411},
    "NoSuchBucket": {404},
    "NoSuchBucketPolicy": {404},
    "NoSuchKey": {404},
    "NoSuchUpload": {404},
    "NotImplemented": {501},
    "PreconditionFailed": {412},
    "RequestTimeout": {400},
    "ServiceUnavailable": {503},
    "SlowDown": {503},
    "XAmzContentSHA256Mismatch": {400},
}
# Errors the reference's text describes but the model does not list for the operation.
_DOCUMENTED = {
    # "A client error (AmbiguousParameter)…" and page tokens: https://docs.aws.amazon.com/autoscaling/ec2/APIReference
    ("autoscaling", "InvalidNextToken"): {400},
    # Image Builder answers it for everything that names a resource by ARN.
    ("imagebuilder", "ResourceNotFoundException"): {404},
    ("imagebuilder", "InvalidParameterValueException"): {400},
}
# A status without a body has these codes (HEAD requests).
_BARE = {"304", "400", "403", "404", "405", "412", "500", "503"}


def judged(model, protocol, operation, status, code):
    """What is wrong with answering this code with this status; `None` when nothing is."""
    if not code:
        return "a refusal without a code"
    raw = models.raw(model.service_name)["shapes"]
    for shape in operation.error_shapes if operation else ():
        trait = raw[shape.name].get("error", {})
        if code in (shape.name, trait.get("code")):
            wanted = trait.get("httpStatusCode", 500 if raw[shape.name].get("fault") else 400)
            # A code both modelled without a status and documented has the documented one.
            known = common(model, protocol).get(code, set())
            return None if status == wanted or "httpStatusCode" not in trait and status in known \
                else f"{code} with status {status} instead of {wanted}"
    if protocol == "rest-xml" and code in _BARE and code == str(status):
        return None
    known = _DOCUMENTED.get((model.service_name, code)) or common(model, protocol).get(code)
    if known is None:
        return f"{code} is neither in the model's errors of the operation nor common"
    return None if status in known else f"{code} with status {status} instead of one of {sorted(known)}"


def common(model, protocol):
    if protocol == "ec2":
        return _EC2
    if protocol == "rest-xml":
        return _S3
    # CloudWatch speaks three protocols and kept the codes of the oldest.
    if "query" in (model.metadata.get("protocols") or [model.metadata["protocol"]]):
        return {**_QUERY, **(_JSON if protocol in ("json", "smithy-rpc-v2-cbor") else {})}
    return _JSON
