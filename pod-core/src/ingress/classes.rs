//! Which Ingresses this machine serves, by their class. It is pure.
//!
//! An Ingress without a class is served, and so is one whose class has no IngressClass: people write `ingressClassName:
//! nginx` and expect that it works. An IngressClass says who serves a class: [`CONTROLLER`] is this machine, and Ingresses
//! of other controllers are left to them. An IngressClass may be the default for Ingresses without a class.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::manifest::ingress::class_name;

/// The `spec.controller` of IngressClasses that this machine serves.
pub const CONTROLLER: &str = "kube-play/ingress";

/// The annotation that makes an IngressClass the default.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Who serves an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    /// This machine.
    Here,
    /// The controller of the class.
    Other {
        /// The class.
        class: String,
        /// Its controller.
        controller: String,
    },
}

/// Returns the class of an Ingress: the one that it names, or else the default one, if there is one.
pub(super) fn class_of<'a>(
    ingress: &'a Ingress,
    classes: &'a BTreeMap<String, IngressClass>,
) -> Option<&'a str> {
    class_name(ingress).or_else(|| {
        let is_default = |class: &IngressClass| {
            let annotations = class.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(IS_DEFAULT)).is_some_and(|value| value == "true")
        };
        classes.iter().find(|(_, class)| is_default(class)).map(|(name, _)| name.as_str())
    })
}

/// Returns who serves an Ingress.
pub(super) fn server(ingress: &Ingress, classes: &BTreeMap<String, IngressClass>) -> Server {
    let Some(class) = class_of(ingress, classes) else { return Server::Here };
    let spec = classes.get(class).and_then(|class| class.spec.as_ref());
    match spec.and_then(|spec| spec.controller.as_deref()) {
        None | Some(CONTROLLER) => Server::Here,
        Some(controller) => Server::Other { class: class.to_owned(), controller: controller.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ingress(class: Option<&str>) -> Ingress {
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"ingressClassName": class}}))
            .unwrap()
    }

    fn class(name: &str, controller: &str, is_default: bool) -> (String, IngressClass) {
        let annotations = json!({IS_DEFAULT: is_default.to_string()});
        let class = json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": controller}});
        (name.to_owned(), serde_json::from_value(class).unwrap())
    }

    #[test]
    fn an_ingress_is_served_unless_its_class_is_of_another_controller() {
        let none = BTreeMap::new();
        assert_eq!(server(&ingress(None), &none), Server::Here);
        assert_eq!(server(&ingress(Some("nginx")), &none), Server::Here);
        let classes: BTreeMap<_, _> =
            [class("own", CONTROLLER, false), class("nginx", "k8s.io/ingress-nginx", false)].into();
        assert_eq!(server(&ingress(None), &classes), Server::Here);
        assert_eq!(server(&ingress(Some("own")), &classes), Server::Here);
        let other = Server::Other { class: "nginx".into(), controller: "k8s.io/ingress-nginx".into() };
        assert_eq!(server(&ingress(Some("nginx")), &classes), other);
    }

    #[test]
    fn a_default_class_is_that_of_ingresses_without_one() {
        let classes: BTreeMap<_, _> = [class("a", CONTROLLER, false), class("b", "x/y", true)].into();
        assert_eq!(class_of(&ingress(None), &classes), Some("b"));
        assert_eq!(class_of(&ingress(Some("a")), &classes), Some("a"));
        assert!(matches!(server(&ingress(None), &classes), Server::Other { .. }));
    }
}
