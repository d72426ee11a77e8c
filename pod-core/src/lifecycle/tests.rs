//! Tests of the whole state machine: [`rules`] has one test per rule of the kubelet, [`simulation`] runs months of
//! random pod life against invariants.

mod rules;
mod simulation;
