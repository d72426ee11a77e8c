//! Objects as kubectl names them: `KIND`, `KIND NAME...`, `KIND,KIND`, `KIND/NAME...`, `all`.

use pod_core::kind::{self, Kind, ObjectRef};
use pod_core::observe::nearest::nearest;
use pod_core::observe::objects::{is_listed, listed};

use crate::output::exit::Failure;

/// The kinds of `all`, in kubectl's order.
const ALL: [Kind; 8] = [
    Kind::Pod,
    Kind::Service,
    Kind::DaemonSet,
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::CronJob,
    Kind::Job,
];

/// Objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Their kind.
    pub kind: Kind,
    /// Their names; if empty, all objects of the kind are meant.
    pub names: Vec<String>,
}

impl Target {
    /// Returns references to the named objects.
    ///
    /// # Errors
    /// A name cannot be the name of an object (2).
    pub fn objects(&self, namespace: &str) -> Result<Vec<ObjectRef>, kind::Error> {
        self.names.iter().map(|name| ObjectRef::with_name(self.kind, namespace, name)).collect()
    }
}

/// Parses the arguments of a command that shows objects. An object that is named several times is meant once.
///
/// # Errors
/// A kind is unknown or has no objects here, or kinds and names are mixed in a way that kubectl does not accept either.
pub fn parse(words: &[String]) -> Result<Vec<Target>, Failure> {
    let mut found: Vec<Target> = Vec::new();
    let mut add = |kind: Kind, name: Option<&str>| {
        let at = found.iter().position(|target| target.kind == kind).unwrap_or_else(|| {
            found.push(Target { kind, names: Vec::new() });
            found.len() - 1
        });
        let Some(target) = found.get_mut(at) else { return };
        target
            .names
            .extend(name.filter(|name| !target.names.iter().any(|one| one == name)).map(str::to_owned));
    };
    if words.iter().any(|word| word.contains('/')) {
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                return Err(Failure::usage(format!(
                    "{word:?} is no object: kinds and KIND/NAME cannot be mixed"
                ))
                .hint(format!("write the kind in front of every name: {}", with_kinds(words))));
            };
            if kind.contains(',') || kind == "all" {
                return Err(Failure::usage(format!("{word:?} is no object: one kind belongs to a name")));
            }
            add(parse_kind(kind)?, Some(name));
        }
        return Ok(found);
    }
    let Some((kinds, names)) = words.split_first() else { return Ok(found) };
    for word in kinds.split(',') {
        if word == "all" {
            if !names.is_empty() {
                return Err(Failure::usage("`all` is several kinds: a name needs one kind"));
            }
            ALL.into_iter().filter(|kind| is_listed(*kind)).for_each(|kind| add(kind, None));
            continue;
        }
        let kind = parse_kind(word)?;
        match names {
            [] => add(kind, None),
            names => names.iter().for_each(|name| add(kind, Some(name))),
        }
    }
    Ok(found)
}

/// Returns whether a word is the name of a kind whose objects can be shown, several of them, or `all`.
pub fn are_kinds(word: &str) -> bool {
    word.split(',').all(|word| word == "all" || Kind::parse(word).is_some_and(is_listed))
}

/// Returns the arguments in the form in which each has its kind.
fn with_kinds(words: &[String]) -> String {
    let first = words.iter().find_map(|word| word.split_once('/')).map_or("pod", |(kind, _)| kind);
    let with_kind = |word: &String| match word.contains('/') {
        true => word.clone(),
        false => format!("{first}/{word}"),
    };
    words.iter().map(with_kind).collect::<Vec<_>>().join(" ")
}

fn parse_kind(text: &str) -> Result<Kind, Failure> {
    match Kind::parse(text) {
        Some(kind) if is_listed(kind) => Ok(kind),
        Some(kind) => {
            Err(Failure::usage(format!("kube has no objects of the kind {}", kind.name())).hint(known()))
        }
        None => {
            let names = listed().flat_map(|kind| [kind.singular(), kind.plural()]);
            let failure = Failure::usage(format!("there is no kind {text:?}"));
            Err(match nearest(&text.to_ascii_lowercase(), names) {
                Some(name) => failure.hint(format!("did you mean {name}?")),
                None => failure.hint(format!("`kube get pod/NAME` shows a pod; {}", known())),
            })
        }
    }
}

fn known() -> String {
    format!("the kinds are: {}", listed().map(Kind::plural).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Vec<(Kind, String)>, Failure> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let targets = parse(&words)?;
        Ok(targets.into_iter().map(|target| (target.kind, target.names.join(" "))).collect())
    }

    #[test]
    fn objects_are_named_as_for_kubectl() {
        let one = |kind, names: &str| (kind, names.to_owned());
        for (line, expected) in [
            ("pods", vec![one(Kind::Pod, "")]),
            ("po web db web", vec![one(Kind::Pod, "web db")]),
            ("deploy,cm", vec![one(Kind::Deployment, ""), one(Kind::ConfigMap, "")]),
            ("deployments.apps,pods api", vec![one(Kind::Deployment, "api"), one(Kind::Pod, "api")]),
            ("pod/web deploy/api po/db", vec![one(Kind::Pod, "web db"), one(Kind::Deployment, "api")]),
            (
                "all",
                [Kind::Pod, Kind::Service, Kind::Deployment, Kind::ReplicaSet]
                    .map(|kind| one(kind, ""))
                    .into(),
            ),
            ("nodes,ns,events", vec![one(Kind::Node, ""), one(Kind::Namespace, ""), one(Kind::Event, "")]),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_kubectl_refuses_is_refused_with_what_to_write() {
        let errors: String =
            ["web", "pdos", "sa", "deploy/api web", "pod,svc/web", "all web", "all/web", "jobs"]
                .map(|line| {
                    let failure = parsed(line).unwrap_err();
                    format!("{line}: {}\n  {}\n", failure.message, failure.hints.join("; "))
                })
                .concat();
        insta::with_settings!({filters => vec![("the kinds are: .*", "the kinds are: [KINDS]")]}, {
            insta::assert_snapshot!(errors);
        });
    }

    #[test]
    fn a_word_is_a_kind_or_the_name_of_a_pod() {
        for word in ["pods", "svc,ing", "all", "Deployment"] {
            assert!(are_kinds(word), "{word}");
        }
        for word in ["web", "pods,web", "sa", "pod/web", ""] {
            assert!(!are_kinds(word), "{word}");
        }
    }
}
