//! The alternate group of a blue/green promotion, behind the same listener as the group in production.

use serde_json::json;

use super::super::services::autoscaling;
use super::{Fixtures, SetupError, text};

/// The group in production, whose settings the alternate group copies.
pub(super) struct First<'a> {
    pub group: autoscaling::NewGroup,
    /// The ARN of its target group.
    pub target_group: &'a str,
    /// `app/NAME/ID`.
    pub load_balancer: &'a str,
}

impl Fixtures<'_> {
    /// Creates an empty group with the same launch template. Its target group has weight 0 in the same listener.
    pub(super) fn create_alternate_group(&mut self, name: &str, first: First<'_>) -> Result<(), SetupError> {
        let made = self.ask(
            "elbv2",
            "CreateTargetGroup",
            json!({"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-production",
                   "HealthCheckIntervalSeconds": 10, "HealthyThresholdCount": 2}),
        )?;
        let target_group = text(&made, "/TargetGroups/0/TargetGroupArn");
        let balancers = self.ask("elbv2", "DescribeLoadBalancers", json!({}))?;
        let arn = balancers
            .pointer("/LoadBalancers")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .map(|balancer| text(balancer, "/LoadBalancerArn"))
            .find(|arn| arn.ends_with(first.load_balancer))
            .unwrap_or_default();
        let listeners = self.ask("elbv2", "DescribeListeners", json!({"LoadBalancerArn": arn}))?;
        let groups = json!([
            {"TargetGroupArn": first.target_group, "Weight": 100},
            {"TargetGroupArn": target_group, "Weight": 0},
        ]);
        self.ask(
            "elbv2",
            "ModifyListener",
            json!({"ListenerArn": text(&listeners, "/Listeners/0/ListenerArn"),
                   "DefaultActions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}),
        )?;
        let second = autoscaling::NewGroup {
            name: name.to_owned(),
            size: 0,
            min_size: 0,
            target_groups: vec![target_group],
            tags: [("Name".to_owned(), name.to_owned())].into(),
            ..first.group
        };
        autoscaling::seed_group(&mut self.world, second);
        Ok(())
    }
}
