//! The embedded AWS: real wire protocols in front of a world that moves in virtual time.
//!
//! Nothing here uses another module of this crate: shared code would share the bug.

pub mod agenda;
pub mod behaviour;
pub mod call;
pub mod cloud;
pub mod container;
pub mod estate;
pub mod external_events;
pub mod faults;
pub mod ids;
pub mod listen;
pub mod scenario;
pub mod services;
pub mod setup;
pub mod tape;
pub mod time;
pub mod timeline;
pub mod transcript;
pub mod wire;
pub mod world;
