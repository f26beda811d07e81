//! Documents of the source artifact that Image Builder takes as they are: a component's, or a Dockerfile. Pure.

/// Characters of a document that Image Builder takes without a detour through S3.
pub const LIMIT: usize = 16_000;

/// The text of the document at `path`, which is to be `what`.
///
/// # Errors
/// It is not one that Image Builder takes; in words.
pub fn text<'d>(path: &str, what: &str, bytes: &'d [u8]) -> Result<&'d str, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("{path} is not {what}: byte {} is not UTF-8 text", error.valid_up_to()))?;
    let characters = text.chars().count();
    if text.trim().is_empty() || characters > LIMIT || text.contains('\0') {
        return Err(format!(
            "{path} has {characters} characters; {what} has 1 to {LIMIT}, none of them NUL: move long scripts to files \
             that the build downloads"
        ));
    }
    Ok(text)
}
