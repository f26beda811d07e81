//! A private key in this process.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use pem_rfc7468::Decoder;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::SignError;
use crate::evidence::key::PublicKey;

/// The longest key file that is read, in bytes; a P-256 key in PEM has about 300.
const MAX_KEY_FILE: usize = 16 * 1024;

/// A P-256 private key. Its debug output has its origin and its public key's id.
pub struct LocalSigner {
    pair: EcdsaKeyPair,
    public: PublicKey,
    origin: String,
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSigner")
            .field("origin", &self.origin)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl LocalSigner {
    pub(super) fn from_file(path: &Path) -> Result<Self, SignError> {
        let failed = |source| SignError::File { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        // Allocated once: a buffer that grows leaves copies of the key in memory.
        let mut pem = Zeroizing::new(String::with_capacity(MAX_KEY_FILE + 1));
        file.take(MAX_KEY_FILE as u64 + 1).read_to_string(&mut pem).map_err(failed)?;
        if pem.len() > MAX_KEY_FILE {
            return Err(SignError::FileTooLong { path: path.to_owned(), limit: MAX_KEY_FILE });
        }
        Self::from_text(&pem, format!("the key file {}", path.display()))
    }

    pub(super) async fn from_secret(
        client: &aws_sdk_secretsmanager::Client,
        secret: &str,
    ) -> Result<Self, SignError> {
        let answer = client.get_secret_value().secret_id(secret).send().await;
        let answer = answer
            .map_err(|source| SignError::Secret { secret: secret.to_owned(), source: Box::new(source) })?;
        let origin = format!("the secret {secret}");
        let Some(pem) = answer.secret_string.map(SecretString::from) else {
            let why = "it has no string (a binary secret is not read)";
            return Err(SignError::PrivateKey { origin, why });
        };
        Self::from_pem(&pem, origin)
    }

    pub(super) fn from_pem(pem: &SecretString, origin: impl Into<String>) -> Result<Self, SignError> {
        Self::from_text(pem.expose_secret(), origin.into())
    }

    fn from_text(pem: &str, origin: String) -> Result<Self, SignError> {
        match key_pair(pem) {
            Ok((pair, public)) => Ok(Self { pair, public, origin }),
            Err(why) => Err(SignError::PrivateKey { origin, why }),
        }
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| SignError::Local { key: self.public.id() })?;
        Ok(signature.as_ref().to_vec())
    }

    /// Signs a digest, as KMS does.
    #[cfg(test)]
    pub(super) fn sign_digest(&self, digest: &[u8]) -> Vec<u8> {
        use aws_lc_rs::digest::{Digest, SHA256};
        let digest = Digest::import_less_safe(digest, &SHA256).unwrap();
        self.pair.sign_digest(&digest).unwrap().as_ref().to_vec()
    }
}

fn key_pair(text: &str) -> Result<(EcdsaKeyPair, PublicKey), &'static str> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err("it is encrypted; use an unencrypted key or a KMS key");
    }
    // `openssl ecparam -genkey` writes the curve's parameters as a separate block before the key.
    let start = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"]
        .into_iter()
        .find_map(|label| text.find(label))
        .ok_or("expected a block `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC1)")?;
    let block = text.get(start..).unwrap_or_default().trim_end();
    let malformed = "the PEM is malformed";
    let rewrapped = crate::evidence::pem::rewrapped(block);
    let block = rewrapped.as_deref().map_or(block, String::as_str);
    let mut decoder = Decoder::new_detect_wrap(block.as_bytes()).map_err(|_| malformed)?;
    let mut der = Zeroizing::new(Vec::with_capacity(decoder.remaining_len()));
    decoder.decode_to_end(&mut der).map_err(|_| malformed)?;
    let pair = if decoder.type_label() == "PRIVATE KEY" {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
    } else {
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
    };
    let pair = pair.map_err(|_| "it has another algorithm or curve, or is damaged")?;
    let public =
        PublicKey::from_point(pair.public_key().as_ref()).map_err(|_| "its public key is not on P-256")?;
    Ok((pair, public))
}
