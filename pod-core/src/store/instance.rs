//! One instance of `kube`: its trees and its executable.

use std::path::PathBuf;

use super::Layout;

/// The trees and the executable of one instance of `kube`. Any number of instances work side by side on a machine.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The persistent and the volatile directory tree.
    pub layout: Layout,
    /// The `kube` executable, which is also the program of supervisors and of the name server.
    pub exe: PathBuf,
}
