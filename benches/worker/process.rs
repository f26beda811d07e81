//! Worker processes, and what the kernel says of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::endpoint::Control;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Seconds, of all threads.
    pub cpu: f64,
    /// Resident memory now and at its peak, in KiB.
    pub rss: f64,
    pub peak: f64,
}

impl Measured {
    pub fn of(process: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // The second field is a name in parentheses; the 14th and 15th are ticks of a hundredth of a second.
        let ticks: f64 = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| -> f64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self { cpu: ticks / 100.0, rss: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

/// A worker.
pub struct Process(Child);

impl Process {
    fn start(control: &Control, command: &mut Command) -> Self {
        let command = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_ENDPOINT_URL", format!("http://{}", control.address))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn bakeline(control: &Control, folder: &Path, slots: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bakeline"));
        command.args(["--log", "off", "work", "--stages", "bake", "--log-format", "text", "--slots", slots]);
        command.arg("--signing-key").arg(format!("file:{}", folder.join("key.pem").display()));
        command.arg("--trust").arg(format!("file:{}", folder.join("trust.yaml").display()));
        Self::start(control, &mut command)
    }

    pub fn boto3(control: &Control, python: &str, threads: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/worker/boto3_worker.py");
        Self::start(control, Command::new(python).arg(script).arg(threads.to_string()))
    }

    /// Nothing but calls: see [`crate::floor`].
    pub fn calls(control: &Control, how: &str, calls: u64) -> Self {
        let own = std::env::current_exe().unwrap();
        Self::start(control, Command::new(own).args(["calls", how, &calls.to_string()]))
    }

    pub fn measured(&self) -> Measured {
        Measured::of(self.0.id())
    }

    pub fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
