//! Tests of the whole state machine: [`rules`] and [`probes`] have one test per rule of the kubelet, [`simulation`] checks invariants
//! over months of random pod life.

mod probes;
mod rules;
mod simulation;
