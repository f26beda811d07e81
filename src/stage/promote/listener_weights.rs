//! The load balancer's forward actions, in which two target groups share the traffic by weight.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroup, TargetGroupTuple,
};

use super::turns::{Pair, Route, Weighted};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// A list of actions that forwards to one of a pair: a listener's own, or a rule's.
#[derive(Clone, Debug)]
pub struct Forwarding {
    pub route: Route,
    /// The ARN is a rule's; otherwise it is the listener's, whose own actions are its last rule.
    of_a_rule: bool,
    actions: Vec<Action>,
}

/// Every list of actions that forwards to one of the pair, in the order of their ARNs.
///
/// # Errors
/// As the calls.
pub async fn of(aws: &Aws, pair: &Pair) -> Result<Vec<Forwarding>, StageError> {
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
            // The default rule is the listener's own actions once more, and cannot be modified as a rule.
            for rule in rules.iter().filter(|rule| rule.is_default() != Some(true)) {
                found.extend(forwarding(rule.rule_arn().unwrap_or_default(), true, rule.actions(), pair));
            }
        }
    }
    found.sort_by(|one, other| one.route.arn.cmp(&other.route.arn));
    Ok(found)
}

/// The load balancers that send to one of the pair.
async fn balancers(aws: &Aws, pair: &Pair) -> Result<BTreeSet<String>, StageError> {
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

fn forwarding(arn: &str, of_a_rule: bool, actions: &[Action], pair: &Pair) -> Option<Forwarding> {
    let groups: Vec<Weighted> = actions.iter().flat_map(weights).collect();
    let names_one = groups.iter().any(|group| group.arn == pair.old || group.arn == pair.new);
    names_one.then(|| Forwarding {
        route: Route { arn: arn.to_owned(), groups },
        of_a_rule,
        actions: actions.to_vec(),
    })
}

/// The target groups of one action, with their weights. A group without a weight has the weight 1.
fn weights(action: &Action) -> Vec<Weighted> {
    if action.r#type() != Some(&ActionTypeEnum::Forward) {
        return Vec::new();
    }
    match action.forward_config() {
        Some(forward) => forward
            .target_groups()
            .iter()
            .map(|group| Weighted {
                arn: group.target_group_arn().unwrap_or_default().to_owned(),
                weight: group.weight().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
            })
            .collect(),
        None => action
            .target_group_arn()
            .map(|arn| Weighted { arn: arn.to_owned(), weight: 1 })
            .into_iter()
            .collect(),
    }
}

impl Forwarding {
    /// Gives the new group of the pair a share of the traffic, in percent. The call replaces the whole list of
    /// actions, so the whole list is sent: what else is in it stays as it is. Sent once: whether a call whose answer
    /// was lost was carried out is seen by looking again.
    ///
    /// # Errors
    /// As the call.
    pub async fn share(&self, aws: &Aws, pair: &Pair, percent: u8) -> Result<(), StageError> {
        let actions = Some(self.actions.iter().map(|action| weighted(action, pair, percent)).collect());
        let arn = self.route.arn.as_str();
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

/// The action as it was, in a form that can be sent back, with the pair's weights.
fn weighted(action: &Action, pair: &Pair, percent: u8) -> Action {
    let mut action = action.clone();
    // A client secret is never told; left out, the call would be refused or the secret lost.
    if let Some(oidc) = &mut action.authenticate_oidc_config {
        oidc.use_existing_client_secret = Some(true);
    }
    let named = weights(&action);
    if !named.iter().any(|group| group.arn == pair.old || group.arn == pair.new) {
        return action;
    }
    let tuple = |group: &Weighted| {
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
    // Of one group alone the answer has both members; of two the call takes only the configuration.
    action.target_group_arn = None;
    action
}

/// Gives a group this template version and size, whatever it had. Sent once, as [`Forwarding::share`].
///
/// # Errors
/// As the call.
pub async fn fill(
    aws: &Aws,
    group: &str,
    (template, version): (&str, i64),
    [size, most]: [u32; 2],
) -> Result<(), StageError> {
    use aws_sdk_autoscaling::types::LaunchTemplateSpecification;
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let launches = LaunchTemplateSpecification::builder()
        .launch_template_id(template)
        .version(version.to_string())
        .build();
    let answer = aws
        .once
        .autoscaling
        .update_auto_scaling_group()
        .auto_scaling_group_name(group)
        .launch_template(launches)
        // Without traffic, a scaling policy would take instances away that are about to be needed.
        .min_size(count(size))
        .max_size(count(most))
        .desired_capacity(count(size))
        .send()
        .await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Changes the least size of a group. Sent once.
///
/// # Errors
/// As the call.
pub async fn floor(aws: &Aws, group: &str, size: u32) -> Result<(), StageError> {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let answer = call.min_size(size).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Lets a group's instances drain and end; what it may grow to stays. Sent once.
///
/// # Errors
/// As the call.
pub async fn empty(aws: &Aws, group: &str) -> Result<(), StageError> {
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let answer = call.min_size(0).desired_capacity(0).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_elasticloadbalancingv2::types::{AuthenticateOidcActionConfig, TargetGroupStickinessConfig};

    fn pair() -> Pair {
        Pair { old: "blue".into(), new: "green".into() }
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
    fn all_but_the_weights_is_sent_back_as_it_was() {
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
            "the secret is never told, and must not be lost"
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
        assert_eq!(sent.target_group_arn(), None, "two groups stand in the configuration only");

        let other = forward(&[("admin", 3), ("metrics", 4)]);
        assert_eq!(weighted(&other, &pair(), 25), other, "what is not about the pair is not touched");
    }

    #[test]
    fn a_list_is_found_by_either_of_the_pair_and_told_whole() {
        let found =
            forwarding("listener", false, &[forward(&[("green", 0), ("admin", 5)])], &pair()).unwrap();
        let said: Vec<_> =
            found.route.groups.iter().map(|group| (group.arn.as_str(), group.weight)).collect();
        assert_eq!(said, [("green", 0), ("admin", 5)]);
        assert!(forwarding("listener", false, &[forward(&[("admin", 5)])], &pair()).is_none());
        let plain = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("blue").build();
        let found = forwarding("rule", true, &[plain], &pair()).unwrap();
        assert_eq!(found.route.groups, [Weighted { arn: "blue".into(), weight: 1 }]);
    }
}
