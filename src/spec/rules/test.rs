//! Rules between the values of the `test` section.

use super::{Rules, clock, seconds};
use crate::spec::test::Test;

impl Rules<'_> {
    pub fn test(&mut self, test: &Test) {
        self.unique("/test/checks", "/name", "check", test.checks.iter().map(|check| check.name.clone()));
        let checks = test.checks.iter().map(|check| seconds(check.delivery_timeout) + seconds(check.timeout));
        let needed = seconds(test.boot_timeout) + checks.sum::<u64>();
        if needed > seconds(test.timeout) {
            self.broken(
                "/test/timeout",
                format!("test.timeout is {}, and its parts may take {}", test.timeout, clock(needed)),
                "room for boot_timeout and the delivery_timeout and timeout of every check",
                format!("raise it to {} or lower the parts", clock(needed)),
            );
        }
    }
}
