//! What the unit tests of several modules share.

pub mod fixture;
