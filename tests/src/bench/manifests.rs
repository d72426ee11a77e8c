//! The manifests that the benchmark plays.

use tests::image::BUSYBOX;

/// A command that does nothing and ends at once on TERM.
const IDLE: &str = r#"[sh, -c, "trap 'exit 0' TERM; sleep 100000 & wait"]"#;

/// Returns a pod with so many idle containers. `spec` is additional YAML for its spec, `container` for each
/// container.
pub fn pod(name: &str, containers: usize, spec: &str, container: &str) -> String {
    let mut yaml =
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n");
    yaml += spec;
    yaml += "  containers:\n";
    for n in 0..containers {
        yaml += &format!("  - name: c{n}\n    image: {BUSYBOX}\n    command: {IDLE}\n{container}");
    }
    yaml
}

/// Returns so many pods of one idle container.
pub fn pods(count: usize) -> String {
    (0..count).map(|n| pod(&format!("p{n}"), 1, "", "")).collect::<Vec<_>>().join("---\n")
}

/// Returns a pod with a web server on a published port.
pub fn web(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         containers:\n  - name: httpd\n    image: {BUSYBOX}\n    command: [httpd, -f, -p, \"80\", -h, /www]\n    \
         ports:\n    - containerPort: 80\n      hostPort: {port}\n"
    )
}
