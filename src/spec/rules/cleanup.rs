//! Rules between the values of the `cleanup` section.

use super::Rules;
use crate::spec::cleanup::Cleanup;

impl Rules<'_> {
    pub fn cleanup(&mut self, cleanup: &Cleanup) {
        if let Some(containers) = &cleanup.container_images {
            self.unique(
                "/cleanup/container_images/repositories",
                "",
                "repository",
                containers.repositories.iter().cloned(),
            );
        }
    }
}
