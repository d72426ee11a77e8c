//! The host's name servers: which there are (`resolvers`), whose turn it is (`turns`), and one question to one of them
//! (`attempt`).

mod attempt;
mod resolvers;
mod turns;

pub(super) use attempt::{Attempt, Progress};
pub(super) use resolvers::Resolvers;
pub(super) use turns::{Next, Turns};
