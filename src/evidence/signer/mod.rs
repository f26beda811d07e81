//! Signers: a private key in this process, or a key in KMS.

mod kms;
mod local;

use std::path::{Path, PathBuf};

use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::operation::get_public_key::GetPublicKeyError;
use aws_sdk_kms::operation::sign::SignError as KmsSignError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::SecretString;

pub use kms::KmsSigner;
pub use local::LocalSigner;

use super::dsse::{Envelope, IN_TOTO, Signature, pae};
use super::key::{KeyError, PublicKey};
use super::statement::Statement;

/// Makes ECDSA signatures on P-256 with SHA-256. Its debug output has the public key's id and no secret.
#[derive(Debug)]
pub enum Signer {
    /// A private key in this process, from a file or from Secrets Manager.
    Local(LocalSigner),
    /// A key in KMS.
    Kms(KmsSigner),
}

/// Why signing failed. No message quotes a private key.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The key file is far longer than a P-256 key.
    #[error("the key file {} is longer than {limit} bytes", path.display())]
    FileTooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: usize,
    },
    /// The text is not a private key on P-256.
    #[error("{origin} is not a PEM private key on P-256: {why}")]
    PrivateKey {
        /// Where it came from.
        origin: String,
        /// What was expected.
        why: &'static str,
    },
    /// Secrets Manager did not return the secret.
    #[error("the secret {secret} cannot be read")]
    Secret {
        /// The secret's id or ARN.
        secret: String,
        /// Why not.
        #[source]
        source: Box<SdkError<GetSecretValueError>>,
    },
    /// KMS did not return the public key.
    #[error("KMS did not return the public key of {key}")]
    GetPublicKey {
        /// The key's id, ARN or alias.
        key: String,
        /// Why not.
        #[source]
        source: Box<SdkError<GetPublicKeyError>>,
    },
    /// The KMS key has another usage or spec.
    #[error("the KMS key {key} has {member} {found}, expected {expected}")]
    KmsKey {
        /// The key's id, ARN or alias.
        key: String,
        /// The member of the `GetPublicKey` response.
        member: &'static str,
        /// The value found.
        found: String,
        /// The value expected.
        expected: &'static str,
    },
    /// KMS returned a public key that cannot be read.
    #[error("KMS returned no usable public key for {key}")]
    KmsPublicKey {
        /// The key's id, ARN or alias.
        key: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// KMS did not sign.
    #[error("KMS did not sign with {key}")]
    Kms {
        /// The key's ARN.
        key: String,
        /// Why not.
        #[source]
        source: Box<SdkError<KmsSignError>>,
    },
    /// The local key did not sign.
    #[error("signing with the key {key} failed")]
    Local {
        /// The key's id.
        key: String,
    },
    /// The signer returned a signature that its public key does not verify.
    #[error("the signature made with {key} does not verify with its own public key {id}")]
    DoesNotVerify {
        /// [`Signer::name`].
        key: String,
        /// The public key's id.
        id: String,
    },
    /// The statement cannot be written.
    #[error("the statement cannot be written as JSON")]
    Statement(#[source] serde_json::Error),
}

impl Signer {
    /// A signer from a PEM private key: PKCS#8 (`PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`), P-256, unencrypted.
    ///
    /// # Errors
    /// The text is not such a key.
    pub fn from_pem(pem: &SecretString) -> Result<Self, SignError> {
        LocalSigner::from_pem(pem, "the text given").map(Self::Local)
    }

    /// A signer from a file that holds a PEM private key, as [`Self::from_pem`] reads it.
    ///
    /// # Errors
    /// The file cannot be read or is not such a key.
    pub fn from_file(path: &Path) -> Result<Self, SignError> {
        LocalSigner::from_file(path).map(Self::Local)
    }

    /// A signer from a secret whose string (`AWSCURRENT`) is a PEM private key, as [`Self::from_pem`] reads it.
    ///
    /// # Errors
    /// The secret cannot be read or is not such a key.
    pub async fn from_secret(
        client: &aws_sdk_secretsmanager::Client,
        secret: &str,
    ) -> Result<Self, SignError> {
        LocalSigner::from_secret(client, secret).await.map(Self::Local)
    }

    /// A signer with a KMS key: id, ARN, alias or alias ARN of an `ECC_NIST_P256` key for `SIGN_VERIFY`.
    ///
    /// It reads the public key once and then always signs with that key, even if the alias moves.
    ///
    /// # Errors
    /// KMS does not return the public key, or the key has another usage or spec.
    pub async fn kms(client: &aws_sdk_kms::Client, key: &str) -> Result<Self, SignError> {
        KmsSigner::new(client, key).await.map(Self::Kms)
    }

    /// The public key that verifies what this signs.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        match self {
            Self::Local(signer) => signer.public_key(),
            Self::Kms(signer) => signer.public_key(),
        }
    }

    /// The signer's name for messages: the file, the secret or the key's ARN.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Local(signer) => signer.origin().to_owned(),
            Self::Kms(signer) => signer.arn().to_owned(),
        }
    }

    /// An ECDSA signature, ASN.1 DER, over the SHA-256 of `message`. It is verified before it is returned.
    ///
    /// # Errors
    /// The key cannot be used, or its signature does not verify.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match self {
            Self::Local(signer) => signer.sign(message)?,
            Self::Kms(signer) => signer.sign(message).await?,
        };
        if !self.public_key().verifies(message, &signature) {
            return Err(SignError::DoesNotVerify { key: self.name(), id: self.public_key().id() });
        }
        Ok(signature)
    }
}

/// Signs a statement: its JSON in a DSSE envelope with one signature.
///
/// # Errors
/// If the signer does not sign, or not so that its public key verifies it.
pub async fn seal(statement: &Statement, by: &Signer) -> Result<Envelope, SignError> {
    let payload = statement.to_bytes().map_err(SignError::Statement)?;
    let sig = by.sign(&pae(IN_TOTO, &payload)).await?;
    Ok(Envelope::sealed(payload, Signature { keyid: by.public_key().id(), sig }))
}

#[cfg(test)]
mod tests;
