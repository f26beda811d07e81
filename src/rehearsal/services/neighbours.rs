//! The other services as the ones in this folder call them.
//!
//! STAND-INS: until S3, EC2, Auto Scaling, ELBv2 and CloudWatch are merged, this file holds the smallest
//! things with their names and signatures. After the merge its whole body is
//! `pub use super::{autoscaling, cloudwatch, ec2, elbv2, s3};`

/// The state of the stand-ins, kept in `imagebuilder::State` for want of a better place.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    objects: std::collections::BTreeMap<(String, String), bytes::Bytes>,
    images: std::collections::BTreeMap<String, (ec2::NewImage, super::super::time::Time)>,
    instances: std::collections::BTreeMap<String, ec2::Instance>,
}

pub mod s3 {
    use bytes::Bytes;

    use super::super::super::world::World;

    pub fn put(world: &mut World, bucket: &str, key: &str, bytes: Bytes) {
        world.imagebuilder.neighbours.objects.insert((bucket.to_owned(), key.to_owned()), bytes);
    }

    pub fn get(world: &World, bucket: &str, key: &str) -> Option<Bytes> {
        world.imagebuilder.neighbours.objects.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }
}

pub mod ec2 {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::super::behaviour::Behaviour;
    use super::super::super::time::Time;
    use super::super::super::world::World;

    #[derive(Clone, Debug)]
    pub struct NewImage {
        pub name: String,
        pub account: String,
        pub region: String,
        pub description: String,
        pub tags: BTreeMap<String, String>,
        pub source_image: Option<String>,
        pub behaviour: Behaviour,
        pub available_after: Duration,
        pub snapshots: usize,
    }

    #[derive(Clone, Debug)]
    pub struct Instance {
        pub state: String,
        pub image_id: String,
        pub status_ok: bool,
        pub tags: BTreeMap<String, String>,
        pub account: String,
        pub region: String,
        pub launched: Time,
        pub instance_profile: Option<String>,
    }

    pub fn register_image(world: &mut World, image: NewImage) -> String {
        let id = world.ids.ec2("ami");
        let available = world.now + image.available_after;
        world.imagebuilder.neighbours.images.insert(id.clone(), (image, available));
        id
    }

    pub fn instance<'w>(world: &'w World, id: &str) -> Option<&'w Instance> {
        world.imagebuilder.neighbours.instances.get(id)
    }

    pub fn behaviour<'w>(world: &'w World, ami: &str) -> Option<&'w Behaviour> {
        world.imagebuilder.neighbours.images.get(ami).map(|(image, _)| &image.behaviour)
    }
}
