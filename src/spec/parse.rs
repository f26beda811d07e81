//! Reads `bakeline.yaml` into a [`ReleaseSpec`], or reports every mistake in it.

use serde::Deserialize;

use super::{
    moved,
    problem::{SpecErrors, SpecProblem},
    release::ReleaseSpec,
    rules::Rules,
    shape,
    yaml::{self, Document},
};

impl ReleaseSpec {
    /// Reads a release spec; `file` is its name in messages.
    ///
    /// # Errors
    /// Every mistake in the file at once. Rules between the values of a section are checked once each of its values is
    /// valid, whatever is wrong in other sections.
    pub fn parse(text: &[u8], file: &str) -> Result<Self, SpecErrors> {
        let (document, mut problems) = yaml::read(text);
        let Some(document) = document else { return Err(SpecErrors::new(file, problems)) };
        let answered = moved::problems(&document);
        problems.extend(shape::problems(&document, &answered));
        problems.extend(answered);
        if document.value.is_object() {
            problems.extend(broken_rules(&document, &problems));
        }
        if !problems.is_empty() {
            return Err(SpecErrors::new(file, problems));
        }
        Self::deserialize(&document.value)
            .map_err(|error| SpecErrors::new(file, vec![unread(&document, "", &error)]))
    }
}

fn broken_rules(document: &Document, problems: &[SpecProblem]) -> Vec<SpecProblem> {
    let mut rules = Rules::new(document);
    let mut unread_sections = Vec::new();
    rules.stages();
    rules.kinds_of_images();
    for section in ReleaseSpec::SECTIONS {
        let pointer = yaml::member("", section);
        let inside = |problem: &SpecProblem| {
            problem
                .pointer
                .strip_prefix(&pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some(value) = document.value.get(section).filter(|_| !problems.iter().any(inside)) else {
            continue;
        };
        let checked = match section {
            "bake" => Deserialize::deserialize(value).map(|bake| rules.bake(&bake)),
            "test" => Deserialize::deserialize(value).map(|test| rules.test(&test)),
            "promote" => Deserialize::deserialize(value).map(|promote| rules.promote(&promote)),
            _ => Deserialize::deserialize(value).map(|cleanup| rules.cleanup(&cleanup)),
        };
        if let Err(error) = checked {
            unread_sections.push(unread(document, &pointer, &error));
        }
    }
    unread_sections.extend(rules.into_problems());
    unread_sections
}

/// A value that the schema accepts and its type does not.
fn unread(document: &Document, pointer: &str, error: &serde_json::Error) -> SpecProblem {
    let at = document.position(pointer);
    SpecProblem { at, pointer: pointer.to_owned(), what: error.to_string(), expected: None, hint: None }
}
