//! Everything about pods, and nothing about terminals.
//!
//! A module uses only those listed below it:
//!
//! - [`play`]: plan against what is recorded; make, change and remove workloads; undo.
//! - [`observe`]: views of pods and workloads, waiting for them, and the one decision of what is ready.
//! - [`repair`]: what every command does first.
//! - [`supervisor`]: the detached process of one workload; `ipc` is its socket.
//! - [`inside`]: the files and the network of a running pod, for commands that look inside.
//! - [`sandbox`]: creates and removes sandboxes and containers, in workers.
//! - `probe`: how probes and hooks are done.
//! - [`inherited`]: what long-lived processes have from their starter, and how they get rid of it.
//! - [`traffic`]: makes the host send traffic to pods, as Services and Ingresses say.
//! - [`log`]: logs of containers in CRI format, and the events of an instance.
//! - [`ingress`]: the routes of Ingresses, and the proxy that serves them.
//! - [`service`]: the endpoints, addresses and names of Services.
//! - [`controller`]: applies the actions of a step of a workload to its record. Pure.
//! - [`generate`]: what is recorded, as manifests. Pure.
//! - [`volume`]: every volume source as a path to mount.
//! - [`runtime`]: OCI specs, and create/start/exec/delete behind one trait.
//! - [`image`]: pull, store, unpack, config, overlay.
//! - [`record`]: what is on disk about workloads.
//! - [`workload`]: which pods of a workload should exist now. Pure.
//! - [`lifecycle`]: one pod as a pure state machine.
//! - [`plan`]: objects + image configs + flags, fully resolved. Pure.
//! - [`manifest`]: YAML to typed objects, with positions, validation and diagnostics.
//! - [`store`]: the layout of the two trees, the version of files, played objects.
//! - [`kind`]: one enum of kinds, and references to objects. Pure.
//! - [`version`]: the version of records, states and the protocol of supervisors.

pub mod controller;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod generate;
pub mod image;
pub mod ingress;
pub mod inherited;
pub mod inside;
pub mod kind;
pub mod lifecycle;
pub mod log;
pub mod manifest;
pub mod observe;
pub mod plan;
pub mod play;
mod probe;
pub mod record;
pub mod repair;
pub mod runtime;
pub mod sandbox;
pub mod service;
pub mod store;
pub mod supervisor;
pub mod traffic;
pub mod version;
pub mod volume;
pub mod workload;
