//! Rules between the values of the `test` section.

use super::{Rules, clock, seconds};
use crate::spec::check::Check;
use crate::spec::problem::quoted;
use crate::spec::test::{Soak, Test};

impl Rules<'_> {
    pub fn test(&mut self, test: &Test) {
        self.unique("/test/checks", "/name", "check", test.checks.iter().map(|check| check.name.clone()));
        for (index, check) in test.checks.iter().enumerate() {
            self.check(index, check, &test.checks);
        }
        match &test.task {
            Some(task) => self.task(test, task),
            None => self.instance(test),
        }
        let delivery = |check: &Check| if test.task.is_none() { seconds(check.delivery_timeout) } else { 0 };
        let checks = test.checks.iter().map(|check| delivery(check) + seconds(check.timeout));
        let mut needed = seconds(test.boot_timeout) + checks.sum::<u64>();
        if let Some(soak) = &test.soak {
            needed += seconds(soak.lasts) + Soak::LAG.as_secs();
            self.soak(soak, &test.checks);
        }
        if needed > seconds(test.timeout) {
            self.broken(
                "/test/timeout",
                format!("test.timeout is {}, and its parts may take {}", test.timeout, clock(needed)),
                "room for boot_timeout, the delivery_timeout and timeout of every check, and the soak",
                format!("raise it to {} or lower the parts", clock(needed)),
            );
        }
    }

    /// An instance needs everything it is launched with, and something to be looked at.
    fn instance(&mut self, test: &Test) {
        let keys = [
            ("subnet", test.subnet.is_some()),
            ("security_groups", !test.security_groups.is_empty()),
            ("instance_profile", test.instance_profile.is_some()),
            ("instance_type", test.instance_type.is_some()),
            ("checks", !test.checks.is_empty()),
        ];
        for (key, _) in keys.into_iter().filter(|(_, given)| !given) {
            self.broken(
                "/test",
                format!("test has no key {}", quoted(key)),
                "subnet, security_groups, instance_profile, instance_type and checks, or task",
                "a machine image is tested on an instance, a container image in a task",
            );
        }
    }

    fn soak(&mut self, soak: &Soak, checks: &[Check]) {
        let names = soak.metrics.iter().map(|metric| metric.name.clone());
        self.unique("/test/soak/metrics", "/name", "metric", names);
        for (index, metric) in soak.metrics.iter().enumerate() {
            let room = ("the soak is", "the soak has time for", "test.soak.for", soak.lasts);
            self.metric(&format!("/test/soak/metrics/{index}"), metric, room);
        }
        if let Some(index) = checks.iter().position(|check| check.name == Soak::NAME) {
            self.broken(
                &format!("/test/checks/{index}/name"),
                format!("a check is named {}, as the soak is in reports", quoted(Soak::NAME)),
                "another name",
                "name it for what it looks at",
            );
        }
    }

    fn check(&mut self, index: usize, check: &Check, all: &[Check]) {
        let pointer = format!("/test/checks/{index}");
        let of = format!("the check {}", quoted(&check.name));
        self.one_of(&pointer, &of, check.kinds(), "a check that looks at two things is two checks");
        let before: Vec<&str> = all.iter().take(index).map(|check| check.name.as_str()).collect();
        for (at, need) in check.needs.iter().flatten().enumerate() {
            if !before.contains(&need.as_str()) {
                self.broken(
                    &format!("{pointer}/needs/{at}"),
                    format!("{of} needs {}", quoted(need)),
                    "the name of a check before it",
                    "checks are sent in the order of the spec",
                );
            }
        }
        if !check.secrets.is_empty() && check.script.is_none() {
            let hint = "only scripts have an environment";
            self.broken(
                &format!("{pointer}/secrets"),
                format!("{of} has secrets"),
                "secrets for scripts only",
                hint,
            );
        }
        if !check.secrets.is_empty() && check.is_powershell() {
            self.broken(
                &format!("{pointer}/secrets"),
                format!("{of} has secrets and is a PowerShell script"),
                "secrets for shell scripts only",
                "read the secret in the script, under the instance's role",
            );
        }
        for (variable, secret) in &check.secrets {
            self.one_of(
                &format!("{pointer}/secrets/{variable}"),
                &format!("the secret {variable}"),
                [("secret", secret.secret.is_some()), ("parameter", secret.parameter.is_some())],
                "a secret lies in Secrets Manager or in Systems Manager",
            );
        }
    }
}
