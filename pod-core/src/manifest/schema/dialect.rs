//! Extensions that `podman kube play` accepts and a cluster refuses. They are accepted with a warning if they are
//! unambiguous and harmless. Sources: podman's `pkg/specgen/generate/kube` and its manual page of `kube play`.

use serde_json::{Map, Value};

use super::Type;
use crate::manifest::yaml::{Data, Node, ScalarValue};
use crate::manifest::{escape, shown};

/// An extension that was accepted, or the reason why it was not.
pub(super) struct Remark {
    /// The field of the object that the remark is about.
    pub field: &'static str,
    pub message: String,
    pub hint: String,
    pub is_error: bool,
}

/// Mount options that ask for the default behaviour.
const ANYWAY: [&str; 8] = ["rw", "exec", "dev", "suid", "bind", "rbind", "private", "rprivate"];
/// Mount options that change what a container sees or may do. They are not honoured.
const NOT_HONOURED: [&str; 12] = [
    "O",
    "U",
    "idmap",
    "noexec",
    "nodev",
    "nosuid",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

/// Returns the value of an environment variable, written as a number or a boolean, as text. Only spellings that every
/// YAML reader understands in the same way are accepted: `1.10`, `yes` and `0o7` are ambiguous.
pub(super) fn variable(ty: &Type, field: &str, value: &Node) -> Option<Value> {
    let Data::Scalar(scalar) = &value.data else { return None };
    let plain = match scalar.value {
        ScalarValue::Bool(value) => value.to_string(),
        ScalarValue::Int(value) => value.to_string(),
        ScalarValue::Float(value) => value.to_string(),
        ScalarValue::String | ScalarValue::Null => return None,
    };
    (ty.name == "EnvVar" && field == "value" && plain == scalar.text).then(|| plain.into())
}

/// Fills in and splits the fields of an object of type `ty` as podman does.
pub(super) fn apply(ty: &Type, object: &mut Map<String, Value>) -> Option<Remark> {
    match ty.name {
        "ContainerPort" => port(object),
        "VolumeMount" => mount(object),
        _ => None,
    }
}

/// A port with only a hostPort gets the same containerPort.
fn port(object: &mut Map<String, Value>) -> Option<Remark> {
    if object.contains_key("containerPort") {
        return None;
    }
    let number = object.get("hostPort").and_then(Value::as_i64).filter(|number| *number > 0)?;
    object.insert("containerPort".to_owned(), number.into());
    Some(Remark {
        field: "hostPort",
        message: "stands alone, so that containerPort is the same".to_owned(),
        hint: format!("a cluster needs it: write containerPort: {number}"),
        is_error: false,
    })
}

/// Splits `mountPath: /data:Z,ro` into path and options.
fn mount(object: &mut Map<String, Value>) -> Option<Remark> {
    let given = object.get("mountPath").and_then(Value::as_str)?.to_owned();
    let (path, options) = given.split_once(':')?;
    let options: Vec<&str> = options.split(',').collect();
    let is_known = |option: &&str| {
        matches!(*option, "z" | "Z" | "ro") || ANYWAY.contains(option) || NOT_HONOURED.contains(option)
    };
    // A path may contain a colon.
    if !options.iter().all(is_known) {
        return None;
    }
    let read_only = options.contains(&"ro");
    let plain = match read_only {
        true => format!("mountPath: {path} and readOnly: true"),
        false => format!("mountPath: {path}"),
    };
    if let Some(option) = options.iter().find(|option| NOT_HONOURED.contains(option)) {
        return Some(Remark {
            field: "mountPath",
            message: format!("{} is a mount option of podman that is not honoured", shown(option)),
            hint: format!("write {}", escape(&plain)),
            is_error: true,
        });
    }
    object.insert("mountPath".to_owned(), path.into());
    if read_only {
        object.insert("readOnly".to_owned(), true.into());
    }
    let labels = match options.iter().any(|option| matches!(*option, "z" | "Z")) {
        true => "; SELinux labels of files stay as they are",
        false => "",
    };
    Some(Remark {
        field: "mountPath",
        message: format!("ends in mount options, as podman takes them{labels}"),
        hint: format!("a cluster takes the path alone: write {}", escape(&plain)),
        is_error: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_options_end_a_path_and_a_colon_alone_does_not() {
        let settled = |path: &str| {
            let mut object = Map::from_iter([("mountPath".to_owned(), Value::from(path))]);
            let remark = mount(&mut object);
            let read_only = object.get("readOnly").is_some();
            let path = object["mountPath"].as_str().unwrap().to_owned();
            (path, read_only, remark.map(|remark| remark.is_error))
        };
        assert_eq!(settled("/data:Z"), ("/data".to_owned(), false, Some(false)));
        assert_eq!(settled("/data:z,ro"), ("/data".to_owned(), true, Some(false)));
        assert_eq!(settled("/data:U"), ("/data:U".to_owned(), false, Some(true)));
        assert_eq!(settled("/a:b"), ("/a:b".to_owned(), false, None));
        assert_eq!(settled("/a:ro:Z"), ("/a:ro:Z".to_owned(), false, None));
    }
}
