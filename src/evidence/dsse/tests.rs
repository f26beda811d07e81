use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use proptest::prelude::*;

use super::*;

/// The vector published in the DSSE protocol document.
mod published {
    pub const TYPE: &str = "http://example.com/HelloWorld";
    pub const PAYLOAD: &[u8] = b"hello world";
    pub const PAE: &[u8] = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    /// Raw r and s, as the document's implementation writes signatures.
    pub const SIG: &str =
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
    pub const X: &str = "67cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238";
    pub const Y: &str = "0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74";
}

fn published_point() -> Vec<u8> {
    let coordinate = |hex: &str| *hex.parse::<Sha256>().unwrap().as_bytes();
    [&[4][..], &coordinate(published::X), &coordinate(published::Y)].concat()
}

#[test]
fn the_pre_authentication_encoding_matches_the_published_one() {
    assert_eq!(pae(published::TYPE, published::PAYLOAD), published::PAE);
}

#[test]
fn the_published_signature_verifies_over_our_encoding() {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, published_point());
    let signature = STANDARD.decode(published::SIG).unwrap();
    key.verify(&pae(published::TYPE, published::PAYLOAD), &signature).unwrap();
    key.verify(&pae(published::TYPE, b"hello worlD"), &signature).unwrap_err();
}

#[test]
fn the_published_signature_verifies_with_our_key_type_as_der() {
    let raw = STANDARD.decode(published::SIG).unwrap();
    // An ASN.1 INTEGER is signed: a leading bit needs a zero byte before it.
    let integer = |bytes: &[u8]| {
        let pad: &[u8] = if bytes[0] >= 0x80 { &[0] } else { &[] };
        [&[0x02, u8::try_from(bytes.len() + pad.len()).unwrap()], pad, bytes].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let der = [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat();
    let key = PublicKey::from_point(&published_point()).unwrap();
    assert!(key.verifies(published::PAE, &der));
    assert!(!key.verifies(published::PAE, &raw), "the raw form is not what we write");
}

#[test]
fn lengths_in_the_encoding_are_in_bytes() {
    assert_eq!(pae("ü", "日".as_bytes()), "DSSEv1 2 ü 3 日".as_bytes());
}

fn json(payload_type: &str, payload: &str, signatures: &str) -> String {
    format!(r#"{{"payloadType":"{payload_type}","payload":"{payload}","signatures":{signatures}}}"#)
}

#[test]
fn either_alphabet_is_read_with_or_without_padding() {
    let bytes = [0xfb, 0xff, 0xfe, 0x01];
    for text in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ"] {
        let envelope = Envelope::decode(json(IN_TOTO, text, r#"[{"sig":"AQ=="}]"#).as_bytes()).unwrap();
        assert_eq!(envelope.payload, bytes, "{text}");
    }
}

#[test]
fn a_malformed_envelope_is_refused_with_the_reason() {
    let long = "A".repeat(2000);
    let many = format!("[{}]", vec![r#"{"sig":"AQ=="}"#; 17].join(","));
    let one = r#"[{"keyid":"k","sig":"AQ=="}]"#;
    for (text, why) in [
        (String::new(), "not a DSSE envelope"),
        ("[]".into(), "not a DSSE envelope"),
        (json(IN_TOTO, "AQ==", one).replace("}]}", "}],\"payload\":\"\"}"), "not a DSSE envelope"),
        (json(IN_TOTO, "AQ==", one) + "x", "not a DSSE envelope"),
        (json("text/plain", "AQ==", one), r#"the payload type is "text/plain""#),
        (json(IN_TOTO, "AQ==", "[]"), "has no signature"),
        (json(IN_TOTO, "AQ==", &many), "`signatures`".trim_matches('`')),
        (json(IN_TOTO, "A*==", one), "`payload` is not base64"),
        (json(IN_TOTO, "AR==", one), "`payload` is not base64"),
        (json(IN_TOTO, "+_AA", one), "`payload` is not base64"),
        (json(IN_TOTO, "AQ==", r#"[{"sig":"%"}]"#), "`sig` is not base64"),
        (json(IN_TOTO, "AQ==", &format!(r#"[{{"keyid":"{long}","sig":""}}]"#)), "keyid is longer"),
        (json(IN_TOTO, "AQ==", &format!(r#"[{{"sig":"{long}"}}]"#)), "sig is longer"),
    ] {
        let error = Envelope::decode(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let error = Envelope::decode(&vec![b' '; MAX_ENVELOPE_BYTES + 1]).unwrap_err();
    assert!(matches!(error, EnvelopeError::TooLong { .. }));
}

#[test]
fn the_error_of_a_malformed_envelope_has_line_and_column() {
    let error = Envelope::decode(b"{\n  \"payload\": 1\n}").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("line 2 column"), "{source}");
}

#[test]
fn the_canonical_form_is_the_documented_one() {
    let envelope =
        Envelope::sealed(b"{}".to_vec(), Signature { keyid: "k".into(), sig: vec![0xfb, 0xff, 0xfe, 1] });
    assert_eq!(
        String::from_utf8(envelope.encode()).unwrap(),
        json(IN_TOTO, "e30=", r#"[{"keyid":"k","sig":"+//+AQ=="}]"#) + "\n"
    );
}

#[test]
fn the_debug_output_of_an_envelope_has_no_payload() {
    let envelope = Envelope::sealed(b"planted".to_vec(), Signature { keyid: String::new(), sig: vec![] });
    let printed = format!("{envelope:?}");
    assert!(!printed.contains("planted") && !printed.contains("112, 108, 97"), "{printed}");
}

proptest! {
    #[test]
    fn an_envelope_is_read_back_as_it_was_written(payload: Vec<u8>, keyid in ".{0,80}", sig: Vec<u8>) {
        let envelope = Envelope::sealed(payload, Signature { keyid, sig });
        let bytes = envelope.encode();
        prop_assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>) {
        let _ = Envelope::decode(&bytes);
    }

    #[test]
    fn different_inputs_have_different_encodings(a: (String, Vec<u8>), b: (String, Vec<u8>)) {
        prop_assert_eq!(a == b, pae(&a.0, &a.1) == pae(&b.0, &b.1));
    }
}
