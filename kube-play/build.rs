//! How `kube` is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // At a fixed address: what the loader would have to relocate in every process, some 600 kB of tables, is then
    // the same in all of them, and shared. Heap, stacks and libraries lie where the kernel's dice put them.
    println!("cargo::rustc-link-arg-bin=kube=-no-pie");
}
