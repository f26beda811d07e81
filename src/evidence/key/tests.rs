use super::*;

const P256: &str = include_str!("../../../tests/golden/evidence/keys/p256-public.pem");

#[test]
fn the_id_is_the_sha256_of_the_der_as_openssl_gives_it() {
    let key = PublicKey::from_pem(P256).unwrap();
    assert_eq!(key.id(), "9567cfa2e69acfad1d4e041789a58fcd64c17dc578ab6f9919bc1d927b94adbf");
}

#[test]
fn a_key_is_written_as_it_was_read() {
    assert_eq!(PublicKey::from_pem(P256).unwrap().to_pem(), P256);
}

#[test]
fn carriage_returns_and_blank_lines_around_are_read() {
    let key = PublicKey::from_pem(&format!("\n{}\n", P256.replace('\n', "\r\n"))).unwrap();
    assert_eq!(key, PublicKey::from_pem(P256).unwrap());
}

/// KMS prints the key on one line, YAML folds lines, and other tools wrap at 76 columns.
#[test]
fn the_base64_may_be_on_lines_of_any_width() {
    let expected = PublicKey::from_pem(P256).unwrap();
    let body: String = P256.lines().filter(|line| !line.starts_with("-----")).collect();
    let wrapped = |width: usize| {
        let letters: Vec<char> = body.chars().collect();
        letters.chunks(width).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
    };
    for text in
        [wrapped(1), wrapped(7), wrapped(76), wrapped(500), format!("{}\n\n{}", &body[..9], &body[9..])]
    {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        assert_eq!(PublicKey::from_pem(&pem).unwrap(), expected, "{pem}");
    }
    let line = format!("-----BEGIN PUBLIC KEY----- {body} -----END PUBLIC KEY-----");
    assert_eq!(PublicKey::from_pem(&line).unwrap(), expected);
    assert_eq!(PublicKey::from_pem(&format!("\u{feff}{P256}")).unwrap(), expected);
    let cut = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", &body[..40]);
    assert!(PublicKey::from_pem(&cut).is_err());
}

#[test]
fn every_other_kind_of_key_is_refused() {
    for (pem, why) in [
        (include_str!("../../../tests/golden/evidence/keys/ed25519-public.pem"), "not an ECDSA key on P-256"),
        (include_str!("../../../tests/golden/evidence/keys/p384-public.pem"), "not an ECDSA key on P-256"),
        (
            include_str!("../../../tests/golden/evidence/keys/p256-compressed-public.pem"),
            "not an ECDSA key on P-256",
        ),
        (include_str!("../../../tests/golden/evidence/keys/p256-pkcs8.pem"), "\"PRIVATE KEY\""),
        ("", "not a PEM document"),
        ("key", "not a PEM document"),
    ] {
        let error = PublicKey::from_pem(pem).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_point_beside_the_curve_is_refused() {
    let mut spki = PublicKey::from_pem(P256).unwrap().spki;
    *spki.last_mut().unwrap() ^= 1;
    assert!(matches!(PublicKey::from_spki_der(&spki), Err(KeyError::NotOnCurve)));
}
