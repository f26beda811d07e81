//! Transitions of the machines: the name of each state, and a trace event for each transition taken.
//!
//! The tests subscribe to [`TARGET`]. `scripts/transitions` compares what they took with `docs/machines`, and draws the
//! diagrams there.

use serde::Serialize;
use serde_json::Value;

/// The tracing target of transition events, at level TRACE. Their fields are `machine`, `from` and `to`.
pub const TARGET: &str = "bakeline::transition";

/// The name of the end of an action.
pub const END: &str = "end";

/// Emits the event of one transition; without a state after it the action has ended.
pub fn trace<M: Serialize>(from: &M, to: Option<&M>) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        let machine = std::any::type_name::<M>().split('<').next();
        let to = to.map_or_else(|| END.to_owned(), state_name);
        tracing::trace!(target: TARGET, machine, from = state_name(from), to);
    }
}

/// The name of a state: its `at` tag, and the `target` and `step` of the deployment inside it, joined by dots:
/// `deploying.asg_rolling.refreshing`.
pub fn state_name<M: Serialize>(state: &M) -> String {
    let mut names = Vec::new();
    let value = serde_json::to_value(state).unwrap_or_default();
    collect(&value, &mut names);
    names.join(".")
}

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(unit) if names.is_empty() => names.push(unit.clone()),
        Value::Object(members) => {
            let own = ["at", "target", "step"].iter().filter_map(|tag| members.get(*tag)?.as_str());
            let before = names.len();
            names.extend(own.map(str::to_owned));
            if names.len() > before {
                for inner in members.values().filter(|member| member.is_object()) {
                    collect(inner, names);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_by_its_tags() {
        for (state, name) in [
            (r#"{"at":"preflight"}"#, "preflight"),
            (r#"{"at":"building","image":"arn","polls":3}"#, "building"),
            (
                r#"{"at":"deploying","deployment":{"target":"asg_rolling","step":"refreshing","rollout":{"to":7}}}"#,
                "deploying.asg_rolling.refreshing",
            ),
            (r#""start""#, "start"),
        ] {
            assert_eq!(state_name(&serde_json::from_str::<Value>(state).unwrap()), name);
        }
    }
}
