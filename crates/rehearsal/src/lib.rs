//! An embedded AWS: a simulation that speaks AWS's real wire protocols and runs in virtual time.
//!
//! It shares no code with the program that it tests: a bug in shared code would hide itself.
//!
//! [`world`] and [`services`] name each other on purpose. [`world::World`] holds the state of every service and
//! passes it to each handler, because services change each other's state: terminating an EC2 instance deregisters its
//! load balancer target and makes Auto Scaling launch a replacement; an Image Builder build registers EC2 images and
//! writes SSM parameters. Each service therefore takes the whole world, and the world dispatches calls and scheduled
//! events to the services.

pub mod call;
pub mod cloud;
pub mod container_behavior;
pub mod external_events;
pub mod faults;
pub mod ids;
pub mod instance_behavior;
pub mod listen;
mod one_of;
pub mod other_resources;
pub mod partition;
pub mod recording;
pub mod scenario;
pub mod schedule;
pub mod services;
pub mod setup;
pub mod shared;
pub mod span;
pub mod time;
pub mod timeline;
pub mod transcript;
pub mod wire;
pub mod world;
