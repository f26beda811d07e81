//! The Dockerfile template of a container recipe, which Image Builder fills in. Pure.

use super::document;
use super::error::RecipeError;

/// The template of a recipe without a Dockerfile: the parent image and the components.
///
/// The variables are Image Builder's (user guide, container recipes).
pub const DEFAULT: &str = "FROM {{{ imagebuilder:parentImage }}}\n{{{ imagebuilder:environments }}}\n{{{ imagebuilder:components }}}\n";

/// Reads the template at `path`.
///
/// # Errors
/// Image Builder would refuse it, or it lacks the parent image or the components of the recipe; says which.
pub fn read(path: &str, bytes: &[u8], has_components: bool) -> Result<String, RecipeError> {
    let text = document::text(path, "a Dockerfile template", bytes)?;
    let mut needed = vec!["parentImage"];
    needed.extend(has_components.then_some("components"));
    match needed.into_iter().find(|variable| !names(text, variable)) {
        None => Ok(text.to_owned()),
        Some(variable) => Err(RecipeError::NoVariable {
            path: path.to_owned(),
            variable,
            place: if variable == "parentImage" { "after FROM" } else { "where the components run" },
        }),
    }
}

/// Whether the template has a variable, with or without spaces inside its braces.
fn names(text: &str, variable: &str) -> bool {
    text.split("{{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}}"))
        .any(|(inside, _)| inside.trim().strip_prefix("imagebuilder:").is_some_and(|name| name == variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_its_parent_image_and_its_components() {
        for (text, has_components, words) in [
            (DEFAULT, true, None),
            ("FROM {{{imagebuilder:parentImage}}}\nRUN true\n", false, None),
            ("FROM {{{ imagebuilder:parentImage }}}\n", true, Some("no {{{ imagebuilder:components }}}")),
            ("FROM amazonlinux:2023\n", false, Some("no {{{ imagebuilder:parentImage }}}")),
            ("FROM {{{ imagebuilder:parentImage\n", false, Some("no {{{ imagebuilder:parentImage }}}")),
            ("  \n", false, Some("has 3 characters")),
            ("FROM {{{ imagebuilder:parentImage }}}\0", false, Some("none of them NUL")),
        ] {
            let read = read("Dockerfile", text.as_bytes(), has_components);
            match words {
                None => assert_eq!(read.unwrap(), text),
                Some(words) => {
                    assert!(
                        read.as_ref().is_err_and(|error| error.to_string().contains(words)),
                        "{text:?}: {read:?}"
                    );
                }
            }
        }
        assert!(
            super::read("d", &[b'F', 0xff], false).unwrap_err().to_string().contains("byte 1 is not UTF-8")
        );
    }
}
