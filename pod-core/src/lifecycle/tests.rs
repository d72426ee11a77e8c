//! Tests of the whole state machine: [`rules`] has one test per rule of the kubelet, [`simulation`] checks invariants
//! over months of random pod life.

mod rules;
mod simulation;
