//! Rules between the values of the `bake` section.

use super::Rules;
use crate::spec::bake::Bake;
use crate::spec::problem::quoted;

impl Rules<'_> {
    pub fn bake(&mut self, bake: &Bake) {
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
}
