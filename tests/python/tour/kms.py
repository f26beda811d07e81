"""KMS: keys, aliases, signatures that others can verify."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .embedded_aws import pages, refused


def tour(aws):
    kms = aws.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Description="tour")["KeyMetadata"]
    assert (key["KeyState"], key["SigningAlgorithms"]) == ("Enabled", ["ECDSA_SHA_256"])
    symmetric = kms.create_key()["KeyMetadata"]
    assert symmetric["KeySpec"] == "SYMMETRIC_DEFAULT"
    refused("ValidationException", 400, kms.create_key, KeySpec="ECC_NIST_P257")

    kms.create_alias(AliasName="alias/tour", TargetKeyId=key["KeyId"])
    refused("AlreadyExistsException", 400, kms.create_alias, AliasName="alias/tour", TargetKeyId=key["KeyId"])
    refused("InvalidAliasNameException", 400, kms.create_alias, AliasName="tour", TargetKeyId=key["KeyId"])
    refused("NotFoundException", 400, kms.describe_key, KeyId="alias/none")
    assert kms.describe_key(KeyId="alias/tour")["KeyMetadata"]["Arn"] == key["Arn"]
    assert {"alias/tour", "alias/bakeline-signing"} <= {a["AliasName"] for a in pages(kms, "list_aliases", "Aliases", 1)}
    assert {key["KeyId"], symmetric["KeyId"]} <= {k["KeyId"] for k in pages(kms, "list_keys", "Keys", 1)}

    message = b"what is signed"
    digest = hashlib.sha256(message).digest()
    public = load_der_public_key(kms.get_public_key(KeyId="alias/tour")["PublicKey"])
    for given, kind in ((message, "RAW"), (digest, "DIGEST")):
        signed = {"KeyId": key["Arn"], "Message": given, "MessageType": kind, "SigningAlgorithm": "ECDSA_SHA_256"}
        signature = kms.sign(**signed)["Signature"]
        public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        assert kms.verify(**signed, Signature=signature)["SignatureValid"]
        refused("KMSInvalidSignatureException", 400, kms.verify, **signed, Signature=signature[:-1] + b"\0")
        refused("DryRunOperationException", 400, kms.sign, **signed, DryRun=True)
    try:
        public.verify(signature, b"something else", ec.ECDSA(hashes.SHA256()))
        raise AssertionError("anything verifies")
    except InvalidSignature:
        pass
    wrong = {"KeyId": key["Arn"], "SigningAlgorithm": "ECDSA_SHA_256"}
    refused("ValidationException", 400, kms.sign, **wrong, Message=b"short", MessageType="DIGEST")
    refused("ValidationException", 400, kms.sign, **wrong, Message=b"x" * 4097)
    refused("ValidationException", 400, kms.sign, **wrong, Message=b"")
    refused("InvalidKeyUsageException", 400, kms.sign, KeyId=symmetric["KeyId"], Message=b"x",
            SigningAlgorithm="ECDSA_SHA_256")
    refused("InvalidKeyUsageException", 400, kms.sign, KeyId=key["KeyId"], Message=b"x",
            SigningAlgorithm="RSASSA_PSS_SHA_256")
    kms.disable_key(KeyId=key["KeyId"])
    refused("DisabledException", 400, kms.sign, KeyId=key["KeyId"], Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    kms.enable_key(KeyId=key["KeyId"])
    kms.sign(KeyId=key["KeyId"], Message=b"x", SigningAlgorithm="ECDSA_SHA_256")

    made = kms.generate_data_key(KeyId=symmetric["KeyId"], KeySpec="AES_256")
    assert len(made["Plaintext"]) == 32 and made["KeyId"] == symmetric["Arn"] and made["CiphertextBlob"]
    refused("InvalidKeyUsageException", 400, kms.generate_data_key, KeyId=key["KeyId"], KeySpec="AES_256")
    refused("ValidationException", 400, kms.generate_data_key, KeyId=symmetric["KeyId"])

    other = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.update_alias(AliasName="alias/tour", TargetKeyId=other["KeyId"])
    assert kms.describe_key(KeyId="alias/tour")["KeyMetadata"]["KeyId"] == other["KeyId"]
    kms.delete_alias(AliasName="alias/tour")
    refused("NotFoundException", 400, kms.delete_alias, AliasName="alias/tour")
