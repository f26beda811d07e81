//! Two groups that alternate: which of them serves, and what must be true before the traffic is shifted. Pure.

use super::processes::suspended_processes;
use crate::stage::aws_view::groups::{Group, LaunchSource};
use crate::stage::promote::check::Check;

/// The ARNs of the target groups of two groups that alternate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupPair {
    /// The target group of the Auto Scaling group that serves.
    pub old: String,
    /// The target group of the Auto Scaling group that takes the image.
    pub new: String,
}

impl TargetGroupPair {
    /// The weight of a target group when the new one gets `percent` of the traffic; none for any other target group.
    #[must_use]
    pub fn weight(&self, arn: &str, percent: u8) -> Option<u32> {
        let new = u32::from(percent.min(100));
        match arn {
            arn if arn == self.old => Some(100 - new),
            arn if arn == self.new => Some(new),
            _ => None,
        }
    }
}

/// A target group in a forward action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedTargetGroup {
    pub arn: String,
    pub weight: u32,
}

/// The forward action of a listener or a rule that names one of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAction {
    /// ARN of the listener or the rule.
    pub arn: String,
    /// Every target group it forwards to.
    pub groups: Vec<WeightedTargetGroup>,
}

impl ForwardAction {
    /// The weight of a target group; none if the action does not name it, or names it twice.
    #[must_use]
    pub fn weight(&self, arn: &str) -> Option<u32> {
        let mut named = self.groups.iter().filter(|group| group.arn == arn);
        match (named.next(), named.next()) {
            (Some(group), None) => Some(group.weight),
            _ => None,
        }
    }

    /// Whether the new target group gets this percentage, with exactly these weights.
    #[must_use]
    pub fn gives(&self, pair: &TargetGroupPair, percent: u8) -> bool {
        [&pair.old, &pair.new].into_iter().all(|arn| self.weight(arn) == pair.weight(arn, percent))
    }
}

/// The two groups and the forward actions to them, before anything is changed. The group that the spec names first comes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlternateGroups {
    pub names: [String; 2],
    pub groups: [Option<Group>; 2],
    pub forwards: Vec<ForwardAction>,
}

impl AlternateGroups {
    /// The target group of one of the two, if it has exactly one.
    #[must_use]
    pub fn target_group(&self, which: usize) -> Option<&str> {
        let groups = &self.groups.get(which)?.as_ref()?.target_groups;
        if groups.len() == 1 { groups.first().map(String::as_str) } else { None }
    }

    /// The index of the group that serves: every forward action names both target groups and no other, with all the
    /// weight on this one.
    #[must_use]
    pub fn serving(&self) -> Option<usize> {
        let (one, other) = (self.target_group(0)?, self.target_group(1)?);
        let mut serving = None;
        for action in &self.forwards {
            let side = match (action.weight(one)?, action.weight(other)?) {
                (1.., 0) => 0,
                (0, 1..) => 1,
                _ => return None,
            };
            if serving.is_some_and(|before| before != side) || action.groups.len() != 2 {
                return None;
            }
            serving = Some(side);
        }
        serving
    }

    /// The checks of the two groups, beside those of the one that serves.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.weights()];
        checks.extend(self.idle());
        checks
    }

    fn weights(&self) -> Check {
        let names = self.names.join(" and ");
        let seen: Vec<String> = self
            .forwards
            .iter()
            .map(|action| {
                let weights = action.groups.iter().map(|group| {
                    let name = group.arn.rsplit(':').next().unwrap_or(&group.arn);
                    format!("{name} {}", group.weight)
                });
                weights.collect::<Vec<_>>().join(", ")
            })
            .collect();
        let own = [0, 1].into_iter().all(|which| self.target_group(which).is_some());
        Check {
            check: "weights_are_on_one_group",
            holds: self.serving().is_some(),
            observed: match (own, seen.is_empty()) {
                (false, _) => format!("{names} do not each have exactly one target group"),
                (true, true) => format!("no listener forwards to the target groups of {names}"),
                (true, false) => seen.join("; "),
            },
            hint: "every action that forwards to one of the two target groups must forward to both and to no other, \
                   with all the weight on one of them",
            kind: crate::engine::FailureKind::ConfigurationError,
        }
    }

    /// That the group which is to take the image is empty and has the same launch template.
    fn idle(&self) -> Option<Check> {
        let serving = self.serving()?;
        let idle = 1 - serving;
        let name = self.names.get(idle)?;
        let (old, new) = (self.groups.get(serving)?.as_ref()?, self.groups.get(idle)?.as_ref()?);
        let same = matches!((&old.launch_source, &new.launch_source),
            (LaunchSource::Template { id, .. }, LaunchSource::Template { id: other, .. }) if id == other);
        let mut wrong = Vec::new();
        if !same {
            wrong.push(format!("{name} has another launch template"));
        }
        if !new.instances.is_empty() || new.desired > 0 {
            wrong.push(format!("{name} has {} instances, {} desired", new.instances.len(), new.desired));
        }
        if let Some(status) = &new.status {
            wrong.push(format!("{name} has the status `{status}`"));
        }
        let suspended = suspended_processes(new);
        if !suspended.is_empty() {
            wrong.push(format!("{name} has suspended processes: {}", suspended.join(", ")));
        }
        Some(Check {
            check: "alternate_group_is_empty",
            holds: wrong.is_empty(),
            observed: if wrong.is_empty() { format!("{name} is empty") } else { wrong.join("; ") },
            hint: "the image goes into an empty group with the same launch template: scale the group in",
            kind: crate::engine::FailureKind::ConfigurationError,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(target_group: &str, instances: u32) -> Group {
        Group {
            arn: String::new(),
            launch_source: LaunchSource::Template { id: "lt-1".into(), version: "7".into() },
            min: 0,
            max: 8,
            desired: instances,
            status: None,
            suspended: Vec::new(),
            instances: Vec::new(),
            target_groups: [target_group.to_owned()].into(),
        }
    }

    /// Target groups and weights of each forward action.
    type Weights<'r> = &'r [&'r [(&'r str, u32)]];

    fn alternate(weights: Weights<'_>) -> AlternateGroups {
        let action = |groups: &&[(&str, u32)]| ForwardAction {
            arn: "listener".into(),
            groups: groups
                .iter()
                .map(|(arn, weight)| WeightedTargetGroup { arn: (*arn).into(), weight: *weight })
                .collect(),
        };
        AlternateGroups {
            names: ["blue".into(), "green".into()],
            groups: [Some(group("b", 4)), Some(group("g", 0))],
            forwards: weights.iter().map(action).collect(),
        }
    }

    #[test]
    fn the_group_that_serves_is_the_one_with_all_the_weight_everywhere() {
        let cases: [(Weights<'_>, Option<usize>); 9] = [
            (&[&[("b", 1), ("g", 0)]], Some(0)),
            (&[&[("g", 100), ("b", 0)]], Some(1)),
            (&[&[("b", 1), ("g", 0)], &[("b", 7), ("g", 0)]], Some(0)),
            (&[&[("b", 1), ("g", 0)], &[("b", 0), ("g", 1)]], None),
            (&[&[("b", 99), ("g", 1)]], None),
            (&[&[("b", 0), ("g", 0)]], None),
            (&[&[("b", 1)]], None),
            (&[&[("b", 1), ("g", 0), ("other", 1)]], None),
            (&[], None),
        ];
        for (weights, expected) in cases {
            assert_eq!(alternate(weights).serving(), expected, "{weights:?}");
            assert_eq!(alternate(weights).checks()[0].holds, expected.is_some(), "{weights:?}");
        }
    }

    #[test]
    fn the_alternate_group_takes_an_image_only_when_it_is_empty() {
        type Spoil = fn(&mut AlternateGroups);
        let free = alternate(&[&[("b", 1), ("g", 0)]]);
        assert!(free.checks().iter().all(|check| check.holds));
        let spoilt: [(&str, Spoil); 4] = [
            ("another launch template", |t| {
                t.groups[1].as_mut().unwrap().launch_source = LaunchSource::Mixed;
            }),
            ("4 desired", |t| t.groups[1].as_mut().unwrap().desired = 4),
            ("Delete in progress", |t| {
                t.groups[1].as_mut().unwrap().status = Some("Delete in progress".into());
            }),
            ("Launch", |t| t.groups[1].as_mut().unwrap().suspended = vec!["Launch".into()]),
        ];
        for (expected, spoil) in spoilt {
            let mut groups = free.clone();
            spoil(&mut groups);
            let checks = groups.checks();
            let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
            assert!(broken.len() == 1 && broken[0].observed.contains(expected), "{expected}: {broken:?}");
        }
        let mut shared = free;
        shared.groups[1] = Some(group("b", 0));
        shared.groups[1].as_mut().unwrap().target_groups.insert("g".into());
        assert!(!shared.checks()[0].holds, "two target groups are not its own one");
    }

    #[test]
    fn a_forward_action_gives_a_share_only_with_exactly_its_weights() {
        let pair = TargetGroupPair { old: "b".into(), new: "g".into() };
        let of = |groups: &[(&str, u32)]| alternate(&[groups]).forwards.remove(0);
        assert!(of(&[("b", 75), ("g", 25)]).gives(&pair, 25));
        assert!(!of(&[("b", 3), ("g", 1)]).gives(&pair, 25), "someone else's numbers");
        assert!(!of(&[("b", 75)]).gives(&pair, 25));
        assert!(!of(&[("b", 75), ("g", 25), ("g", 25)]).gives(&pair, 25));
    }
}
