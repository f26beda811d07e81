//! Rules between the values of a spec, which a JSON Schema cannot state: a file for each section.

use std::collections::HashMap;

use super::{
    problem::{SpecProblem, quoted},
    release::ReleaseSpec,
    span::Span,
    yaml::Document,
};

mod bake;
mod cleanup;
mod judge;
mod limit;
mod promote;
mod task;
mod test;
mod waves;

/// Collects the problems of one document.
pub(super) struct Rules<'d> {
    document: &'d Document,
    problems: Vec<SpecProblem>,
}

impl<'d> Rules<'d> {
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

    /// A spec has the section of at least one stage.
    pub fn stages(&mut self) {
        const OF_NO_STAGE: [&str; 4] = ["version", "service", "channel", "evidence"];
        let sections = self.document.value.as_object();
        // An unknown key may be a misspelled stage, which is reported already.
        if sections.is_some_and(|sections| sections.keys().all(|key| OF_NO_STAGE.contains(&key.as_str()))) {
            self.broken(
                "",
                "the spec has no stage".to_owned(),
                "at least one of the sections bake, test, promote and cleanup",
                "bakeline schema prints the keys of each section",
            );
        }
    }

    /// The test and the target take the kind of image that the recipe makes. An image pipeline may make either.
    pub fn kinds_of_images(&mut self) {
        let given =
            |pointer: &str| self.document.value.pointer(pointer).is_some_and(|value| !value.is_null());
        let (image, container) = (given("/bake/image_recipe"), given("/bake/container_recipe"));
        let group = given("/promote/target/auto_scaling_group");
        let (instance, task) = (given("/test/instance"), given("/test/task"));
        if container && instance {
            self.broken(
                "/test/instance",
                "bake.container_recipe makes a container image, and test has an instance".to_owned(),
                "test.task",
                "a container image is tested in an ECS task",
            );
        }
        if image && task {
            self.broken(
                "/test/task",
                "bake.image_recipe makes a machine image, and test has a task".to_owned(),
                "test.instance",
                "a machine image is tested on an EC2 instance",
            );
        }
        if container && group {
            self.broken(
                "/promote/target/auto_scaling_group",
                "bake.container_recipe makes a container image, and the target is an Auto Scaling group"
                    .to_owned(),
                "a target that takes container images",
                "an Auto Scaling group takes machine images only",
            );
        }
    }

    /// Names that are given once each. False if one is given again.
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
            let what = format!("the {thing} {} is given twice", quoted(&name));
            self.broken(&pointer, what, "each one once", format!("the first one is in line {line}"));
        }
        self.problems.len() == before
    }
}

impl ReleaseSpec {
    /// The sections that have rules between their values.
    pub(super) const SECTIONS: [&'static str; 4] = ["bake", "test", "promote", "cleanup"];
}

fn seconds(span: Span) -> u64 {
    u64::from(span.as_secs())
}

fn clock(seconds: u64) -> Span {
    Span::from_secs(u32::try_from(seconds).unwrap_or(u32::MAX))
}
