//! Command output in S3: the agent writes the full output, while the API returns only the beginning.
//!
//! The keys are `PREFIX/COMMAND/INSTANCE/PLUGIN/N.PLUGIN/stdout`, where the plugin's name is that of its action
//! without the colon, as in the user guide's examples.

use bytes::Bytes;

use super::super::super::world::World;
use super::super::ec2;
use super::super::s3::{self, Encryption};
use super::command::{Command, Invocation};
use super::document::Step;

/// The S3 location of a command's output.
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

/// The URL of a step's `stdout` or `stderr`; empty if the command has no output location.
pub(super) fn url(command: &Command, invocation: &Invocation, step: &Step, kind: &str) -> String {
    let Some(target) = &command.output else { return String::new() };
    let folder = folder(command, target, &invocation.instance, step);
    format!(
        "https://s3.{}.{}/{}/{folder}/{kind}",
        command.region,
        crate::partition::dns_suffix(&command.region),
        target.bucket
    )
}

/// Writes the steps' output with the permissions of the instance's role. Without permission nothing is written.
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
            // An empty stream creates no object.
            if !text.is_empty() {
                objects.push((format!("{folder}/{kind}"), Bytes::from(text.clone())));
            }
        }
    }
    for (key, body) in objects {
        // If the bucket does not exist, the output is silently lost.
        let _ = s3::put(world, &target.bucket, &key, body, Encryption::default());
    }
}
