//! Rules between the values of a spec, which a JSON Schema cannot say. One file a section, all pure.

use std::collections::HashMap;

use super::{
    problem::{SpecProblem, quoted},
    release::ReleaseSpec,
    span::Span,
    yaml::Document,
};

mod bake;
mod cleanup;
mod promote;
mod task;
mod test;
mod trial;
mod waves;

/// Collects the problems of one document.
pub(super) struct Rules<'d> {
    document: &'d Document,
    problems: Vec<SpecProblem>,
}

impl<'d> Rules<'d> {
    /// The keys at the top that describe no stage.
    const OF_NO_STAGE: [&'static str; 4] = ["version", "service", "evidence", "targets"];

    pub fn new(document: &'d Document) -> Self {
        Self { document, problems: Vec::new() }
    }

    pub fn into_problems(self) -> Vec<SpecProblem> {
        self.problems
    }

    fn broken(&mut self, pointer: &str, what: String, expected: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(SpecProblem {
            at: self.document.position(pointer),
            pointer: pointer.to_owned(),
            what,
            expected: Some(expected.into()),
            hint: Some(hint.into()),
        });
    }

    /// A spec describes at least one stage.
    pub fn whole(&mut self) {
        let sections = self.document.value.as_object();
        // An unknown key may be a misspelt stage, and has been told.
        if sections
            .is_some_and(|sections| sections.keys().all(|key| Self::OF_NO_STAGE.contains(&key.as_str())))
        {
            self.broken(
                "",
                "the spec describes no stage".to_owned(),
                "at least one of the sections bake, test, promote and cleanup",
                "bakeline schema prints what each section holds",
            );
        }
    }

    /// A container image is tested in a task, a machine image on an instance. An image pipeline may make either.
    pub fn tested_as_baked(&mut self) {
        let given =
            |pointer: &str| self.document.value.pointer(pointer).is_some_and(|value| !value.is_null());
        if given("/bake/container") && given("/test") && !given("/test/task") {
            self.broken(
                "/test",
                "bake.container makes a container image, and test has no task".to_owned(),
                "test.task",
                "a container image is tested in a task of ECS",
            );
        } else if given("/bake/recipe") && given("/test/task") {
            self.broken(
                "/test/task",
                "bake makes a machine image, and test has a task".to_owned(),
                "subnet, security_groups, instance_profile and instance_type",
                "a machine image is tested on an instance",
            );
        }
    }

    /// Exactly one of several keys is there.
    fn one_of<const N: usize>(&mut self, pointer: &str, of: &str, keys: [(&str, bool); N], hint: &str) {
        let given: Vec<&str> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        let names = keys.map(|(key, _)| key);
        let what = match given.len() {
            1 => return,
            0 => format!("{of} has none of {}", names.join(", ")),
            _ => format!("{of} has {}", given.join(" and ")),
        };
        self.broken(pointer, what, format!("exactly one of {}", names.join(", ")), hint);
    }

    fn unique(&mut self, list: &str, part: &str, thing: &str, names: impl Iterator<Item = String>) -> bool {
        let before = self.problems.len();
        let mut first = HashMap::new();
        for (index, name) in names.enumerate() {
            let pointer = format!("{list}/{index}{part}");
            let Some(before) = first.get(&name) else {
                first.insert(name, pointer);
                continue;
            };
            let line = self.document.position(before).line;
            let what = format!("the {thing} {} stands here again", quoted(&name));
            self.broken(&pointer, what, "every one once", format!("the first one stands in line {line}"));
        }
        self.problems.len() == before
    }
}

impl ReleaseSpec {
    /// The sections whose values are judged by rules between them.
    pub(super) const SECTIONS: [&'static str; 4] = ["bake", "test", "promote", "cleanup"];
}

fn seconds(span: Span) -> u64 {
    u64::from(span.as_secs())
}

fn clock(seconds: u64) -> Span {
    Span::from_secs(u32::try_from(seconds).unwrap_or(u32::MAX))
}
