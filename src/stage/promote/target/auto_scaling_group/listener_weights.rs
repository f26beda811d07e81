//! The forward actions of a load balancer, in which two target groups share the traffic by weight.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroup, TargetGroupTuple,
};

use super::alternate::{ForwardAction, TargetGroupPair, WeightedTargetGroup};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// The actions of a listener or a rule that forwards to one of a pair.
#[derive(Clone, Debug)]
pub struct Forwarding {
    pub action: ForwardAction,
    /// The ARN is that of a rule; otherwise it is that of a listener, whose default actions these are.
    of_a_rule: bool,
    actions: Vec<Action>,
}

/// Every listener and rule that forwards to one of the pair, in the order of their ARNs.
///
/// # Errors
/// A read failed.
pub async fn read(aws: &Aws, pair: &TargetGroupPair) -> Result<Vec<Forwarding>, StageError> {
    let mut found = Vec::new();
    for balancer in balancers(aws, pair).await? {
        let listeners: Vec<_> = aws
            .elbv2
            .describe_listeners()
            .load_balancer_arn(&balancer)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|e| AwsError::new("elasticloadbalancing:DescribeListeners", &balancer, e))?;
        for listener in listeners {
            let arn = listener.listener_arn().unwrap_or_default();
            found.extend(forwarding(arn, false, listener.default_actions(), pair));
            let rules: Vec<_> = aws
                .elbv2
                .describe_rules()
                .listener_arn(arn)
                .into_paginator()
                .items()
                .send()
                .try_collect()
                .await
                .map_err(|e| AwsError::new("elasticloadbalancing:DescribeRules", arn, e))?;
            // The default rule repeats the default actions of the listener, and cannot be modified as a rule.
            for rule in rules.iter().filter(|rule| rule.is_default() != Some(true)) {
                found.extend(forwarding(rule.rule_arn().unwrap_or_default(), true, rule.actions(), pair));
            }
        }
    }
    found.sort_by(|one, other| one.action.arn.cmp(&other.action.arn));
    Ok(found)
}

/// The load balancers that use one of the pair.
async fn balancers(aws: &Aws, pair: &TargetGroupPair) -> Result<BTreeSet<String>, StageError> {
    let groups: Vec<_> = aws
        .elbv2
        .describe_target_groups()
        .target_group_arns(&pair.old)
        .target_group_arns(&pair.new)
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| AwsError::new("elasticloadbalancing:DescribeTargetGroups", &pair.new, e))?;
    Ok(groups.iter().flat_map(TargetGroup::load_balancer_arns).cloned().collect())
}

fn forwarding(arn: &str, of_a_rule: bool, actions: &[Action], pair: &TargetGroupPair) -> Option<Forwarding> {
    let groups: Vec<WeightedTargetGroup> = actions.iter().flat_map(weights).collect();
    let names_one = groups.iter().any(|group| group.arn == pair.old || group.arn == pair.new);
    names_one.then(|| Forwarding {
        action: ForwardAction { arn: arn.to_owned(), groups },
        of_a_rule,
        actions: actions.to_vec(),
    })
}

/// The target groups of one action, with their weights. A target group without a weight has the weight 1.
fn weights(action: &Action) -> Vec<WeightedTargetGroup> {
    if action.r#type() != Some(&ActionTypeEnum::Forward) {
        return Vec::new();
    }
    match action.forward_config() {
        Some(forward) => forward
            .target_groups()
            .iter()
            .map(|group| WeightedTargetGroup {
                arn: group.target_group_arn().unwrap_or_default().to_owned(),
                weight: group.weight().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
            })
            .collect(),
        None => action
            .target_group_arn()
            .map(|arn| WeightedTargetGroup { arn: arn.to_owned(), weight: 1 })
            .into_iter()
            .collect(),
    }
}

impl Forwarding {
    /// Gives the new target group of the pair a percentage of the traffic. The call replaces the whole list of actions,
    /// so the other actions are sent unchanged. The client does not retry: the caller reads whether a call without an
    /// answer was carried out.
    ///
    /// # Errors
    /// `ModifyListener` or `ModifyRule` failed.
    pub async fn set_percent(
        &self,
        aws: &Aws,
        pair: &TargetGroupPair,
        percent: u8,
    ) -> Result<(), StageError> {
        let actions = Some(self.actions.iter().map(|action| weighted(action, pair, percent)).collect());
        let arn = self.action.arn.as_str();
        let client = &aws.once.elbv2;
        if self.of_a_rule {
            let answer = client.modify_rule().rule_arn(arn).set_actions(actions).send().await;
            answer.map_err(|e| AwsError::new("elasticloadbalancing:ModifyRule", arn, e))?;
        } else {
            let answer = client.modify_listener().listener_arn(arn).set_default_actions(actions).send().await;
            answer.map_err(|e| AwsError::new("elasticloadbalancing:ModifyListener", arn, e))?;
        }
        Ok(())
    }
}

/// The same action in a form that the API accepts, with the weights of the pair.
fn weighted(action: &Action, pair: &TargetGroupPair, percent: u8) -> Action {
    let mut action = action.clone();
    // AWS does not return the client secret. Without it the call would be refused, or the secret lost.
    if let Some(oidc) = &mut action.authenticate_oidc_config {
        oidc.use_existing_client_secret = Some(true);
    }
    let named = weights(&action);
    if !named.iter().any(|group| group.arn == pair.old || group.arn == pair.new) {
        return action;
    }
    let tuple = |group: &WeightedTargetGroup| {
        let weight = pair.weight(&group.arn, percent).unwrap_or(group.weight);
        TargetGroupTuple::builder()
            .target_group_arn(&group.arn)
            .weight(i32::try_from(weight).unwrap_or(i32::MAX))
            .build()
    };
    let stickiness =
        action.forward_config.as_ref().and_then(|forward| forward.target_group_stickiness_config.clone());
    action.forward_config = Some(
        ForwardActionConfig::builder()
            .set_target_groups(Some(named.iter().map(tuple).collect()))
            .set_target_group_stickiness_config(stickiness)
            .build(),
    );
    // For one target group the answer has both members; for two the call takes only `ForwardConfig`.
    action.target_group_arn = None;
    action
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{AuthenticateOidcActionConfig, TargetGroupStickinessConfig};

    fn pair() -> TargetGroupPair {
        TargetGroupPair { old: "blue".into(), new: "green".into() }
    }

    fn forward(groups: &[(&str, i32)]) -> Action {
        let tuple = |(arn, weight): &(&str, i32)| {
            TargetGroupTuple::builder().target_group_arn(*arn).weight(*weight).build()
        };
        let sticky = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(600).build();
        Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .order(2)
            .forward_config(
                ForwardActionConfig::builder()
                    .set_target_groups(Some(groups.iter().map(tuple).collect()))
                    .target_group_stickiness_config(sticky)
                    .build(),
            )
            .build()
    }

    #[test]
    fn only_the_weights_change() {
        let oidc = AuthenticateOidcActionConfig::builder().issuer("https://login").client_id("web").build();
        let login = Action::builder()
            .r#type(ActionTypeEnum::AuthenticateOidc)
            .order(1)
            .authenticate_oidc_config(oidc)
            .build();
        let sent = weighted(&login, &pair(), 25);
        let kept = sent.authenticate_oidc_config().unwrap();
        assert_eq!(
            (sent.order(), kept.issuer(), kept.client_id()),
            (Some(1), Some("https://login"), Some("web"))
        );
        assert_eq!(
            kept.use_existing_client_secret(),
            Some(true),
            "AWS does not return the secret, and it must not be lost"
        );

        let sent = weighted(&forward(&[("blue", 1), ("green", 0)]), &pair(), 25);
        let config = sent.forward_config().unwrap();
        let weights: Vec<_> = config
            .target_groups()
            .iter()
            .map(|g| (g.target_group_arn().unwrap(), g.weight().unwrap()))
            .collect();
        assert_eq!((sent.order(), weights), (Some(2), vec![("blue", 75), ("green", 25)]));
        let sticky = config.target_group_stickiness_config().unwrap();
        assert_eq!((sticky.enabled(), sticky.duration_seconds()), (Some(true), Some(600)));
        assert_eq!(sent.target_group_arn(), None, "two target groups are in ForwardConfig only");

        let other = forward(&[("admin", 3), ("metrics", 4)]);
        assert_eq!(weighted(&other, &pair(), 25), other, "an action without the pair is unchanged");
    }

    #[test]
    fn actions_are_found_by_either_target_group_of_the_pair() {
        let found =
            forwarding("listener", false, &[forward(&[("green", 0), ("admin", 5)])], &pair()).unwrap();
        let weights: Vec<_> =
            found.action.groups.iter().map(|group| (group.arn.as_str(), group.weight)).collect();
        assert_eq!(weights, [("green", 0), ("admin", 5)]);
        assert!(forwarding("listener", false, &[forward(&[("admin", 5)])], &pair()).is_none());
        let plain = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("blue").build();
        let found = forwarding("rule", true, &[plain], &pair()).unwrap();
        assert_eq!(found.action.groups, [WeightedTargetGroup { arn: "blue".into(), weight: 1 }]);
    }
}
