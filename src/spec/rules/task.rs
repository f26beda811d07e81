//! Rules between the values of `test.task` and the checks of a task.

use http::Uri;

use super::Rules;
use crate::spec::problem::quoted;
use crate::spec::test::Test;
use crate::spec::test::check::Check;
use crate::spec::test::task::Task;

/// Sizes of Fargate tasks: CPU units, and the least, the most and the step of memory in MiB.
///
/// The developer guide, "Task CPU and memory".
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Hosts that mean the task itself in its checks.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

impl Rules<'_> {
    pub fn task(&mut self, test: &Test, task: &Task) {
        self.only_for_instances(test);
        self.size(task);
        self.variables("/test/task/env", &task.env);
        self.variables("/test/task/secrets", &task.secrets);
        for variable in task.secrets.keys().filter(|variable| task.env.contains_key(*variable)) {
            self.broken(
                &format!("/test/task/secrets/{variable}"),
                format!("the variable {variable} is given in secrets and in env"),
                "each variable once",
                "remove it from env",
            );
        }
        if let Some(check) = &task.health_check
            && !matches!(check.command.first().map(String::as_str), Some("CMD" | "CMD-SHELL"))
        {
            self.broken(
                "/test/task/health_check/command",
                format!(
                    "the command of the health check begins with {}",
                    quoted(check.command.first().map_or("", String::as_str))
                ),
                "CMD or CMD-SHELL first",
                "for example [CMD-SHELL, \"curl -f http://127.0.0.1:8080/healthz\"]",
            );
        }
        for (index, check) in test.checks.iter().enumerate() {
            self.task_check(index, check, task);
        }
        if test.checks.is_empty() && task.health_check.is_none() && task.expect_exit_code.is_none() {
            self.broken(
                "/test",
                "test has a task, and nothing checks it".to_owned(),
                "checks, task.health_check or task.expect_exit_code",
                "a container that runs need not work",
            );
        }
        if let Some(code) = task.expect_exit_code.filter(|_| !test.checks.is_empty()) {
            self.broken(
                "/test/checks",
                format!("the task is a job that ends with exit code {code}, and test has checks"),
                "no checks with task.expect_exit_code",
                "a job that has ended cannot be checked: remove checks or expect_exit_code",
            );
        }
    }

    /// Keys that a test in a task cannot have.
    fn only_for_instances(&mut self, test: &Test) {
        let keys = [
            ("output", test.output.is_some(), "a task writes to task.log_group"),
            ("soak", test.soak.is_some(), "the limits of a soak are an instance's; watch a task by checks"),
        ];
        for (key, _, hint) in keys.into_iter().filter(|(_, given, _)| *given) {
            self.broken(
                &format!("/test/{key}"),
                format!("test has {key} and task"),
                format!("{key} only with test.instance"),
                hint,
            );
        }
    }

    fn size(&mut self, task: &Task) {
        let Some((_, least, most, step)) = SIZES.iter().find(|(cpu, ..)| *cpu == task.cpu_units) else {
            let sizes: Vec<String> = SIZES.iter().map(|(cpu, ..)| cpu.to_string()).collect();
            self.broken(
                "/test/task/cpu_units",
                format!("test.task.cpu_units is {}", task.cpu_units),
                format!("one of {}", sizes.join(", ")),
                "Fargate offers no other sizes",
            );
            return;
        };
        // The smallest size has 512, 1024 and 2048 MiB.
        let odd = task.cpu_units == 256 && task.memory_mib == 1536;
        if !(*least..=*most).contains(&task.memory_mib) || !task.memory_mib.is_multiple_of(*step) || odd {
            self.broken(
                "/test/task/memory_mib",
                format!("test.task.memory_mib is {} with {} cpu_units", task.memory_mib, task.cpu_units),
                format!("{least} to {most} in steps of {step}"),
                "Fargate offers no other sizes",
            );
        }
    }

    fn task_check(&mut self, index: usize, check: &Check, task: &Task) {
        let pointer = format!("/test/checks/{index}");
        let of = format!("the check {}", quoted(&check.name));
        if check.name == Task::NAME {
            self.broken(
                &format!("{pointer}/name"),
                format!("the check is named {}, as the task is in reports", quoted(Task::NAME)),
                "another name",
                "name the check after what it checks",
            );
        }
        for kind in check.kinds().into_iter().filter(|kind| !matches!(*kind, "http" | "tcp")) {
            self.broken(
                &format!("{pointer}/{kind}"),
                format!("{of} needs an instance with Systems Manager, and test has a task"),
                "http and tcp checks only",
                "move it into the image's health check, or run it as a job with task.expect_exit_code",
            );
        }
        let port = match (&check.http, &check.tcp) {
            (Some(http), _) => {
                Some((format!("{pointer}/http/url"), http.url.as_str(), loopback_port(&http.url)))
            }
            (None, Some(tcp)) => {
                let host = LOOPBACK.contains(&tcp.host.as_str());
                Some((format!("{pointer}/tcp"), tcp.host.as_str(), host.then_some(tcp.port)))
            }
            (None, None) => None,
        };
        match port {
            Some((pointer, text, None)) => self.broken(
                &pointer,
                format!("{of} connects to {}", quoted(text)),
                "the task itself: http, and 127.0.0.1 as the host",
                "for example http://127.0.0.1:8080/healthz",
            ),
            Some((pointer, _, Some(port))) if !task.ports.contains(&port) => self.broken(
                &pointer,
                format!("{of} connects to port {port}, which is not in task.ports"),
                "a port of the task",
                format!("add {port} to task.ports"),
            ),
            Some(_) | None => {}
        }
    }
}

/// Port of a URL that means the task itself; none for any other URL.
fn loopback_port(url: &str) -> Option<u16> {
    let url: Uri = url.parse().ok()?;
    let itself = url.host().is_some_and(|host| LOOPBACK.contains(&host));
    (itself && url.scheme_str() == Some("http")).then(|| url.port_u16().unwrap_or(80))
}
