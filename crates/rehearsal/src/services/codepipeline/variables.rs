//! References to variables in an action's configuration: `#{Namespace.Key}`.

use std::collections::BTreeMap;

/// Variables by namespace and key.
pub type Variables = BTreeMap<String, BTreeMap<String, String>>;

/// Replaces every variable reference in `text`.
///
/// # Errors
/// The first reference to an unknown variable, without its braces.
pub fn resolve(text: &str, variables: &Variables) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("#{") {
        resolved.push_str(before);
        let Some((reference, tail)) = after.split_once('}') else {
            // Not a reference: it has no closing brace.
            resolved.push_str("#{");
            rest = after;
            continue;
        };
        let value = reference
            .split_once('.')
            .and_then(|(namespace, key)| variables.get(namespace)?.get(key))
            .ok_or_else(|| reference.to_owned())?;
        resolved.push_str(value);
        rest = tail;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_error_names_unknown_ones() {
        let variables: Variables =
            [("Bake".to_owned(), [("ImageId".to_owned(), "ami-1".to_owned())].into())].into();
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("#{Bake.ImageId}", Ok("ami-1")),
            ("x-#{Bake.ImageId}-#{Bake.ImageId}", Ok("x-ami-1-ami-1")),
            ("#{open", Ok("#{open")),
            ("#{Bake.Other}", Err("Bake.Other")),
            ("#{Other.ImageId}", Err("Other.ImageId")),
            ("#{nodot}", Err("nodot")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(resolve(text, &variables), expected, "{text}");
        }
    }
}
