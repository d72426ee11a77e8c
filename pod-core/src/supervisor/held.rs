//! Stop signals of a pod that wait until the pod has left its Services (`endpoints`).

use crate::lifecycle::Action;

/// Stop signals that wait until their pod has left its Services.
#[derive(Debug, Default)]
pub struct Held {
    /// Whether the pod has not left yet.
    pub leaves: bool,
    /// The actions that wait.
    pub actions: Vec<Action>,
    /// When they wait no longer, in milliseconds since boot.
    pub until: Option<u64>,
}

impl Held {
    /// Returns when the next signal is due.
    pub fn next_deadline(&self) -> Option<u64> {
        self.until.filter(|_| !self.actions.is_empty())
    }
}
