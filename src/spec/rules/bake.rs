//! Rules between the values of the `bake` section.

use super::Rules;
use crate::spec::bake::Bake;
use crate::spec::problem::quoted;
use crate::spec::recipe::{Recipe, Reuse};

impl Rules<'_> {
    pub fn bake(&mut self, bake: &Bake) {
        self.one_of(
            "/bake",
            "bake",
            [("image_pipeline", bake.image_pipeline.is_some()), ("recipe", bake.recipe.is_some())],
            "an Image Builder pipeline that exists is named by its ARN, a recipe is written here",
        );
        if let Some(recipe) = &bake.recipe {
            self.recipe(recipe);
        }
        self.exceptions(bake);
        let copies = bake.expect.iter().map(|copy| format!("{} in {}", copy.account, copy.region));
        self.unique("/bake/expect", "", "copy", copies);
        let Some(parameter) = &bake.parameter else { return };
        let pointer = "/bake/parameter";
        // Parameter names: API reference of `PutParameter`, member Name.
        let lower = parameter.trim_start_matches('/').to_lowercase();
        if lower.starts_with("aws") || lower.starts_with("ssm") {
            let what = format!("bake.parameter is {}", quoted(parameter));
            self.broken(
                pointer,
                what,
                "a name that does not begin with aws or ssm",
                "Systems Manager keeps those names",
            );
        } else if parameter.contains('/') && !parameter.starts_with('/') {
            let what = format!("bake.parameter is {}", quoted(parameter));
            self.broken(pointer, what, "a name with / to begin with /", format!("write it as /{parameter}"));
        }
        let levels = parameter.matches('/').count();
        if levels > 15 {
            let what = format!("bake.parameter has {levels} levels");
            self.broken(pointer, what, "at most 15", "shorten the path");
        }
    }

    fn recipe(&mut self, recipe: &Recipe) {
        for (index, component) in recipe.components.iter().enumerate() {
            self.one_of(
                &format!("/bake/recipe/components/{index}"),
                "a component",
                [("document", component.document.is_some()), ("arn", component.arn.is_some())],
                "a document lies in the source artifact, an ARN names a component that exists",
            );
        }
        if let Some(distribution) = &recipe.distribution {
            let home = |arn: &str| arn.split(':').skip(3).take(2).collect::<Vec<_>>().join(" of ");
            if home(distribution) != home(&recipe.infrastructure) {
                self.broken(
                    "/bake/recipe/distribution",
                    format!("bake.recipe.distribution is {}", quoted(distribution)),
                    "a distribution configuration beside the infrastructure configuration",
                    "Image Builder finds both in the region and account of the build only",
                );
            }
        }
        if recipe.reuse == Reuse::Never && !recipe.sources.is_empty() {
            self.broken(
                "/bake/recipe/sources",
                "bake.recipe.sources is given and reuse is never".to_owned(),
                "sources only where an earlier image may be reused",
                "set reuse, or take sources away",
            );
        }
    }

    fn exceptions(&mut self, bake: &Bake) {
        let Some(scan) = &bake.gates.scan else { return };
        let list = "/bake/gates/scan/exceptions";
        self.unique(list, "/id", "exception", scan.exceptions.iter().map(|exception| exception.id.clone()));
        for (index, exception) in scan.exceptions.iter().enumerate() {
            let format = time::macros::format_description!("[year]-[month]-[day]");
            if time::Date::parse(&exception.until, format).is_err() {
                self.broken(
                    &format!("{list}/{index}/until"),
                    format!("the exception's last day is {}", quoted(&exception.until)),
                    "a day of the calendar",
                    "write it as YYYY-MM-DD",
                );
            }
        }
    }
}
