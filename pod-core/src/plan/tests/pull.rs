//! imagePullPolicy.

use super::super::PullPolicy;
use super::super::image_pull::default_policy;

#[test]
fn image_pull_policy_is_always_for_latest_or_no_tag_else_if_not_present() {
    for (image, expected) in [
        ("web", PullPolicy::Always),
        ("web:latest", PullPolicy::Always),
        ("localhost:5000/web", PullPolicy::Always),
        ("web:1", PullPolicy::IfNotPresent),
        ("localhost:5000/a/web:1.2", PullPolicy::IfNotPresent),
        ("web@sha256:0000", PullPolicy::IfNotPresent),
        ("web:latest@sha256:0000", PullPolicy::IfNotPresent),
    ] {
        assert_eq!(default_policy(image), expected, "{image}");
    }
}
