//! Two groups that take turns, purely: which of them serves, what must hold before the traffic is moved, and what
//! follows at each share of it.

use super::check::{Check, hindered};
use super::judge::Finding;
use super::observe::{Group, Launches};
use super::pace::Pace;
use super::trial::Move;
use crate::engine::FailureKind;
use crate::spec::GroupPromotion;

/// The target groups of the two groups, by ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Of the group that serves.
    pub old: String,
    /// Of the group that the image goes into.
    pub new: String,
}

impl Pair {
    /// The weight of a target group when the new one is to get `percent` of the traffic; none if it is not of the pair.
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
pub struct Weighted {
    pub arn: String,
    pub weight: u32,
}

/// A list of actions that forwards to one of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// ARN of the listener or the rule.
    pub arn: String,
    /// Every target group it forwards to.
    pub groups: Vec<Weighted>,
}

impl Route {
    /// The weight a target group has here; none if it is not named, or twice.
    #[must_use]
    pub fn weight(&self, arn: &str) -> Option<u32> {
        let mut named = self.groups.iter().filter(|group| group.arn == arn);
        match (named.next(), named.next()) {
            (Some(group), None) => Some(group.weight),
            _ => None,
        }
    }

    /// Whether the new group of the pair gets so many percent here, to the very weights.
    #[must_use]
    pub fn gives(&self, pair: &Pair, percent: u8) -> bool {
        [&pair.old, &pair.new].into_iter().all(|arn| self.weight(arn) == pair.weight(arn, percent))
    }
}

/// The two groups and the routes to them, before anything is changed. First the group the spec calls `group`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turns {
    pub names: [String; 2],
    pub groups: [Option<Group>; 2],
    pub routes: Vec<Route>,
}

impl Turns {
    /// The only target group of one of the two.
    #[must_use]
    pub fn target_group(&self, which: usize) -> Option<&str> {
        let groups = &self.groups.get(which)?.as_ref()?.target_groups;
        if groups.len() == 1 { groups.first().map(String::as_str) } else { None }
    }

    /// Which of the two serves everything: one in which every route names both, with all the weight on the same side.
    #[must_use]
    pub fn serving(&self) -> Option<usize> {
        let (one, other) = (self.target_group(0)?, self.target_group(1)?);
        let mut serving = None;
        for route in &self.routes {
            let side = match (route.weight(one)?, route.weight(other)?) {
                (1.., 0) => 0,
                (0, 1..) => 1,
                _ => return None,
            };
            if serving.is_some_and(|before| before != side) || route.groups.len() != 2 {
                return None;
            }
            serving = Some(side);
        }
        serving
    }

    /// What must hold of the two beside what must hold of the one that serves.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.routed()];
        checks.extend(self.idle());
        checks
    }

    fn routed(&self) -> Check {
        let names = self.names.join(" and ");
        let seen: Vec<String> = self
            .routes
            .iter()
            .map(|route| {
                let weights = route.groups.iter().map(|group| {
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
                   with all the weight on one of them: a share that someone else set is theirs to take back",
            kind: FailureKind::ConfigurationError,
        }
    }

    /// That the group which is to take the image is one that can.
    fn idle(&self) -> Option<Check> {
        let serving = self.serving()?;
        let idle = 1 - serving;
        let name = self.names.get(idle)?;
        let (old, new) = (self.groups.get(serving)?.as_ref()?, self.groups.get(idle)?.as_ref()?);
        let same = matches!((&old.launches, &new.launches),
            (Launches::Template { id, .. }, Launches::Template { id: other, .. }) if id == other);
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
        let suspended = hindered(new);
        if !suspended.is_empty() {
            wrong.push(format!("{name} has suspended processes: {}", suspended.join(", ")));
        }
        Some(Check {
            check: "the_other_group_is_free",
            holds: wrong.is_empty(),
            observed: if wrong.is_empty() { format!("{name} is empty") } else { wrong.join("; ") },
            hint: "the image goes into an empty group of the same launch template: scale it in, or wait for whoever uses it",
            kind: FailureKind::ConfigurationError,
        })
    }
}

/// What follows while the new group serves everything, and the old one stands by. There is nothing to compare with any
/// more: alarms and bounds decide. `whole`: what keeps the new group from being well.
#[must_use]
pub fn stand_by(promote: &GroupPromotion, guards: &Finding, whole: Option<&str>, elapsed: u64) -> Move {
    if let Finding::Bad(what) = guards {
        return Move::RollBack(what.join("; "));
    }
    let pace = Pace::of(promote);
    let mut unsure: Vec<String> = match guards {
        Finding::Unknown(what) => what.clone(),
        Finding::Good | Finding::Bad(_) => Vec::new(),
    };
    unsure.extend(whole.map(str::to_owned));
    match (unsure.is_empty(), elapsed) {
        (_, elapsed) if elapsed < pace.bake => Move::Hold("the group before stands by".to_owned()),
        (true, _) => Move::GoOn,
        (false, elapsed) if elapsed < pace.bake + pace.grace => Move::Hold(unsure.join("; ")),
        (false, _) => Move::RollBack(format!("nothing is promoted on missing data: {}", unsure.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{self, Span};

    fn group(target_group: &str, instances: u32) -> Group {
        Group {
            account: String::new(),
            launches: Launches::Template { id: "lt-1".into(), version: "7".into() },
            min: 0,
            max: 8,
            desired: instances,
            status: None,
            suspended: Vec::new(),
            instances: Vec::new(),
            target_groups: [target_group.to_owned()].into(),
        }
    }

    /// Target groups and weights of each list of actions.
    type Routes<'r> = &'r [&'r [(&'r str, u32)]];

    fn turns(routes: Routes<'_>) -> Turns {
        let route = |groups: &&[(&str, u32)]| Route {
            arn: "listener".into(),
            groups: groups
                .iter()
                .map(|(arn, weight)| Weighted { arn: (*arn).into(), weight: *weight })
                .collect(),
        };
        Turns {
            names: ["blue".into(), "green".into()],
            groups: [Some(group("b", 4)), Some(group("g", 0))],
            routes: routes.iter().map(route).collect(),
        }
    }

    #[test]
    fn the_group_that_serves_is_the_one_with_all_the_weight_everywhere() {
        let cases: [(Routes<'_>, Option<usize>); 9] = [
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
        for (routes, expected) in cases {
            assert_eq!(turns(routes).serving(), expected, "{routes:?}");
            assert_eq!(turns(routes).checks()[0].holds, expected.is_some(), "{routes:?}");
        }
    }

    #[test]
    fn the_other_group_takes_an_image_only_when_it_is_free() {
        type Spoil = fn(&mut Turns);
        let free = turns(&[&[("b", 1), ("g", 0)]]);
        assert!(free.checks().iter().all(|check| check.holds));
        let spoilt: [(&str, Spoil); 4] = [
            ("another launch template", |t| t.groups[1].as_mut().unwrap().launches = Launches::Mixed),
            ("4 desired", |t| t.groups[1].as_mut().unwrap().desired = 4),
            ("Delete in progress", |t| {
                t.groups[1].as_mut().unwrap().status = Some("Delete in progress".into());
            }),
            ("Launch", |t| t.groups[1].as_mut().unwrap().suspended = vec!["Launch".into()]),
        ];
        for (expected, spoil) in spoilt {
            let mut turns = free.clone();
            spoil(&mut turns);
            let checks = turns.checks();
            let broken: Vec<_> = checks.iter().filter(|check| !check.holds).collect();
            assert!(broken.len() == 1 && broken[0].observed.contains(expected), "{expected}: {broken:?}");
        }
        let mut shared = free;
        shared.groups[1] = Some(group("b", 0));
        shared.groups[1].as_mut().unwrap().target_groups.insert("g".into());
        assert!(!shared.checks()[0].holds, "two target groups are not its own one");
    }

    #[test]
    fn a_route_gives_a_share_only_to_the_very_weights() {
        let pair = Pair { old: "b".into(), new: "g".into() };
        let of = |groups: &[(&str, u32)]| turns(&[groups]).routes.remove(0);
        assert!(of(&[("b", 75), ("g", 25)]).gives(&pair, 25));
        assert!(!of(&[("b", 3), ("g", 1)]).gives(&pair, 25), "someone else's numbers");
        assert!(!of(&[("b", 75)]).gives(&pair, 25));
        assert!(!of(&[("b", 75), ("g", 25), ("g", 25)]).gives(&pair, 25));
    }

    #[test]
    fn standing_by_ends_in_success_only_when_all_is_known_and_well() {
        let promote = spec::GroupPromotion {
            group: "blue".into(),
            steps: vec![50, 100],
            hold: Span::from_secs(60),
            min_healthy_percent: 100,
            max_healthy_percent: 110,
            warmup: Some(Span::from_secs(60)),
            soak: Span::from_secs(600),
            alarms: vec!["web".into()],
            limits: Vec::new(),
            timeout: Span::from_secs(7200),
            way: spec::GroupWay::BlueGreen,
            alternate: Some("green".into()),
            judge: None,
            waves: Vec::new(),
            size: 1,
        };
        let unknown = || Finding::Unknown(vec!["no data".into()]);
        let bad = || Finding::Bad(vec!["alarm".into()]);
        let decided = |guards: Finding, whole: Option<&str>, at| stand_by(&promote, &guards, whole, at);
        assert!(matches!(decided(Finding::Good, None, 599), Move::Hold(_)));
        assert_eq!(decided(Finding::Good, None, 600), Move::GoOn);
        assert!(matches!(decided(Finding::Good, Some("3 of 4"), 600), Move::Hold(_)));
        assert!(matches!(decided(unknown(), None, 600), Move::Hold(_)));
        assert!(matches!(decided(unknown(), None, 720), Move::RollBack(_)));
        assert!(matches!(decided(Finding::Good, Some("3 of 4"), 720), Move::RollBack(_)));
        assert!(matches!(decided(bad(), None, 1), Move::RollBack(_)));
    }
}
