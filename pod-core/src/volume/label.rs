//! SELinux: which label the files of a volume get.

use k8s_openapi::api::core::v1::Volume;

use crate::runtime::selinux::Labels;

/// Which of the labels of a container a volume gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labelling {
    /// That of its pod: the volume belongs to the pod.
    OfPod,
    /// The one for several pods.
    Shared,
    /// None: the files keep their labels, as those of the host do.
    None,
}

impl Labelling {
    /// Decides by the kind of the volume. As with the kubelet (`SELinuxRelabel` of its volume plugins), hostPath and nfs are
    /// never labelled. Images have their label as an option of their mount.
    pub fn of(volume: &Volume) -> Self {
        let belongs_to_pod = volume.empty_dir.is_some()
            || volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.downward_api.is_some()
            || volume.projected.is_some()
            || volume.ephemeral.is_some();
        match volume {
            _ if belongs_to_pod => Self::OfPod,
            Volume { persistent_volume_claim: Some(_), .. } => Self::Shared,
            _ => Self::None,
        }
    }

    /// Returns the label.
    pub fn choose(self, labels: &Labels) -> Option<&str> {
        match self {
            Self::OfPod => Some(&labels.file),
            Self::Shared => Some(&labels.shared),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_of_the_pod_are_labelled_and_files_of_the_host_are_not() {
        let labels = Labels { process: None, file: "own".to_owned(), shared: "shared".to_owned() };
        for (source, label) in [
            (json!({"emptyDir": {}}), Some("own")),
            (json!({"configMap": {"name": "c"}}), Some("own")),
            (json!({"secret": {"secretName": "s"}}), Some("own")),
            (json!({"projected": {"sources": []}}), Some("own")),
            (json!({"downwardAPI": {}}), Some("own")),
            (json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}), Some("own")),
            (json!({"persistentVolumeClaim": {"claimName": "c"}}), Some("shared")),
            (json!({"hostPath": {"path": "/srv"}}), None),
            (json!({"nfs": {"server": "s", "path": "/"}}), None),
            (json!({"image": {"reference": "i"}}), None),
        ] {
            let mut volume = source.clone();
            volume["name"] = json!("v");
            let volume: Volume = serde_json::from_value(volume).unwrap();
            assert_eq!(Labelling::of(&volume).choose(&labels), label, "{source}");
        }
    }
}
