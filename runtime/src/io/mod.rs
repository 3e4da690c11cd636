//! What flows in and out of a container: state machines that the supervisor's loop drives.

pub mod log;
