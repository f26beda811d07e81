//! Rules between the values of the `cleanup` section.

use super::Rules;
use crate::spec::cleanup::Cleanup;

impl Rules<'_> {
    pub fn cleanup(&mut self, cleanup: &Cleanup) {
        if let Some(containers) = &cleanup.containers {
            self.unique(
                "/cleanup/containers/repositories",
                "",
                "the repository",
                containers.repositories.iter().cloned(),
            );
        }
        for (index, other) in cleanup.exceptions.iter().enumerate() {
            let pointer = format!("/cleanup/exceptions/{index}");
            if other.region.is_none() && other.account.is_none() && other.channel.is_none() {
                self.broken(
                    &pointer,
                    format!("cleanup.exceptions[{index}] fits every image"),
                    "a region, an account or a channel",
                    "change the numbers of the section itself instead",
                );
            }
            if other.keep_last.is_none()
                && other.keep_younger_than.is_none()
                && other.keep_promoted_within.is_none()
            {
                self.broken(
                    &pointer,
                    format!("cleanup.exceptions[{index}] changes nothing"),
                    "keep_last, keep_younger_than or keep_promoted_within",
                    "say what is different for these images, or remove it",
                );
            }
        }
    }
}
