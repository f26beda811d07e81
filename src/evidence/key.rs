//! Public keys: ECDSA on P-256 with SHA-256, which KMS and the standard verifiers support.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use pem_rfc7468::LineEnding;

use crate::digest::Sha256;

/// The DER of a `SubjectPublicKeyInfo` for P-256 up to the point: id-ecPublicKey, prime256v1 (RFC 5480),
/// then a BIT STRING of 65 bytes, an uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key on P-256; its point is on the curve.
#[derive(Clone)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    spki: Vec<u8>,
    id: Sha256,
}

/// Why an input is not a usable public key. The message never quotes the input.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM.
    #[error("not a PEM document: {0}")]
    Pem(pem_rfc7468::Error),
    /// PEM with another label.
    #[error("the PEM label is {found:?}, expected \"PUBLIC KEY\"")]
    Label {
        /// The label found.
        found: String,
    },
    /// A key of another algorithm or curve, or with a compressed point.
    #[error("not an ECDSA key on P-256 (SubjectPublicKeyInfo with prime256v1 and an uncompressed point)")]
    NotP256,
    /// The point is not on the curve.
    #[error("the point is not on the curve P-256")]
    NotOnCurve,
}

impl PublicKey {
    /// Reads a PEM `PUBLIC KEY` (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let rewrapped = super::pem::rewrapped(pem);
        let pem = rewrapped.as_deref().map_or(pem.trim(), String::as_str);
        let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes()).map_err(KeyError::Pem)?;
        if label != "PUBLIC KEY" {
            return Err(KeyError::Label { found: label.to_owned() });
        }
        Self::from_spki_der(&der)
    }

    /// Reads the DER of a `SubjectPublicKeyInfo`, the form of KMS `GetPublicKey`.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let point = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotP256)?;
        Self::from_point(point)
    }

    /// Reads an uncompressed point: 0x04, X, Y.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(KeyError::NotP256);
        }
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| KeyError::NotOnCurve)?;
        let spki = [&SPKI_PREFIX, point].concat();
        let id = Sha256::of(&spki);
        Ok(Self { parsed, spki, id })
    }

    /// The key's id: the SHA-256 of its `SubjectPublicKeyInfo` DER, in hexadecimal; the `keyid` of our envelopes.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The key as a PEM `PUBLIC KEY`, which `openssl` and every DSSE verifier read.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // 91 bytes always fit; the encoder can fail only on lengths that overflow.
        pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, &self.spki).unwrap_or_default()
    }

    /// Whether this key made `signature` (ECDSA, ASN.1 DER) over the SHA-256 of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

#[cfg(test)]
mod tests;
