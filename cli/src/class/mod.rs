//! `mini class`: a room of machines, and nobody's network.
//!
//! `check` says what a machine gives lessons: [`look`] reads what can be read, [`trial`] makes what cannot be believed before it
//! has been made, and [`need`] says what it comes to. [`bundle`] is one file with everything that another machine needs.

pub(crate) mod bundle;
pub(crate) mod look;
pub(crate) mod need;
pub(crate) mod trial;
