//! Whole releases, one for each kind of target.

use super::parse;

const AUTO_SCALING_GROUP: &str = include_str!("../../../tests/golden/spec/releases/auto-scaling-group.yaml");
const ECS_SERVICE: &str = include_str!("../../../tests/golden/spec/releases/ecs-service.yaml");
const STACK: &str = include_str!("../../../tests/golden/spec/releases/stack.yaml");

#[test]
fn a_release_to_auto_scaling_groups_parses_and_survives_serialization() {
    let spec = parse(AUTO_SCALING_GROUP).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(spec.channel.as_deref(), Some("stable"));
    let environments: Vec<_> = spec.environments().collect();
    assert_eq!(environments, ["staging", "production", "production-frankfurt"]);
    let promote = spec.promote().expect("it promotes");
    let judge = promote.analysis.judge.as_ref().expect("it has a judge");
    assert_eq!(judge.on_inconclusive.approval_action(), Some("Decide"));
    assert_eq!(promote.waves.iter().map(|wave| wave.targets.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(parse(&serde_json::to_string(&spec).expect("a spec is JSON")), Ok(spec));
}

#[test]
fn a_release_to_a_kind_to_come_is_refused_for_its_target_alone() {
    for (text, target) in [(ECS_SERVICE, "ecs_service"), (STACK, "stack")] {
        let errors = parse(text).expect_err(target);
        let problems: Vec<_> = errors.problems().iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(problems, [format!("promote.target.{target} is not supported yet")], "{errors}");
    }
}

#[test]
fn a_release_to_a_kind_to_come_parses_without_its_promotion() {
    for text in [ECS_SERVICE, STACK] {
        let (before, promote) = text.split_once("\npromote:\n").expect("it promotes");
        let (_, cleanup) = promote.split_once("\ncleanup:").expect("it is cleaned up");
        let spec = parse(&format!("{before}\ncleanup:{cleanup}")).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(spec.promote().is_err());
        assert_eq!(parse(&serde_json::to_string(&spec).expect("a spec is JSON")), Ok(spec));
    }
}
