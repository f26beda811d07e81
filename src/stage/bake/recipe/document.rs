//! Documents from the source artifact that Image Builder takes: of a component, or a Dockerfile template. Pure.

use super::error::RecipeError;

/// Max characters of a document that Image Builder takes in the call itself, without S3.
pub const LIMIT: usize = 16_000;

/// The text of the document at `path`; `what` says what it is, for messages.
///
/// # Errors
/// Image Builder would refuse it; says why.
pub fn text<'d>(path: &str, what: &'static str, bytes: &'d [u8]) -> Result<&'d str, RecipeError> {
    let text = std::str::from_utf8(bytes).map_err(|source| RecipeError::NotText {
        path: path.to_owned(),
        what,
        source,
    })?;
    let characters = text.chars().count();
    if text.trim().is_empty() || characters > LIMIT || text.contains('\0') {
        return Err(RecipeError::Length { path: path.to_owned(), what, characters, max: LIMIT });
    }
    Ok(text)
}
