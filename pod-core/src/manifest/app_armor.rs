//! The annotations that gave containers AppArmor profiles before there was a field for them (until Kubernetes 1.30).

use k8s_openapi::api::core::v1::AppArmorProfile;

/// Prefix of the annotation; the container's name follows.
pub(crate) const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Returns the profile that an annotation's value means: `runtime/default`, `unconfined` or `localhost/NAME`. `None` if
/// it is another value. Source: pkg/apis/core/v1/.../apparmor.
pub(crate) fn app_armor_annotation(value: &str) -> Option<AppArmorProfile> {
    let of = |kind: &str| AppArmorProfile { type_: kind.to_owned(), localhost_profile: None };
    match value {
        "runtime/default" => Some(of("RuntimeDefault")),
        "unconfined" => Some(of("Unconfined")),
        other => {
            let name = other.strip_prefix("localhost/").filter(|name| !name.is_empty())?;
            Some(AppArmorProfile { localhost_profile: Some(name.to_owned()), ..of("Localhost") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_names_a_profile_in_three_ways() {
        let of = |value| app_armor_annotation(value).map(|one| (one.type_, one.localhost_profile));
        assert_eq!(of("runtime/default"), Some(("RuntimeDefault".to_owned(), None)));
        assert_eq!(of("unconfined"), Some(("Unconfined".to_owned(), None)));
        assert_eq!(of("localhost/web"), Some(("Localhost".to_owned(), Some("web".to_owned()))));
        assert_eq!((of("localhost/"), of("web")), (None, None));
    }
}
