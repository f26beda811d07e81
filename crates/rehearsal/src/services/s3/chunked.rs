//! `aws-chunked` bodies: chunks with their sizes, then trailers such as a checksum.

use bytes::{Buf as _, Bytes, BytesMut};

/// A decoded body and its trailers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub body: Bytes,
    pub trailers: Vec<(String, String)>,
}

/// Decodes a body; `None` if it is malformed or truncated. A single chunk is not copied.
pub(super) fn decode(mut encoded: Bytes) -> Option<Decoded> {
    let mut pieces: Vec<Bytes> = Vec::new();
    loop {
        let line = take_line(&mut encoded)?;
        // `SIZE` or `SIZE;chunk-signature=…`
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            break;
        }
        if encoded.len() < size {
            return None;
        }
        pieces.push(encoded.split_to(size));
        if !encoded.starts_with(b"\r\n") {
            return None;
        }
        encoded.advance(2);
    }
    let mut trailers = Vec::new();
    while let Some(line) = take_line(&mut encoded) {
        if let Some((name, value)) = line.split_once(':') {
            trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let body = match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => pieces
            .into_iter()
            .fold(BytesMut::new(), |mut all, piece| {
                all.extend_from_slice(&piece);
                all
            })
            .freeze(),
    };
    Some(Decoded { body, trailers })
}

fn take_line(bytes: &mut Bytes) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes.split_to(end);
    bytes.advance(1);
    let line = std::str::from_utf8(&line).ok()?;
    Some(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &'static str) -> Option<(String, usize)> {
        let decoded = decode(Bytes::from_static(text.as_bytes()))?;
        Some((String::from_utf8(decoded.body.to_vec()).unwrap(), decoded.trailers.len()))
    }

    #[test]
    fn chunks_are_joined_and_trailers_are_read() {
        for (text, expected) in [
            ("3\r\nabc\r\n0\r\n\r\n", Some(("abc", 0))),
            (
                "3;chunk-signature=00\r\nabc\r\nA\r\n0123456789\r\n0;chunk-signature=00\r\n\r\n",
                Some(("abc0123456789", 0)),
            ),
            ("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", Some(("", 1))),
            ("4\r\nabc\r\n0\r\n\r\n", None),
            ("zz\r\nabc\r\n0\r\n\r\n", None),
            ("3\r\nabc", None),
            ("", None),
        ] {
            assert_eq!(decoded(text), expected.map(|(body, n)| (body.to_owned(), n)), "{text}");
        }
    }

    fn encoded(pieces: &[Vec<u8>]) -> Bytes {
        let mut text = Vec::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            text.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            text.extend(piece);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        text.into()
    }

    proptest::proptest! {
        #[test]
        fn encoded_bodies_are_decoded(pieces: Vec<Vec<u8>>) {
            let decoded = decode(encoded(&pieces)).unwrap();
            proptest::prop_assert_eq!(decoded.body.to_vec(), pieces.concat());
            proptest::prop_assert_eq!(decoded.trailers.len(), 1);
        }

        #[test]
        fn a_truncated_body_is_rejected(pieces: Vec<Vec<u8>>, cut in 0.0..1.0_f64) {
            let whole = encoded(&pieces);
            let end = whole.len() - b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n".len();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let cut = ((end - 1) as f64 * cut) as usize;
            proptest::prop_assert_eq!(decode(whole.slice(..cut)), None);
        }
    }
}
