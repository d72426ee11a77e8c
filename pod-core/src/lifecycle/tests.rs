//! Tests of the whole state machine: [`rules`], [`probes`] and [`hooks`] have one test per rule of the kubelet,
//! [`simulation`] checks invariants over months of random pod life.

mod hooks;
mod probes;
mod rules;
mod simulation;
