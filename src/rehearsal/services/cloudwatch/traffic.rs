//! The traffic through target groups, minute by minute, and the metrics AWS would publish of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::elbv2::{self, Health};
use super::super::support::{Place, float};
use super::MINUTE_MS;
use super::metrics::{MetricKey, Samples};

/// One-minute data is kept for fifteen days.
const KEPT_MINUTES: usize = 15 * 24 * 60;
/// How response times spread around their mean: share of requests, multiple of the mean. The mean of it is 1.
const SPREAD: [(f64, f64); 5] = [(0.50, 0.8), (0.25, 1.0), (0.15, 1.25), (0.08, 1.6), (0.02, 1.725)];
/// What an instance that serves nothing uses of its CPU, in per cent.
const IDLE_CPU: f64 = 3.0;
/// What one request a minute adds.
const CPU_PER_REQUEST: f64 = 0.1;

/// The recorded minutes of one target group.
#[derive(Clone, Debug)]
pub struct Traffic {
    place: Place,
    /// `app/NAME/ID`, the value of the dimension `LoadBalancer`.
    load_balancer: String,
    /// `targetgroup/NAME/ID`, the value of the dimension `TargetGroup`.
    group: String,
    rate: f64,
    mix: Arc<Mix>,
    /// Parts of requests and errors not yet counted, so that sums come out right.
    requests_left: f64,
    errors_left: f64,
    minutes: Vec<Minute>,
}

/// Who serves a group, and how.
#[derive(Clone, Debug, Default)]
struct Mix {
    /// Instances that serve, with their Auto Scaling group.
    serving: Vec<(String, Option<String>)>,
    /// Error rate, mean seconds to answer, and share of the requests, of instances that behave alike.
    classes: Vec<Class>,
    unhealthy: usize,
}

#[derive(Clone, Debug)]
struct Class {
    share: f64,
    error_rate: f64,
    seconds: f64,
    /// Share of slow requests, and their mean seconds.
    slow: (f64, f64),
}

#[derive(Clone, Debug)]
struct Minute {
    at: i64,
    requests: f64,
    errors: f64,
    /// Requests no target took.
    unserved: f64,
    mix: Arc<Mix>,
}

/// Records the minute that ends at `at`.
pub(super) fn record(world: &mut World, at: Time) {
    if world.cloudwatch.traffic_epoch != Some(world.elbv2.epoch) {
        work_out(world);
        world.cloudwatch.traffic_epoch = Some(world.elbv2.epoch);
    }
    for traffic in world.cloudwatch.traffic.values_mut() {
        if traffic.mix.serving.is_empty() && traffic.mix.unhealthy == 0 && traffic.rate <= 0.0 {
            continue;
        }
        let arriving = whole(traffic.rate, &mut traffic.requests_left);
        let served = if traffic.mix.serving.is_empty() { 0.0 } else { arriving };
        let expected: f64 = traffic.mix.classes.iter().map(|c| served * c.share * c.error_rate).sum();
        let errors = whole(expected, &mut traffic.errors_left).min(served);
        traffic.minutes.push(Minute {
            at: at.0 - MINUTE_MS,
            requests: served,
            errors,
            unserved: arriving - served,
            mix: Arc::clone(&traffic.mix),
        });
        if traffic.minutes.len() > KEPT_MINUTES + 1440 {
            traffic.minutes.drain(..1440);
        }
    }
}

/// The whole part of what has come up, keeping the rest for later.
fn whole(expected: f64, left: &mut f64) -> f64 {
    let total = expected + *left;
    // Sums of fractions fall a hair short of the whole number they mean.
    let whole = (total + 1e-9).floor();
    *left = total - whole;
    whole
}

/// Works out anew who serves what.
fn work_out(world: &mut World) {
    let rates = elbv2::traffic(world);
    for traffic in world.cloudwatch.traffic.values_mut() {
        traffic.rate = 0.0;
        traffic.mix = Arc::default();
    }
    for (arn, (load_balancer, rate)) in rates {
        let Some(group) = world.elbv2.target_groups.get(&arn) else { continue };
        let mut mix = Mix::default();
        for ((id, _), target) in &group.targets {
            let instance = world.ec2.instances.get(id).filter(|i| i.serves());
            match (target.health, instance) {
                (Health::Healthy, Some(instance)) => {
                    let group = instance.tags.get("aws:autoscaling:groupName").cloned();
                    mix.serving.push((id.clone(), group));
                    let behaviour = &instance.behaviour;
                    let (error_rate, seconds) = (behaviour.error_rate, behaviour.latency_ms / 1000.0);
                    let slow = (behaviour.slow_share.clamp(0.0, 1.0), behaviour.slow_ms / 1000.0);
                    let alike = |c: &&mut Class| {
                        [
                            (c.error_rate, error_rate),
                            (c.seconds, seconds),
                            (c.slow.0, slow.0),
                            (c.slow.1, slow.1),
                        ]
                        .into_iter()
                        .all(|(one, other)| one.total_cmp(&other).is_eq())
                    };
                    match mix.classes.iter_mut().find(alike) {
                        Some(class) => class.share += 1.0,
                        None => mix.classes.push(Class { share: 1.0, error_rate, seconds, slow }),
                    }
                }
                (Health::Unhealthy | Health::Healthy, _) => mix.unhealthy += 1,
                _ => {}
            }
        }
        let serving = float(mix.serving.len());
        for class in &mut mix.classes {
            class.share /= serving;
        }
        let dimension = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
        let place = group.place.clone();
        let traffic = world.cloudwatch.traffic.entry(arn.clone()).or_insert_with(|| Traffic {
            place,
            load_balancer: String::new(),
            group: dimension(&arn),
            rate: 0.0,
            mix: Arc::default(),
            requests_left: 0.0,
            errors_left: 0.0,
            minutes: Vec::new(),
        });
        dimension(&load_balancer).trim_start_matches("loadbalancer/").clone_into(&mut traffic.load_balancer);
        traffic.rate = rate;
        traffic.mix = Arc::new(mix);
    }
}

impl Traffic {
    fn minutes(&self, start: i64, end: i64) -> impl Iterator<Item = &Minute> {
        let from = self.minutes.partition_point(|m| m.at < start);
        self.minutes.iter().skip(from).take_while(move |m| m.at < end)
    }

    /// Whether the dimensions mean this group: by group, by load balancer, or by both.
    fn is_meant(&self, dimensions: &BTreeMap<String, String>) -> bool {
        !dimensions.is_empty()
            && dimensions.iter().all(|(name, value)| match name.as_str() {
                "LoadBalancer" => *value == self.load_balancer,
                "TargetGroup" => *value == self.group,
                _ => false,
            })
    }
}

/// The samples of one of AWS's own metrics from `start` to before `end`; `None` when it is not one of them.
pub(super) fn samples(world: &World, here: &Place, key: &MetricKey, start: i64, end: i64) -> Option<Samples> {
    let all = world.cloudwatch.traffic.values().filter(|t| t.place == *here);
    let mut samples = Samples::default();
    match key.namespace.as_str() {
        "AWS/ApplicationELB" => {
            for traffic in all.filter(|t| t.is_meant(&key.dimensions)) {
                let of_group = key.dimensions.contains_key("TargetGroup");
                for minute in traffic.minutes(start, end) {
                    minute.add(&key.name, of_group, &mut samples);
                }
            }
        }
        "AWS/EC2" if key.name == "CPUUtilization" && key.dimensions.len() == 1 => {
            let (name, value) = key.dimensions.first_key_value()?;
            for minute in all.flat_map(|t| t.minutes(start, end)) {
                let each = minute.requests / float(minute.mix.serving.len().max(1));
                let meant = minute.mix.serving.iter().filter(|(id, group)| match name.as_str() {
                    "InstanceId" => id == value,
                    "AutoScalingGroupName" => group.as_ref() == Some(value),
                    _ => false,
                });
                for _ in meant {
                    samples.add((IDLE_CPU + CPU_PER_REQUEST * each).min(100.0), 1.0);
                }
            }
            let instance = world.ec2.instances.get(value).filter(|i| i.state.is_live());
            if samples.is_empty() && name == "InstanceId" && instance.is_some_and(|i| i.launched.0 < end) {
                samples.add(IDLE_CPU, 1.0);
            }
        }
        _ => return None,
    }
    Some(samples)
}

impl Minute {
    /// Adds this minute's part of a metric; counts of nothing are not reported at all.
    fn add(&self, name: &str, of_group: bool, into: &mut Samples) {
        let mut count = |value: f64| {
            if value > 0.0 {
                into.add(value, 1.0);
            }
        };
        match name {
            "RequestCount" => count(self.requests + if of_group { 0.0 } else { self.unserved }),
            "HTTPCode_Target_2XX_Count" => count(self.requests - self.errors),
            "HTTPCode_Target_5XX_Count" => count(self.errors),
            "HTTPCode_ELB_5XX_Count" if !of_group => count(self.unserved),
            "RequestCountPerTarget" if of_group && !self.mix.serving.is_empty() => {
                count(self.requests / float(self.mix.serving.len()));
            }
            "HealthyHostCount" if of_group => into.add(float(self.mix.serving.len()), 1.0),
            "UnHealthyHostCount" if of_group => into.add(float(self.mix.unhealthy), 1.0),
            "TargetResponseTime" if self.requests > 0.0 => {
                for class in &self.mix.classes {
                    for (share, multiple) in SPREAD {
                        let requests = self.requests * class.share * share;
                        into.add(class.seconds * multiple, requests * (1.0 - class.slow.0));
                        if class.slow.0 > 0.0 {
                            into.add(class.slow.1 * multiple, requests * class.slow.0);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// AWS's own metrics that have data.
pub(super) fn known(world: &World, here: &Place) -> Vec<MetricKey> {
    let mut known = Vec::new();
    let names = [
        "RequestCount",
        "HTTPCode_Target_2XX_Count",
        "HTTPCode_Target_5XX_Count",
        "HTTPCode_ELB_5XX_Count",
        "TargetResponseTime",
        "RequestCountPerTarget",
        "HealthyHostCount",
        "UnHealthyHostCount",
    ];
    for traffic in world.cloudwatch.traffic.values().filter(|t| t.place == *here && !t.minutes.is_empty()) {
        let group = ("TargetGroup".to_owned(), traffic.group.clone());
        let balancer = ("LoadBalancer".to_owned(), traffic.load_balancer.clone());
        for dimensions in [vec![balancer.clone()], vec![group.clone(), balancer], vec![group]] {
            known.extend(names.map(|name| MetricKey {
                namespace: "AWS/ApplicationELB".into(),
                name: name.into(),
                dimensions: dimensions.iter().cloned().collect(),
            }));
        }
    }
    for instance in world.ec2.instances.values().filter(|i| here.holds(&i.account, &i.region)) {
        let group = instance.tags.get("aws:autoscaling:groupName");
        let by_group = group.map(|name| ("AutoScalingGroupName".to_owned(), name.clone()));
        for dimension in
            [Some(("InstanceId".to_owned(), instance.id.clone())), by_group].into_iter().flatten()
        {
            known.push(MetricKey {
                namespace: "AWS/EC2".into(),
                name: "CPUUtilization".into(),
                dimensions: BTreeMap::from([dimension]),
            });
        }
    }
    known.retain(|key| samples(world, here, key, 0, i64::MAX).is_some_and(|s| !s.is_empty()));
    known.sort();
    known.dedup();
    known
}
