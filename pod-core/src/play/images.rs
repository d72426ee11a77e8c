//! The images that a play needs, before it changes anything.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Host, Report};
use crate::image::{ImageStore, PullOptions, pull_secrets};
use crate::plan::image_pull::{Eagerness, Need, images};
use crate::plan::{PodPlan, PullPolicy};
use crate::store::Objects;

/// Pulls what the imagePullPolicy of each container asks for, each image once. Each pod comes with the object that it
/// is made from.
pub fn pull<'a>(
    host: &Host,
    pods: impl Iterator<Item = (&'a PodPlan, &'a Value)>,
    forced: Option<PullPolicy>,
    objects: &Objects,
    report: &mut dyn Report,
) -> Result<(), Error> {
    let store = ImageStore::open(&host.layout.images())?;
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
        let here = store.find(image)?.is_some();
        let need = eagerness.need(here);
        match need {
            Need::Nothing => continue,
            Need::Missing => {
                return Err(Error::Failed {
                    object: format!("pod/{}", pod.name()),
                    message: format!("image {image} is not here and imagePullPolicy is Never"),
                });
            }
            Need::Pull | Need::PullOrHere => {}
        }
        let (credentials, warnings) = pull_secrets(pod, objects);
        for warning in warnings {
            report.warning(&warning);
        }
        let progress = report.pull(image);
        let options = PullOptions { credentials, ..PullOptions::default() };
        let pulled = store.pull(image, &options, progress.as_ref());
        drop(progress);
        match pulled {
            Ok(_) => {}
            Err(error) if need == Need::PullOrHere && error.is_refusal() => report.warning(&format!(
                "{error}; the image {image} that is here is used (imagePullPolicy: IfNotPresent asks no registry)"
            )),
            Err(error) if here && error.is_refusal() => {
                return Err(Error::OnlyHere { image: image.to_owned(), source: error });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
