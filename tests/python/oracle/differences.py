"""Where an emulator and the embedded AWS differ, and what says that the embedded AWS is right.

"model" is the service model with its documentation, as botocore ships it.
"""

_SECRETS_STATUS = "model: the exception has httpStatusCode 400 by default; Secrets Manager's reference says HTTP 400"
_PUT_OUTPUT = "API reference, PutObject, response headers: the checksum of the object is answered when it was uploaded with one"

DIFFERENCES = {
    ("moto", "images"): {
        "create again": "EC2 errors overview, InvalidAMIName.Duplicate: the AMI name is already in use by another AMI of the account",
    },
    ("moto", "groups"): {
        "create again": "model, CreateAutoScalingGroup: AlreadyExistsFault",
        "targets follow": "moto never deregisters the target of an instance that its group terminated",
        "too many": "model, SetDesiredCapacity; user guide, capacity limits: the desired capacity lies between minimum and maximum",
        "unknown group": "moto answers 500 without an error",
        "delete in use": "model, DeleteAutoScalingGroup: the group must have no instances unless ForceDelete; ResourceInUseFault",
        "delete by force": "follows from the step before: moto has deleted it",
    },
    ("moto", "balancing"): {
        "weight out of range": "model, TargetGroupTuple: the range of a weight is 0 to 999",
        "same port": "model, CreateListener: DuplicateListenerException, a listener with the specified port already exists",
    },
    ("moto", "objects"): {
        "wrong order": "S3 error responses, InvalidPartOrder: the list of parts was not in ascending order; moto looks at the sizes first",
    },
    ("moto", "signatures_of_messages"): {
        "verify another": "model, Verify: a signature that fails is KMSInvalidSignatureException",
        "too long": "model, Sign: Message has 1 to 4096 bytes",
        "wrong algorithm": "model, InvalidKeyUsageException: the signing algorithm is incompatible with the key's KeySpec",
        "symmetric": "model, InvalidKeyUsageException: for signing, the KeyUsage must be SIGN_VERIFY",
        "sign disabled": "model, Sign: DisabledException",
    },
    ("moto", "secrets"): {
        "stages": "model, DescribeSecret: VersionIdsToStages lists the versions that have staging labels",
        "version and stage disagree": _SECRETS_STATUS,
        "no such stage": _SECRETS_STATUS,
        "no such secret": _SECRETS_STATUS,
        "read restored": "the label was moved to the third version above; moto's GetSecretValue keeps reading the second",
    },
    ("moto", "labels"): {
        "by label": "model, Parameter: Selector is either the version number or the label used to retrieve the value",
        "no such label": "model, GetParameter lists both errors and does not say which; a label selects a version",
        "unknown": "moto answers 500",
        "some unknown": "moto answers 500",
    },
    ("ministack", "composites"): {
        "bad rule": "boto3 reads the name of the shape in CBOR; the code of the query protocol travels in x-amzn-query-error",
        "bad state": "model, StateValue: OK, ALARM or INSUFFICIENT_DATA",
    },
    ("ministack", "checksums"): {
        "given": _PUT_OUTPUT,
        "made CRC32": _PUT_OUTPUT,
        "made SHA1": _PUT_OUTPUT,
        "made SHA256": _PUT_OUTPUT,
    },
}
