//! Pulls the images that a play needs, before the play changes anything.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Instance, Report};
use crate::image::{self, ImageName, ImageStore, PullOptions, pull_secrets};
use crate::plan::image_pull::{Eagerness, Need, images};
use crate::plan::{PodPlan, PullPolicy};
use crate::store::Objects;

/// The images of containers, by the names that manifests use.
pub type Names = BTreeMap<String, ImageName>;

/// Reads the names of the images of all containers of `pods`.
///
/// # Errors
/// A name is neither a reference nor an id.
pub fn names<'a>(pods: impl Iterator<Item = &'a PodPlan>) -> Result<Names, image::Error> {
    let mut names = Names::new();
    for spec in pods.filter_map(|pod| pod.pod.spec.as_ref()) {
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let of_containers = containers.map(|container| container.image.as_deref());
        let of_volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
        for text in of_containers.chain(of_volumes.map(|source| source.reference.as_deref())) {
            let text = text.unwrap_or_default();
            if !names.contains_key(text) {
                names.insert(text.to_owned(), ImageName::parse(text)?);
            }
        }
    }
    Ok(names)
}

/// Pulls the images that the imagePullPolicy of each container asks for, each image once. Each pod comes with the
/// object that it is created from.
pub fn pull<'a>(
    instance: &Instance,
    pods: impl Iterator<Item = (&'a PodPlan, &'a Value)>,
    names: &Names,
    forced: Option<PullPolicy>,
    objects: &Objects,
    report: &mut dyn Report,
) -> Result<(), Error> {
    let store = ImageStore::open(&instance.layout.images())?;
    let mut wanted: BTreeMap<&str, (Eagerness, &PodPlan)> = BTreeMap::new();
    for (pod, object) in pods {
        for (image, eagerness) in images(pod, object, forced) {
            let entry = wanted.entry(image).or_insert((eagerness, pod));
            if eagerness > entry.0 {
                *entry = (eagerness, pod);
            }
        }
    }
    for (image, (eagerness, pod)) in wanted {
        let Some(name) = names.get(image) else { continue };
        let here = store.find(name)?.is_some();
        let need = eagerness.need(here);
        match need {
            Need::Nothing => continue,
            Need::Missing => {
                return Err(Error::Failed {
                    object: format!("pod/{}", pod.name()),
                    message: format!("image {image} is not stored here and imagePullPolicy is Never"),
                });
            }
            Need::Pull | Need::PullOrHere => {}
        }
        let (credentials, warnings) = pull_secrets(pod, objects);
        for warning in warnings {
            report.warning(&warning);
        }
        let reference = name.pullable().map_err(image::Error::from)?;
        let progress = report.pull(image);
        let options = PullOptions { credentials, ..PullOptions::default() };
        let pulled = store.pull(reference, &options, progress.as_ref());
        drop(progress);
        match pulled {
            Ok(_) => {}
            Err(error) if need == Need::PullOrHere && error.is_refusal() => report.warning(&format!(
                "{error}; the stored image {image} is used (imagePullPolicy: IfNotPresent asks no registry)"
            )),
            Err(error) if here && error.is_refusal() => {
                return Err(Error::OnlyHere { image: image.to_owned(), source: error });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
