//! DSSE envelopes (Dead Simple Signing Envelope v1.0): a payload, its type, and signatures over both.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use crate::digest::Sha256;

/// The payload type of an in-toto Statement, the only one that is read.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The longest envelope file that is read, in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 16 * 1024 * 1024;

/// The most signatures of an envelope.
pub const MAX_SIGNATURES: usize = 16;

/// The longest key id and the longest signature, in bytes; DER of P-256 needs at most 72.
const MAX_FIELD_BYTES: usize = 1024;

/// DSSE requires readers to accept both base64 alphabets. Padding is optional; trailing bits must be zero.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes that are signed: the Pre-Authentication Encoding of DSSE v1. Lengths are in bytes.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// A payload with signatures over it. Only a key that verifies a signature gives access to the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The id of the key that signed. The signature does not cover it, so it is only a hint. Empty if absent.
    pub keyid: String,
    /// The signature; ECDSA signatures are ASN.1 DER.
    pub sig: Vec<u8>,
}

/// Why bytes are not an envelope that can be read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than [`MAX_ENVELOPE_BYTES`].
    #[error("the envelope has {bytes} bytes, more than the {MAX_ENVELOPE_BYTES} that are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not the JSON of an envelope; the source has the line and the column.
    #[error("not a DSSE envelope")]
    Json(#[source] serde_json::Error),
    /// A field is not base64.
    #[error("`{field}` is not base64")]
    Base64 {
        /// The field's name.
        field: &'static str,
        /// What is wrong, and with which byte.
        #[source]
        source: base64::DecodeError,
    },
    /// The payload has another type than an in-toto Statement.
    #[error("the payload type is {found:?}, expected {IN_TOTO:?}")]
    UnknownPayloadType {
        /// The payload type of the envelope.
        found: String,
    },
    /// No signature.
    #[error("the envelope has no signature")]
    Unsigned,
    /// Too many signatures, or a field that is too long.
    #[error("the envelope's {field} is longer than {limit}")]
    FieldTooLong {
        /// The field's name.
        field: &'static str,
        /// The limit: elements of `signatures`, bytes of the others.
        limit: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// An envelope of an in-toto payload and the signature of its [`pae`].
    pub(super) fn sealed(payload: Vec<u8>, signature: Signature) -> Self {
        Self { payload_type: IN_TOTO.to_owned(), payload, signatures: vec![signature] }
    }

    /// Reads an envelope in any form that DSSE allows: any JSON layout, either base64 alphabet, further fields.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLong { bytes: bytes.len() });
        }
        // Of the envelope only: the signed payload stays byte for byte.
        let bytes = crate::text::bytes_without_bom(bytes);
        let wire: Wire = serde_json::from_slice(bytes).map_err(EnvelopeError::Json)?;
        if wire.payload_type != IN_TOTO {
            return Err(EnvelopeError::UnknownPayloadType { found: wire.payload_type });
        }
        if wire.signatures.is_empty() {
            return Err(EnvelopeError::Unsigned);
        }
        if wire.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::FieldTooLong { field: "signatures", limit: MAX_SIGNATURES });
        }
        let signatures = wire.signatures.into_iter().map(Signature::decode).collect::<Result<_, _>>()?;
        Ok(Self { payload_type: wire.payload_type, payload: base64(&wire.payload, "payload")?, signatures })
    }

    /// The canonical form, the only one we write: compact JSON with the members in this order
    /// (`payloadType`, `payload`, `signatures` of `keyid`, `sig`), standard padded base64, one final newline.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|s| WireSignature { keyid: s.keyid.clone(), sig: STANDARD.encode(&s.sig) })
                .collect(),
        };
        // Strings and lists of strings always serialize; every reader refuses an empty file.
        let mut out = serde_json::to_vec(&wire).unwrap_or_default();
        out.push(b'\n');
        out
    }

    /// The payload's type.
    #[must_use]
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The signatures, not verified.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The payload and the signature that `key` made over it, if there is one. The key ids are ignored.
    #[must_use]
    pub fn verified_by(&self, key: &PublicKey) -> Option<(&[u8], &Signature)> {
        let message = pae(&self.payload_type, &self.payload);
        let signature = self.signatures.iter().find(|s| key.verifies(&message, &s.sig))?;
        Some((&self.payload, signature))
    }
}

impl Signature {
    fn decode(wire: WireSignature) -> Result<Self, EnvelopeError> {
        for (field, text) in [("keyid", &wire.keyid), ("sig", &wire.sig)] {
            if text.len() > MAX_FIELD_BYTES {
                return Err(EnvelopeError::FieldTooLong { field, limit: MAX_FIELD_BYTES });
            }
        }
        Ok(Self { sig: base64(&wire.sig, "sig")?, keyid: wire.keyid })
    }
}

/// Without the payload: nobody has verified it yet.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("payload_type", &self.payload_type)
            .field("payload", &Sha256::of(&self.payload))
            .field("signatures", &self.signatures)
            .finish()
    }
}

fn base64(text: &str, field: &'static str) -> Result<Vec<u8>, EnvelopeError> {
    let engine = if text.contains(['-', '_']) { &READ_URL_SAFE } else { &READ_STANDARD };
    engine.decode(text).map_err(|source| EnvelopeError::Base64 { field, source })
}

#[cfg(test)]
mod tests;
