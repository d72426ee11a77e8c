//! Everything about pods, and nothing about terminals.
//!
//! A module uses only those listed below it:
//!
//! - [`play`]: plan against what is recorded; make, change and remove workloads; undo.
//! - [`observe`]: views of pods and workloads, and waiting for them.
//! - [`repair`]: what every command does first.
//! - [`supervisor`]: the detached process of one workload.
//! - [`sandbox`]: makes and removes sandboxes and containers, in workers.
//! - [`log`]: logs of containers in CRI format, and the events of an instance.
//! - [`workload`]: which pods of a workload should exist now. Pure.
//! - [`lifecycle`]: one pod as a pure state machine.
//! - [`generate`]: what is recorded, as manifests. Pure.
//! - [`runtime`]: OCI specs, and create/start/exec/delete behind one trait.
//! - [`volume`]: every volume source as a path to mount.
//! - [`image`]: references, pull, store, unpack, config, overlay.
//! - [`plan`]: objects + image configs + flags, fully resolved. Pure.
//! - [`manifest`]: YAML to typed objects, with positions, validation and diagnostics.
//! - [`kind`]: one enum of kinds, and references to objects. Pure.
//! - [`inherited`]: what our long-lived processes have from their starter, and how they get rid of it.
//! - [`store`]: what is on disk: layout, records, locks, atomic writes.
//! - [`version`]: the version of records, states and the protocol of supervisors.

pub mod controller;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod generate;
pub mod image;
pub mod inherited;
pub mod kind;
pub mod lifecycle;
pub mod log;
pub mod manifest;
pub mod observe;
pub mod plan;
pub mod play;
pub mod repair;
pub mod runtime;
pub mod sandbox;
pub mod store;
pub mod supervisor;
pub mod version;
pub mod volume;
pub mod workload;
