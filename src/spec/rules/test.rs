//! Rules between the values of the `test` section.

use std::collections::BTreeMap;

use super::{Rules, clock, seconds};
use crate::spec::problem::quoted;
use crate::spec::test::Test;
use crate::spec::test::check::Check;
use crate::spec::test::soak::Soak;

/// Environment variables that the scripts of checks use themselves.
const RESERVED: &str = "BAKELINE_";

impl Rules<'_> {
    pub fn test(&mut self, test: &Test) {
        self.unique("/test/checks", "/name", "check", test.checks.iter().map(|check| check.name.clone()));
        for (index, check) in test.checks.iter().enumerate() {
            self.check(index, check, &test.checks);
        }
        if let Some(task) = &test.task {
            self.task(test, task);
        } else if test.checks.is_empty() {
            self.broken(
                "/test",
                "test has no checks".to_owned(),
                "at least one check of the instance",
                "for example checks: [{ name: booted, cloud_init: {} }]",
            );
        }
        let delivery =
            |check: &Check| if test.task.is_none() { seconds(check.delivery_timeout()) } else { 0 };
        let checks = test.checks.iter().map(|check| delivery(check) + seconds(check.timeout()));
        let mut needed = seconds(test.start_timeout) + checks.sum::<u64>();
        if let Some(soak) = &test.soak {
            needed += seconds(soak.duration) + Soak::LAG.as_secs();
            self.soak(soak, &test.checks);
        }
        if needed > seconds(test.timeout) {
            self.broken(
                "/test/timeout",
                format!("test.timeout is {}, and its parts may take {}", test.timeout, clock(needed)),
                "time for start_timeout, the delivery and the timeout of each check, and the soak",
                format!("raise it to {}, or lower the parts", clock(needed)),
            );
        }
    }

    fn soak(&mut self, soak: &Soak, checks: &[Check]) {
        let names = soak.limits.iter().map(|limit| limit.name.clone());
        self.unique("/test/soak/limits", "/name", "limit", names);
        for (index, limit) in soak.limits.iter().enumerate() {
            let time = ("test.soak.duration", soak.duration);
            self.limit(&format!("/test/soak/limits/{index}"), limit, time, &["instance"]);
        }
        if let Some(index) = checks.iter().position(|check| check.name == Soak::NAME) {
            self.broken(
                &format!("/test/checks/{index}/name"),
                format!("the check is named {}, as the soak is in reports", quoted(Soak::NAME)),
                "another name",
                "name the check after what it checks",
            );
        }
    }

    fn check(&mut self, index: usize, check: &Check, all: &[Check]) {
        let pointer = format!("/test/checks/{index}");
        let of = format!("the check {}", quoted(&check.name));
        let before: Vec<&str> = all.iter().take(index).map(|check| check.name.as_str()).collect();
        for (at, need) in check.needs.iter().flatten().enumerate() {
            if !before.contains(&need.as_str()) {
                self.broken(
                    &format!("{pointer}/needs/{at}"),
                    format!("{of} needs {}", quoted(need)),
                    "the name of an earlier check",
                    "checks start in the order of the spec",
                );
            }
        }
        let Some(script) = &check.script else { return };
        self.variables(&format!("{pointer}/script/secrets"), &script.secrets);
        if !script.secrets.is_empty() && script.is_powershell() {
            self.broken(
                &format!("{pointer}/script/secrets"),
                format!("{of} is a PowerShell script and has secrets"),
                "secrets only with a shell script",
                "read the secret in the script, with the role of the instance",
            );
        }
    }

    /// Names of environment variables that a spec may set.
    pub fn variables<V>(&mut self, pointer: &str, variables: &BTreeMap<String, V>) {
        for name in variables.keys().filter(|name| name.starts_with(RESERVED)) {
            self.broken(
                &format!("{pointer}/{name}"),
                format!("the environment variable {name} is reserved"),
                "a name that does not begin with BAKELINE_",
                "give the variable another name",
            );
        }
    }
}
