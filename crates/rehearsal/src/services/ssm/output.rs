//! Output that the agent writes to S3: all of it, where the API shows the beginning only.
//!
//! The keys are the agent's: `PREFIX/COMMAND/INSTANCE/PLUGIN/N.PLUGIN/stdout`, where a plugin's name is that of its
//! action without the colon, as the user guide's examples have it.

use bytes::Bytes;

use super::super::super::world::World;
use super::super::ec2;
use super::super::s3::{self, Encryption};
use super::command::{Command, Invocation};
use super::document::Step;

/// Where a command's output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub bucket: String,
    pub prefix: Option<String>,
}

/// The folder of a step's output.
fn folder(command: &Command, target: &Target, instance: &str, step: &Step) -> String {
    let number = command.document.steps.iter().position(|known| known == step).unwrap_or(0);
    let plugin = step.name.replace(':', "");
    let path = format!("{}/{instance}/{plugin}/{number}.{plugin}", command.id);
    match target.prefix.as_deref().map(|prefix| prefix.trim_matches('/')).filter(|p| !p.is_empty()) {
        Some(prefix) => format!("{prefix}/{path}"),
        None => path,
    }
}

/// The URL of a step's output of one kind, `stdout` or `stderr`; empty where none was asked for.
pub(super) fn url(command: &Command, invocation: &Invocation, step: &Step, kind: &str) -> String {
    let Some(target) = &command.output else { return String::new() };
    let folder = folder(command, target, &invocation.instance, step);
    format!("https://s3.{}.amazonaws.com/{}/{folder}/{kind}", command.region, target.bucket)
}

/// The agent writes what the steps printed, under the instance's own role. What it may not write is not there.
pub(super) fn write(world: &mut World, id: &str, instance: &str) {
    let Some(command) = world.ssm.commands.get(id) else { return };
    let Some(target) = command.output.clone() else { return };
    let may = ec2::instance(world, instance)
        .and_then(|found| ec2::behavior(world, &found.image_id))
        .is_some_and(|behavior| behavior.writes_output);
    let Some(invocation) = command.invocations.iter().find(|one| one.instance == instance).filter(|_| may)
    else {
        return;
    };
    let mut objects = Vec::new();
    for step in command.document.steps.iter().filter(|step| step.runs) {
        let folder = folder(command, &target, instance, step);
        for (kind, text) in [("stdout", &invocation.stdout), ("stderr", &invocation.stderr)] {
            // An empty stream leaves no object.
            if !text.is_empty() {
                objects.push((format!("{folder}/{kind}"), Bytes::from(text.clone())));
            }
        }
    }
    for (key, body) in objects {
        // Without the bucket the output is lost, and nothing reports it.
        let _ = s3::put(world, &target.bucket, &key, body, Encryption::default());
    }
}
