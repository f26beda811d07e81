//! Simulated traffic through target groups, and the metrics that AWS publishes about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2::Instance;
use super::super::elbv2::{self, Health};
use super::super::support::{Place, float};
use super::MINUTE_MS;
use super::metrics::{MetricKey, Samples};

/// How many minutes of one-minute data are kept: fifteen days.
const KEPT_MINUTES: usize = 15 * 24 * 60;
/// The distribution of response times around their mean: share of requests, multiple of the mean. Its mean is 1.
pub(super) const SPREAD: [(f64, f64); 5] =
    [(0.50, 0.8), (0.25, 1.0), (0.15, 1.25), (0.08, 1.6), (0.02, 1.725)];
/// The CPU utilization of an idle instance, in percent.
const IDLE_CPU: f64 = 3.0;
/// The CPU utilization that one request per minute adds, in percent.
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
    /// Fractions of requests and errors carried over to the next minute, so that sums are exact.
    requests_left: f64,
    errors_left: f64,
    /// The fractions of each instance's errors, if instances publish metrics.
    left_by_instance: BTreeMap<String, f64>,
    /// The next instance of the round robin.
    turn: usize,
    minutes: Vec<Minute>,
}

/// The instances that serve a group, and how they behave.
#[derive(Clone, Debug, Default)]
pub(super) struct Mix {
    /// The serving instances.
    pub(super) serving: Vec<Serving>,
    /// Error rate, mean response time and share of the requests, for each set of instances with the same behavior.
    pub(super) classes: Vec<Class>,
    unhealthy: usize,
}

/// A serving instance.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) id: String,
    /// Its Auto Scaling group.
    pub(super) group: Option<String>,
    /// Its index in `classes`.
    pub(super) class: usize,
    pub(super) memory_mib: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Class {
    share: f64,
    error_rate: f64,
    seconds: f64,
    /// The share of slow requests, and their mean response time in seconds.
    slow: (f64, f64),
}

impl Class {
    /// The response times of this many requests, in seconds, each with the number of requests.
    pub(super) fn answers(&self, requests: f64) -> impl Iterator<Item = (f64, f64)> {
        let (slow_share, slow_seconds) = self.slow;
        let [slow, fast] = whole_parts(requests, [slow_share, 1.0 - slow_share]);
        [(self.seconds, fast), (slow_seconds, slow)].into_iter().flat_map(|(mean, requests)| {
            let counts = whole_parts(requests, SPREAD.map(|(share, _)| share));
            SPREAD.into_iter().zip(counts).map(move |((_, multiple), count)| (mean * multiple, count))
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Minute {
    at: i64,
    requests: f64,
    errors: f64,
    /// Requests that no target served.
    unserved: f64,
    pub(super) mix: Arc<Mix>,
    /// Requests and errors of each serving instance, in the order of `mix`. Empty if instances publish nothing.
    pub(super) each: Vec<(f64, f64)>,
}

/// Records the minute that ends at `at`.
pub(super) fn record(world: &mut World, at: Time) {
    if world.cloudwatch.traffic_epoch != Some(world.elbv2.epoch) {
        work_out(world);
        world.cloudwatch.traffic_epoch = Some(world.elbv2.epoch);
    }
    let published = !world.cloudwatch.published.is_empty();
    for traffic in world.cloudwatch.traffic.values_mut() {
        if traffic.mix.serving.is_empty() && traffic.mix.unhealthy == 0 && traffic.rate <= 0.0 {
            continue;
        }
        let arriving = whole(traffic.rate, &mut traffic.requests_left);
        let served = if traffic.mix.serving.is_empty() { 0.0 } else { arriving };
        let expected: f64 = traffic.mix.classes.iter().map(|c| served * c.share * c.error_rate).sum();
        let each = if published { traffic.share_out(served) } else { Vec::new() };
        let errors = if published {
            each.iter().map(|(_, errors)| errors).sum()
        } else {
            whole(expected, &mut traffic.errors_left).min(served)
        };
        traffic.minutes.push(Minute {
            at: at.0 - MINUTE_MS,
            requests: served,
            errors,
            unserved: arriving - served,
            mix: Arc::clone(&traffic.mix),
            each,
        });
        if traffic.minutes.len() > KEPT_MINUTES + 1440 {
            traffic.minutes.drain(..1440);
        }
    }
}

/// The integer part of `expected` plus the carried fraction; the new fraction is carried over.
fn whole(expected: f64, left: &mut f64) -> f64 {
    let total = expected + *left;
    // Floating-point sums may be slightly below the exact integer.
    let whole = (total + 1e-9).floor();
    *left = total - whole;
    whole
}

/// Splits an integer by these shares into integers.
pub(super) fn whole_parts<const N: usize>(total: f64, shares: [f64; N]) -> [f64; N] {
    let (mut reached, mut given) = (0.0, 0.0);
    shares.map(|share| {
        reached += share;
        let upto = (total * reached + 1e-9).floor();
        let part = upto - given;
        given = upto;
        part
    })
}

/// A deterministic variation of up to 2% between instances of the same image.
fn unlike(id: &str) -> f64 {
    let sum = id.bytes().fold(17u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    f64::from(sum % 401) / 10_000.0 - 0.02
}

/// Recomputes which instances serve which target group.
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
                    let behavior = &instance.behavior;
                    let (error_rate, seconds) =
                        (behavior.error_rate, behavior.latency.duration().as_secs_f64());
                    let slow =
                        (behavior.slow_share.clamp(0.0, 1.0), behavior.slow_latency.duration().as_secs_f64());
                    let alike = |c: &Class| {
                        [
                            (c.error_rate, error_rate),
                            (c.seconds, seconds),
                            (c.slow.0, slow.0),
                            (c.slow.1, slow.1),
                        ]
                        .into_iter()
                        .all(|(one, other)| one.total_cmp(&other).is_eq())
                    };
                    let class = mix.classes.iter().position(alike).unwrap_or(mix.classes.len());
                    match mix.classes.get_mut(class) {
                        Some(class) => class.share += 1.0,
                        None => mix.classes.push(Class { share: 1.0, error_rate, seconds, slow }),
                    }
                    mix.serving.push(Serving {
                        id: id.clone(),
                        group: instance.tags.get("aws:autoscaling:groupName").cloned(),
                        class,
                        memory_mib: instance.behavior.memory_mib * (1.0 + unlike(id)),
                    });
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
            left_by_instance: BTreeMap::new(),
            turn: 0,
            minutes: Vec::new(),
        });
        dimension(&load_balancer).trim_start_matches("loadbalancer/").clone_into(&mut traffic.load_balancer);
        traffic.rate = rate;
        traffic.mix = Arc::new(mix);
    }
}

impl Traffic {
    /// Distributes requests to the serving instances by round robin, and computes each instance's errors.
    fn share_out(&mut self, served: f64) -> Vec<(f64, f64)> {
        let mix = Arc::clone(&self.mix);
        let serving = mix.serving.len().max(1);
        let all = float(serving);
        let each = (served / all).floor();
        let rest = served - each * all;
        let shared = mix.serving.iter().enumerate().map(|(at, one)| {
            let place = (at + serving - self.turn % serving) % serving;
            let requests = each + if float(place) < rest { 1.0 } else { 0.0 };
            let rate = mix.classes.get(one.class).map_or(0.0, |class| class.error_rate);
            let left = self.left_by_instance.entry(one.id.clone()).or_default();
            (requests, whole(requests * rate, left).min(requests))
        });
        let shared = shared.collect();
        self.turn = self.turn.wrapping_add((0..serving).take_while(|at| float(*at) < rest).count());
        shared
    }

    pub(super) fn is_in(&self, here: &Place) -> bool {
        self.place == *here
    }

    pub(super) fn mix(&self) -> &Mix {
        &self.mix
    }

    pub(super) fn minutes(&self, start: i64, end: i64) -> impl Iterator<Item = &Minute> {
        let from = self.minutes.partition_point(|m| m.at < start);
        self.minutes.iter().skip(from).take_while(move |m| m.at < end)
    }

    /// Whether the dimensions select this group: by target group, load balancer, or both.
    fn is_meant(&self, dimensions: &BTreeMap<String, String>) -> bool {
        !dimensions.is_empty()
            && dimensions.iter().all(|(name, value)| match name.as_str() {
                "LoadBalancer" => *value == self.load_balancer,
                "TargetGroup" => *value == self.group,
                _ => false,
            })
    }
}

/// The samples of one of AWS's own metrics from `start` to before `end`; `None` for other metrics.
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
                let meant = minute.mix.serving.iter().filter(|one| match name.as_str() {
                    "InstanceId" => one.id == *value,
                    "AutoScalingGroupName" => one.group.as_ref() == Some(value),
                    _ => false,
                });
                for _ in meant {
                    samples.add((IDLE_CPU + CPU_PER_REQUEST * each).min(100.0), 1.0);
                }
            }
            // CloudWatch keeps the metrics of terminated instances.
            let ran = |i: &Instance| i.ended.map_or_else(|| i.state.is_live(), |ended| ended.0 > start);
            let instance = world.ec2.instances.get(value).filter(|i| ran(i) && i.launched.0 < end);
            if samples.is_empty() && name == "InstanceId" && instance.is_some() {
                samples.add(IDLE_CPU, 1.0);
            }
        }
        _ => return None,
    }
    Some(samples)
}

impl Minute {
    /// Adds this minute's samples of a metric. Counts of zero are not reported.
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
                // Every request is one sample, so the counts are integers.
                let (mut reached, mut given) = (0.0, 0.0);
                for class in &self.mix.classes {
                    reached += class.share;
                    let upto = (self.requests * reached + 1e-6).floor();
                    let answers = class.answers(upto - given);
                    given = upto;
                    for (seconds, count) in answers {
                        if count > 0.0 {
                            into.add(seconds, count);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// The keys of AWS's own metrics that have data.
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
    known.extend(super::agent::known(world, here));
    known.retain(|key| !super::query::samples(world, here, key, 0, i64::MAX).is_empty());
    known.sort();
    known.dedup();
    known
}
