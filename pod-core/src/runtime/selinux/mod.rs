//! SELinux (selinux(8)): the labels of a pod's processes and files, where the kernel has a policy.
//!
//! As with containerd and CRI-O, processes run in the domain that the policy has for containers (`container_t`), each pod
//! with two categories of its own, and files that a container may use have the type `container_file_t` with the same
//! categories. [`labels`](labels()) decides which label what gets; it is pure. [`apply`] sets them. The mounts of images
//! have their label as an option (`context=`), volumes are labelled file by file, and files of the host (hostPath, nfs) keep
//! their labels, as in Kubernetes.

mod apply;
mod labels;

pub use apply::{Error, is_enabled, label_descriptor, label_devices, label_tree, policy, set_exec_label};
pub use labels::{Context, Labels, Policy, labels, mount_option};
