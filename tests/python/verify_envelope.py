#!/usr/bin/env python3
"""Verify a bakeline envelope with implementations that are not bakeline's.

usage: verify_envelope.py ENVELOPE PUBLIC_KEY_PEM

The DSSE envelope is verified by securesystemslib, the statement by in-toto-attestation, and the predicate,
where the package has its message, by that message. A predicate of the chain must have the link; the predicates
in STANDALONE have none. Exits 0 if all accept, 1 if one refuses, 2 if called wrongly.
Needs: pip install securesystemslib cryptography in-toto-attestation
"""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
CHAIN_FIELD = "bakeline_chain"
PREDICATES = {
    "https://slsa.dev/provenance/v1": provenance_pb2.Provenance,
    "https://in-toto.io/attestation/test-result/v0.1": test_result_pb2.TestResult,
    "https://slsa.dev/verification_summary/v1": vsa_pb2.VerificationSummary,
}
STANDALONE = {
    "https://in-toto.io/attestation/vulns/v0.2",
    "https://slsa.dev/verification_summary/v1",
    "https://bakeline.dev/attestation/cleanup-plan/v1",
}
LINK = {"run", "service", "stage", "position", "issuedOn", "handOverExpiresOn"}
RUN = {"system", "pipeline", "runId", "attemptId"}


def verify(envelope_bytes: bytes, pem: bytes) -> dict:
    """The statement in the envelope, or an exception that says why it is not accepted."""
    crypto_key = load_pem_public_key(pem)
    spki = crypto_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # securesystemslib compares key ids before it verifies, so the key is given the id bakeline gives it.
    key = SSlibKey.from_crypto(crypto_key, keyid=hashlib.sha256(spki).hexdigest())
    if key.scheme != "ecdsa-sha2-nistp256":
        raise ValueError(f"the key's scheme is {key.scheme}, expected ecdsa-sha2-nistp256")

    envelope = Envelope.from_dict(json.loads(envelope_bytes))
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError(f"the payload type is {envelope.payload_type}, expected {PAYLOAD_TYPE}")
    envelope.verify([key], 1)

    message = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()

    statement = json.loads(envelope.payload)
    predicate = dict(statement["predicate"])
    link = predicate.pop(CHAIN_FIELD, None)
    schema = PREDICATES.get(statement["predicateType"])
    if schema is vsa_pb2.VerificationSummary:
        # The package's message (0.9.3) has one string here. SLSA's specification of the predicate has an array of strings.
        levels = predicate["verifiedLevels"]
        if not isinstance(levels, list) or not levels or not all(isinstance(level, str) for level in levels):
            raise ValueError(f"verifiedLevels is not an array of strings: {levels}")
        predicate["verifiedLevels"] = levels[0]
    if schema is not None:
        # Without the extension field every other field must be one of the published message.
        json_format.ParseDict(predicate, schema())
    if statement["predicateType"] in STANDALONE:
        if link is not None:
            raise ValueError(f"a standalone statement has the member {CHAIN_FIELD}")
        return statement
    if link is None or not LINK <= link.keys() or not RUN <= link["run"].keys():
        raise ValueError(f"{CHAIN_FIELD} lacks members: has {sorted(link or [])}")
    for file in link.get("files", []):
        if set(file) != {"name", "digest"} or len(file["digest"]["sha256"]) != 64:
            raise ValueError(f"{CHAIN_FIELD} lists a file without name and digest: {file}")
    return statement


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], "rb") as file:
        envelope = file.read()
    with open(sys.argv[2], "rb") as file:
        pem = file.read()
    try:
        statement = verify(envelope, pem)
    except Exception as error:  # whatever a verifier raises, the envelope is not accepted
        print(f"{sys.argv[1]}: refused: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{sys.argv[1]}: verified {statement['predicateType']} about {len(statement['subject'])} subject(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
