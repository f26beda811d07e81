//! Rules between the values of the `bake` section.

use super::Rules;
use crate::spec::bake::component::Reuse;
use crate::spec::bake::container_recipe::ContainerRecipe;
use crate::spec::bake::{Bake, ContentDigest, Recipe};
use crate::spec::problem::quoted;

impl Rules<'_> {
    pub fn bake(&mut self, bake: &Bake) {
        if let Some(recipe) = bake.recipe() {
            self.recipe(&recipe);
        }
        if let Some(container) = &bake.container_recipe {
            self.container(bake, container);
        }
        self.accepted_findings(bake);
        let copies = bake.gates.copies.iter().map(|copy| format!("{} in {}", copy.account, copy.region));
        self.unique("/bake/gates/copies", "", "copy", copies);
        if let Some(parameter) = bake.parameter() {
            self.parameter(parameter);
        }
    }

    fn parameter(&mut self, parameter: &str) {
        let pointer = "/bake/publish/parameter";
        let what = format!("bake.publish.parameter is {}", quoted(parameter));
        // Parameter names: API reference of `PutParameter`, member Name.
        let lower = parameter.trim_start_matches('/').to_lowercase();
        if lower.starts_with("aws") || lower.starts_with("ssm") {
            self.broken(
                pointer,
                what,
                "a name that does not begin with aws or ssm",
                "Systems Manager reserves those names",
            );
        } else if parameter.contains('/') && !parameter.starts_with('/') {
            self.broken(
                pointer,
                what,
                "a leading / in a name that has a /",
                format!("write it as /{parameter}"),
            );
        }
        let levels = parameter.matches('/').count();
        if levels > 15 {
            let what = format!("bake.publish.parameter has {levels} levels");
            self.broken(pointer, what, "at most 15", "shorten the path");
        }
    }

    fn container(&mut self, bake: &Bake, container: &ContainerRecipe) {
        if container.components.is_empty() && container.dockerfile.is_none() {
            self.broken(
                "/bake/container_recipe",
                "bake.container_recipe has neither components nor a dockerfile".to_owned(),
                "components, dockerfile, or both",
                "without them the image would be its parent image",
            );
        }
        let digest = bake.content_digest != ContentDigest::None;
        for (key, given) in [("content_digest", digest), ("gates/image", bake.gates.image.is_some())] {
            if given {
                self.broken(
                    &format!("/bake/{key}"),
                    format!("bake.{} is given with bake.container_recipe", key.replace('/', ".")),
                    "the key only with a machine image",
                    "a container image has no volumes, and its digest covers its content",
                );
            }
        }
    }

    /// Rules for recipes of both kinds of images.
    fn recipe(&mut self, recipe: &Recipe<'_>) {
        let key = recipe.key;
        if let Some(distribution) = recipe.distribution_configuration {
            let home = |arn: &str| arn.split(':').skip(3).take(2).collect::<Vec<_>>().join(" of ");
            if home(distribution) != home(recipe.infrastructure_configuration) {
                self.broken(
                    &format!("/bake/{key}/distribution_configuration"),
                    format!("bake.{key}.distribution_configuration is {}", quoted(distribution)),
                    "the region and account of infrastructure_configuration",
                    "Image Builder finds both only in the region and account of the build",
                );
            }
        }
        if recipe.reuse == Reuse::Never && !recipe.source_paths.is_empty() {
            self.broken(
                &format!("/bake/{key}/source_paths"),
                format!("bake.{key}.source_paths is given, and reuse is never"),
                "source_paths only with reuse: unchanged or unchanged_except_parent",
                "set reuse, or remove source_paths",
            );
        }
    }

    fn accepted_findings(&mut self, bake: &Bake) {
        let Some(scan) = &bake.gates.scan else { return };
        let list = "/bake/gates/scan/accepted";
        self.unique(list, "/id", "finding", scan.accepted.iter().map(|finding| finding.id.clone()));
        for (index, finding) in scan.accepted.iter().enumerate() {
            let format = time::macros::format_description!("[year]-[month]-[day]");
            if time::Date::parse(&finding.until, format).is_err() {
                self.broken(
                    &format!("{list}/{index}/until"),
                    format!("bake.gates.scan.accepted[{index}].until is {}", quoted(&finding.until)),
                    "a day of the calendar",
                    "write it as YYYY-MM-DD",
                );
            }
        }
    }
}
