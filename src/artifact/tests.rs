//! Specifications of the artifact room.
