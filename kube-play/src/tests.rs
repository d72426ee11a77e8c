//! Helpers that unit tests of several modules share.

pub mod fixture;
