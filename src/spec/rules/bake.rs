//! Rules between the values of the `bake` section.

use super::Rules;
use crate::spec::bake::Bake;
use crate::spec::container::Container;
use crate::spec::problem::quoted;
use crate::spec::recipe::{Component, Reuse};

/// What recipes for machine images and for containers have in common.
struct Made<'s> {
    components: &'s [Component],
    infrastructure: &'s str,
    distribution: Option<&'s str>,
    reuse: Reuse,
    has_sources: bool,
}

impl Rules<'_> {
    pub fn bake(&mut self, bake: &Bake) {
        self.one_of(
            "/bake",
            "bake",
            [
                ("image_pipeline", bake.image_pipeline.is_some()),
                ("recipe", bake.recipe.is_some()),
                ("container", bake.container.is_some()),
            ],
            "an Image Builder pipeline that exists is named by its ARN, a recipe or a container is written here",
        );
        if let Some(recipe) = &bake.recipe {
            self.made(
                "recipe",
                &Made {
                    components: &recipe.components,
                    infrastructure: &recipe.infrastructure,
                    distribution: recipe.distribution.as_deref(),
                    reuse: recipe.reuse,
                    has_sources: !recipe.sources.is_empty(),
                },
            );
        }
        if let Some(container) = &bake.container {
            self.container(bake, container);
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

    fn container(&mut self, bake: &Bake, container: &Container) {
        self.made(
            "container",
            &Made {
                components: &container.components,
                infrastructure: &container.infrastructure,
                distribution: container.distribution.as_deref(),
                reuse: container.reuse,
                has_sources: !container.sources.is_empty(),
            },
        );
        if container.components.is_empty() && container.dockerfile.is_none() {
            self.broken(
                "/bake/container",
                "bake.container has neither components nor a dockerfile".to_owned(),
                "one of them, or both",
                "without either the image would be its parent image",
            );
        }
        for (key, given) in [("content", bake.content.is_some()), ("gates/image", bake.gates.image.is_some())]
        {
            if given {
                self.broken(
                    &format!("/bake/{key}"),
                    format!("bake.{} is given beside bake.container", key.replace('/', ".")),
                    "it only with a machine image",
                    "a container image has no volumes, and its digest binds its bytes",
                );
            }
        }
    }

    /// What holds of a recipe that is written in the spec, whatever it is for.
    fn made(&mut self, key: &str, made: &Made<'_>) {
        for (index, component) in made.components.iter().enumerate() {
            self.one_of(
                &format!("/bake/{key}/components/{index}"),
                "a component",
                [("document", component.document.is_some()), ("arn", component.arn.is_some())],
                "a document lies in the source artifact, an ARN names a component that exists",
            );
        }
        if let Some(distribution) = made.distribution {
            let home = |arn: &str| arn.split(':').skip(3).take(2).collect::<Vec<_>>().join(" of ");
            if home(distribution) != home(made.infrastructure) {
                self.broken(
                    &format!("/bake/{key}/distribution"),
                    format!("bake.{key}.distribution is {}", quoted(distribution)),
                    "a distribution configuration beside the infrastructure configuration",
                    "Image Builder finds both in the region and account of the build only",
                );
            }
        }
        if made.reuse == Reuse::Never && made.has_sources {
            self.broken(
                &format!("/bake/{key}/sources"),
                format!("bake.{key}.sources is given and reuse is never"),
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
