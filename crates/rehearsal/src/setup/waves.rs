//! Further Auto Scaling groups of a service, which a release promotes to wave by wave.

use super::super::scenario::Scenario;
use super::super::services::autoscaling;
use super::{Fixtures, Fleet, SetupError, WaveGroups};

/// The number of instances in each group.
const INSTANCES: usize = 2;

impl Fixtures<'_> {
    /// Creates the groups of a wave on the current image. In the service's own Region they use its load balancer; in
    /// another Region they have their own load balancer and alarms.
    pub(super) fn create_wave_groups(
        &mut self,
        further: &WaveGroups,
        first: &autoscaling::NewGroup,
        (fleet, scenario): (&Fleet, &Scenario),
    ) -> Result<(), SetupError> {
        let mut like = first.clone();
        if let Some(region) = &further.region {
            let image = self.earlier_image(region, "current", scenario);
            like = self.group_on(&image, region, fleet, scenario);
            for alarm in &further.alarms {
                self.alarm(alarm, region, &fleet.load_balancer, scenario)?;
            }
        }
        for name in &further.groups {
            let group = autoscaling::NewGroup {
                name: name.clone(),
                size: INSTANCES,
                tags: [("Name".to_owned(), name.clone())].into(),
                ..like.clone()
            };
            autoscaling::seed_group(&mut self.world, sized(group));
        }
        Ok(())
    }
}

/// Sets the sizes, with room for a refresh that launches before it terminates.
fn sized(group: autoscaling::NewGroup) -> autoscaling::NewGroup {
    autoscaling::NewGroup { min_size: 1, max_size: 2 * group.size, ..group }
}
