//! PEM in any layout: lines of any width, or everything on one line.

use secrecy::zeroize::Zeroizing;

/// The width of the lines that RFC 7468 demands of a generator. Its parsers may be strict; ours is.
const WIDTH: usize = 64;

/// One PEM block with lines of 64 columns; none if the text is not one block and white space around it.
///
/// KMS prints a public key on one line, and a folded YAML text joins the lines. White space has no meaning in base64.
pub(super) fn rewrapped(text: &str) -> Option<Zeroizing<String>> {
    let rest = crate::text::without_bom(text).trim().strip_prefix("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    // Allocated once: a buffer that grows leaves copies of a private key in memory.
    let mut pem = Zeroizing::new(String::with_capacity(2 * text.len() + 2 * WIDTH));
    for part in ["-----BEGIN ", label, "-----"] {
        pem.push_str(part);
    }
    for (index, letter) in body.chars().filter(|letter| !letter.is_ascii_whitespace()).enumerate() {
        if index % WIDTH == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    for part in ["\n-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    Some(pem)
}
