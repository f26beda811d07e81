//! Custom metrics that an agent on every instance publishes, by Auto Scaling group and by instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::super::world::World;
use super::super::support::Place;
use super::metrics::{MetricKey, Samples};
use super::traffic::{Minute, Mix};

/// A metric that every instance publishes each minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub namespace: String,
    pub name: String,
    /// All of its dimensions. In a value, `$group` is the instance's Auto Scaling group and `$instance` its id.
    pub dimensions: BTreeMap<String, String>,
    pub measure: Measure,
}

/// What a published metric measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// The number of requests to the instance in the minute.
    Requests,
    /// The number of those requests that failed.
    Errors,
    /// The response time of each request; `unit` is one second in the metric's unit.
    Time { unit: f64 },
    /// Memory in use, in megabytes.
    Memory,
}

/// Makes every instance publish these metrics from now on.
pub fn publish(world: &mut World, metrics: Vec<Published>) {
    world.cloudwatch.published.extend(metrics);
}

/// The published metric that a key may belong to.
fn meant<'w>(world: &'w World, key: &MetricKey) -> Option<&'w Published> {
    world.cloudwatch.published.iter().find(|metric| {
        metric.namespace == key.namespace
            && metric.name == key.name
            && metric.dimensions.len() == key.dimensions.len()
            && metric.dimensions.keys().all(|name| key.dimensions.contains_key(name))
    })
}

/// Whether an instance publishes under exactly these dimensions.
fn publishes(metric: &Published, key: &MetricKey, id: &str, group: Option<&str>) -> bool {
    metric.dimensions.iter().all(|(name, template)| {
        if template.contains("$group") && group.is_none() {
            return false;
        }
        let value = template.replace("$group", group.unwrap_or_default()).replace("$instance", id);
        key.dimensions.get(name) == Some(&value)
    })
}

/// The samples of a published metric; `None` if the key is not one.
pub(super) fn samples(world: &World, here: &Place, key: &MetricKey, start: i64, end: i64) -> Option<Samples> {
    let metric = meant(world, key)?;
    let mut samples = Samples::default();
    for traffic in world.cloudwatch.traffic.values().filter(|traffic| traffic.is_in(here)) {
        // The serving instances change rarely, so the matching ones are computed once per change.
        let mut known: Option<(Arc<Mix>, Vec<usize>)> = None;
        for minute in traffic.minutes(start, end) {
            let fresh = known.as_ref().is_none_or(|(mix, _)| !Arc::ptr_eq(mix, &minute.mix));
            if fresh {
                let serving = minute.mix.serving.iter().enumerate();
                let meant = serving
                    .filter(|(_, one)| publishes(metric, key, &one.id, one.group.as_deref()))
                    .map(|(at, _)| at)
                    .collect();
                known = Some((Arc::clone(&minute.mix), meant));
            }
            for &at in known.iter().flat_map(|(_, meant)| meant) {
                add(metric.measure, minute, at, &mut samples);
            }
        }
    }
    Some(samples)
}

fn add(measure: Measure, minute: &Minute, at: usize, samples: &mut Samples) {
    let (Some(one), Some(&(requests, errors))) = (minute.mix.serving.get(at), minute.each.get(at)) else {
        return;
    };
    match measure {
        Measure::Requests => samples.add(requests, 1.0),
        Measure::Errors => samples.add(errors, 1.0),
        Measure::Memory => samples.add(one.memory_mib, 1.0),
        Measure::Time { unit } => {
            let class = minute.mix.classes.get(one.class);
            for (seconds, count) in class.into_iter().flat_map(|class| class.answers(requests)) {
                if count > 0.0 {
                    samples.add(seconds * unit, count);
                }
            }
        }
    }
}

/// The metric keys that have data, for each instance that serves now.
pub(super) fn known(world: &World, here: &Place) -> Vec<MetricKey> {
    let mut known = Vec::new();
    for traffic in world.cloudwatch.traffic.values().filter(|traffic| traffic.is_in(here)) {
        for one in &traffic.mix().serving {
            known.extend(world.cloudwatch.published.iter().map(|metric| {
                MetricKey {
                    namespace: metric.namespace.clone(),
                    name: metric.name.clone(),
                    dimensions: metric
                        .dimensions
                        .iter()
                        .map(|(name, value)| {
                            let group = one.group.as_deref().unwrap_or_default();
                            (name.clone(), value.replace("$group", group).replace("$instance", &one.id))
                        })
                        .collect(),
                }
            }));
        }
    }
    known
}
