//! Documents from the source artifact that Image Builder takes: of a component, or a Dockerfile template. Pure.

/// Max characters of a document that Image Builder takes in the call itself, without S3.
pub const LIMIT: usize = 16_000;

/// The text of the document at `path`; `what` says what it is, for messages.
///
/// # Errors
/// Image Builder would refuse it; says why.
pub fn text<'d>(path: &str, what: &str, bytes: &'d [u8]) -> Result<&'d str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("{path} is not {what}: byte {} is not UTF-8 text", error.valid_up_to()))?;
    let characters = text.chars().count();
    if text.trim().is_empty() || characters > LIMIT || text.contains('\0') {
        return Err(format!(
            "{path} has {characters} characters; {what} must have 1 to {LIMIT}, none of them NUL: move long scripts to files \
             that the build downloads"
        ));
    }
    Ok(text)
}
