//! Resolves runtimeClassName to the OCI runtime that runs a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The OCI runtimes that a handler may name. A handler is not looked up among all programs, because a manifest could start
/// any of them as root.
pub const PROGRAMS: &[&str] = &[
    "crun",
    "crun-vm",
    "crun-wasm",
    "kata-runtime",
    "krun",
    "nvidia-container-runtime",
    "runc",
    "runsc",
    "sysbox-runc",
    "youki",
];

/// A RuntimeClass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Class {
    /// handler: the name of an OCI runtime.
    pub handler: String,
    /// overhead.podFixed: what the runtime itself needs for a pod.
    pub overhead: Option<BTreeMap<String, Quantity>>,
}

impl From<&RuntimeClass> for Class {
    fn from(class: &RuntimeClass) -> Self {
        let overhead = class.overhead.as_ref().and_then(|overhead| overhead.pod_fixed.clone());
        Self { handler: class.handler.clone(), overhead }
    }
}

/// What the name of a RuntimeClass can lead to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeClasses {
    /// The RuntimeClasses that were played, by name.
    pub played: BTreeMap<String, Class>,
    /// Those of [`PROGRAMS`] that are installed.
    pub installed: BTreeSet<String>,
}

/// A pod that does not fit its RuntimeClass: a cluster rejects it too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is a RuntimeClass of this name.
    #[error(
        "the RuntimeClass {name} has the handler {handler:?}, which is no OCI runtime that is installed here"
    )]
    Handler {
        /// The name.
        name: String,
        /// Its handler.
        handler: String,
    },
    /// There is none.
    #[error("there is no RuntimeClass {name}, and no OCI runtime of this name is installed here")]
    Class {
        /// The name.
        name: String,
    },
    /// The pod has another overhead.
    #[error("differs from overhead.podFixed of the RuntimeClass {name}")]
    Overhead {
        /// The name.
        name: String,
    },
}

impl RuntimeClasses {
    /// Returns the program that runs the pods of a RuntimeClass: that of its handler. Without a RuntimeClass of this name,
    /// the name itself is the handler.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn program(&self, name: &str) -> Result<String, Unfit> {
        let class = self.played.get(name);
        let program = program_of(class.map_or(name, |class| class.handler.as_str()));
        if self.installed.contains(program) {
            return Ok(program.to_owned());
        }
        let name = name.to_owned();
        Err(match class {
            Some(class) => Unfit::Handler { name, handler: class.handler.clone() },
            None => Unfit::Class { name },
        })
    }

    /// Gives a pod the overhead of its RuntimeClass, as the admission plugin RuntimeClass of an API server does.
    ///
    /// # Errors
    /// If the pod has another overhead.
    pub fn add_overhead(&self, spec: &mut PodSpec) -> Result<(), Unfit> {
        let Some(name) = &spec.runtime_class_name else { return Ok(()) };
        let Some(overhead) = self.played.get(name).and_then(|class| class.overhead.as_ref()) else {
            return Ok(());
        };
        match &spec.overhead {
            Some(given) if given != overhead => Err(Unfit::Overhead { name: name.clone() }),
            _ => {
                spec.overhead = Some(overhead.clone());
                Ok(())
            }
        }
    }

    /// Returns which names would do, for a hint.
    pub fn hint(&self) -> String {
        let installed: Vec<&str> = self.installed.iter().map(String::as_str).collect();
        match installed.as_slice() {
            [] => "no other OCI runtime is installed; without runtimeClassName the built-in one runs the pod"
                .to_owned(),
            names => format!("installed here: {}", names.join(", ")),
        }
    }
}

/// Returns the program that a handler means. Some handlers are named after a project whose program has another name.
fn program_of(handler: &str) -> &str {
    match handler {
        "gvisor" => "runsc",
        "nvidia" => "nvidia-container-runtime",
        "sysbox" => "sysbox-runc",
        "kata" => "kata-runtime",
        handler if handler.starts_with("kata-") => "kata-runtime",
        handler => handler,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> RuntimeClasses {
        RuntimeClasses {
            played: [("sandboxed", "gvisor"), ("fast", "crun"), ("odd", "poweroff")]
                .map(|(name, handler)| {
                    let overhead = Some([("memory".to_owned(), Quantity("64Mi".to_owned()))].into());
                    (name.to_owned(), Class { handler: handler.to_owned(), overhead })
                })
                .into(),
            installed: ["crun", "runsc"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_runtime_class_leads_to_the_program_of_its_handler() {
        let classes = classes();
        for (name, program) in
            [("sandboxed", "runsc"), ("fast", "crun"), ("runsc", "runsc"), ("gvisor", "runsc")]
        {
            assert_eq!(classes.program(name).as_deref(), Ok(program), "{name}");
        }
        assert!(
            PROGRAMS.iter().all(|program| program_of(program) == *program || program.starts_with("kata-"))
        );
    }

    #[test]
    fn a_pod_gets_the_overhead_of_its_runtime_class() {
        let added = |class: &str, given: Option<&str>| {
            let overhead = given.map(|given| [("memory".to_owned(), Quantity(given.to_owned()))].into());
            let mut spec =
                PodSpec { runtime_class_name: Some(class.to_owned()), overhead, ..PodSpec::default() };
            let memory = |overhead: BTreeMap<String, Quantity>| overhead["memory"].0.clone();
            classes().add_overhead(&mut spec).map(|()| spec.overhead.map(memory))
        };
        let is = |memory: &str| Ok(Some(memory.to_owned()));
        assert_eq!(added("fast", None), is("64Mi"));
        assert_eq!(added("fast", Some("64Mi")), is("64Mi"));
        assert_eq!(added("crun", Some("1Mi")), is("1Mi"), "no RuntimeClass has this name");
        assert_eq!(added("crun", None), Ok(None));
        insta::assert_snapshot!(added("fast", Some("1Mi")).unwrap_err(), @"differs from overhead.podFixed of the RuntimeClass fast");
    }

    #[test]
    fn an_unknown_handler_is_refused_and_no_other_program_is_ever_started() {
        let classes = classes();
        let told = |name: &str| classes.program(name).unwrap_err().to_string();
        insta::assert_snapshot!(told("runc"), @"there is no RuntimeClass runc, and no OCI runtime of this name is installed here");
        insta::assert_snapshot!(told("odd"), @r#"the RuntimeClass odd has the handler "poweroff", which is no OCI runtime that is installed here"#);
        insta::assert_snapshot!(classes.hint(), @"installed here: crun, runsc");
        insta::assert_snapshot!(RuntimeClasses::default().hint(), @"no other OCI runtime is installed; without runtimeClassName the built-in one runs the pod");
    }
}
