//! Ingresses: which requests go to which Services.
//!
//! `route` computes the routes of all Ingresses, `classes` says which of them this machine serves, `view` is what a user
//! sees; all three are pure. `settings` and `self_made` are what is kept for the proxy, `process` starts, follows and ends
//! it. [`sync`] brings the proxy in line with what is recorded; [`views`] shows Ingresses. The proxy itself is the crate
//! `ingress`.

mod apply;
mod classes;
mod process;
mod route;
mod self_made;
mod settings;
mod view;

pub use apply::{Error, Summary, Synced, is_current, summary, sync, views};
pub use classes::CONTROLLER;
pub use settings::{
    ACCESS_LOG_VARIABLE, BadSetting, PORTS_VARIABLE, THREADS_VARIABLE, TRUSTED_VARIABLE,
    record as record_settings,
};
pub use view::{Pending, View};
