//! A signer with a key in KMS.

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec};

use super::SignError;
use crate::digest::Sha256;
use crate::evidence::key::{KeyError, PublicKey};

/// A KMS key with the spec `ECC_NIST_P256` and the usage `SIGN_VERIFY`.
pub struct KmsSigner {
    client: aws_sdk_kms::Client,
    arn: String,
    public: PublicKey,
}

impl std::fmt::Debug for KmsSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KmsSigner")
            .field("arn", &self.arn)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl KmsSigner {
    pub(super) async fn new(client: &aws_sdk_kms::Client, key: &str) -> Result<Self, SignError> {
        let answer = client.get_public_key().key_id(key).send().await;
        let answer = answer
            .map_err(|source| SignError::GetPublicKey { key: key.to_owned(), source: Box::new(source) })?;
        let other = |member, found: Option<&str>, expected| SignError::KmsKey {
            key: key.to_owned(),
            member,
            found: found.unwrap_or("none").to_owned(),
            expected,
        };
        if answer.key_usage != Some(KeyUsageType::SignVerify) {
            let found = answer.key_usage.as_ref().map(KeyUsageType::as_str);
            return Err(other("KeyUsage", found, "SIGN_VERIFY"));
        }
        if answer.key_spec != Some(KeySpec::EccNistP256) {
            let found = answer.key_spec.as_ref().map(KeySpec::as_str);
            return Err(other("KeySpec", found, "ECC_NIST_P256"));
        }
        let der = answer.public_key.map(Blob::into_inner).unwrap_or_default();
        let public = PublicKey::from_spki_der(&der)
            .map_err(|source: KeyError| SignError::KmsPublicKey { key: key.to_owned(), source })?;
        // KeyId is always the ARN: an alias that moves later does not change the key that signs.
        let arn = answer.key_id.unwrap_or_else(|| key.to_owned());
        Ok(Self { client: client.clone(), arn, public })
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    /// Signs the digest of `message`: KMS takes raw messages of at most 4096 bytes.
    pub(super) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let answer = self
            .client
            .sign()
            .key_id(&self.arn)
            .message_type(MessageType::Digest)
            .message(Blob::new(Sha256::of(message).as_bytes()))
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await;
        let answer =
            answer.map_err(|source| SignError::Kms { key: self.arn.clone(), source: Box::new(source) })?;
        // An empty signature fails verification like any other wrong one.
        Ok(answer.signature.map(Blob::into_inner).unwrap_or_default())
    }
}
