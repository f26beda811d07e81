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
        self.of_instances(test);
        self.size(task);
        for (variable, secret) in &task.secrets {
            self.one_of(
                &format!("/test/task/secrets/{variable}"),
                &format!("the secret {variable}"),
                [("secret", secret.secret.is_some()), ("parameter", secret.parameter.is_some())],
                "a secret lies in Secrets Manager or in Systems Manager",
            );
            if task.env.contains_key(variable) {
                self.broken(
                    &format!("/test/task/secrets/{variable}"),
                    format!("{variable} is a secret and stands in environment"),
                    "every variable once",
                    "take it out of environment",
                );
            }
        }
        if let Some(check) = &task.health_check
            && !matches!(check.command.first().map(String::as_str), Some("CMD" | "CMD-SHELL"))
        {
            self.broken(
                "/test/task/health_check/command",
                format!(
                    "the health check begins with {}",
                    quoted(check.command.first().map_or("", String::as_str))
                ),
                "CMD or CMD-SHELL at its beginning",
                "for example [CMD-SHELL, \"curl -f http://127.0.0.1:8080/healthz\"]",
            );
        }
        for (index, check) in test.checks.iter().enumerate() {
            self.task_check(index, check, task);
        }
        if test.checks.is_empty() && task.health_check.is_none() && task.expect_exit_code.is_none() {
            self.broken(
                "/test",
                "nothing is looked at in the task".to_owned(),
                "checks, task.health_check or task.expect_exit_code",
                "that a container runs says little of it",
            );
        }
        if let Some(code) = task.expect_exit_code.filter(|_| !test.checks.is_empty()) {
            self.broken(
                "/test/checks",
                format!("the task is a job that exits with {code}, and there are checks"),
                "no checks of a job",
                "nothing answers once a job has ended: take checks or exits away",
            );
        }
    }

    /// What instances have and tasks do not.
    fn of_instances(&mut self, test: &Test) {
        let keys = [
            ("subnet", test.subnet.is_some(), "write it into task.subnets"),
            ("security_groups", !test.security_groups.is_empty(), "write them into task.security_groups"),
            (
                "instance_profile",
                test.instance_profile.is_some(),
                "a task has task.execution_role and task.task_role",
            ),
            ("instance_type", test.instance_type.is_some(), "a task has task.cpu and task.memory"),
            ("spot", test.spot, "tasks run on Fargate on demand"),
            ("output", test.output.is_some(), "a task writes to task.log_group"),
            ("soak", test.soak.is_some(), "its metrics are an instance's; watch a task by checks"),
        ];
        for (key, _, hint) in keys.into_iter().filter(|(_, given, _)| *given) {
            self.broken(
                &format!("/test/{key}"),
                format!("test has both task and {key}"),
                "either an instance or a task",
                hint,
            );
        }
    }

    fn size(&mut self, task: &Task) {
        let Some((_, least, most, step)) = SIZES.iter().find(|(cpu, ..)| *cpu == task.cpu) else {
            let sizes: Vec<String> = SIZES.iter().map(|(cpu, ..)| cpu.to_string()).collect();
            self.broken(
                "/test/task/cpu",
                format!("test.task.cpu is {}", task.cpu),
                format!("one of {}", sizes.join(", ")),
                "Fargate offers no other sizes",
            );
            return;
        };
        // The smallest size has 512, 1024 and 2048 MiB.
        let odd = task.cpu == 256 && task.memory == 1536;
        if !(*least..=*most).contains(&task.memory) || !task.memory.is_multiple_of(*step) || odd {
            self.broken(
                "/test/task/memory",
                format!("test.task.memory is {} with a cpu of {}", task.memory, task.cpu),
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
                format!("a check is named {}, as the task is in reports", quoted(Task::NAME)),
                "another name",
                "name it for what it looks at",
            );
        }
        let unfit =
            check.kinds().into_iter().filter(|(kind, given)| *given && !matches!(*kind, "http" | "tcp"));
        for (kind, _) in unfit {
            self.broken(
                &format!("{pointer}/{kind}"),
                format!("{of} is run by Systems Manager on an instance, and the image is tested in a task"),
                "http and tcp checks of a task",
                "put it into the image's health check, or test a job by task.expect_exit_code",
            );
        }
        let asked = match (&check.http, &check.tcp) {
            (Some(http), _) => Some((format!("{pointer}/http/url"), http.url.as_str(), asked(&http.url))),
            (None, Some(tcp)) => {
                let host = LOOPBACK.contains(&tcp.host.as_str());
                Some((format!("{pointer}/tcp"), tcp.host.as_str(), host.then_some(tcp.port)))
            }
            (None, None) => None,
        };
        match asked {
            Some((pointer, text, None)) => self.broken(
                &pointer,
                format!("{of} asks {}", quoted(text)),
                "the task itself, by http and as 127.0.0.1",
                "for example http://127.0.0.1:8080/healthz",
            ),
            Some((pointer, _, Some(port))) if !task.ports.contains(&port) => self.broken(
                &pointer,
                format!("{of} asks port {port}, which is none of task.ports"),
                "a port of the task",
                format!("add {port} to task.ports"),
            ),
            Some(_) | None => {}
        }
    }
}

/// The port of a URL that asks the task itself; none for any other URL.
fn asked(url: &str) -> Option<u16> {
    let url: Uri = url.parse().ok()?;
    let itself = url.host().is_some_and(|host| LOOPBACK.contains(&host));
    (itself && url.scheme_str() == Some("http")).then(|| url.port_u16().unwrap_or(80))
}
