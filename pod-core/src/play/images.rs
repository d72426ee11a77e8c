//! The images that a play needs, before it changes anything.

use std::collections::BTreeMap;

use super::{Error, Host, Report};
use crate::image::{ImageStore, PullOptions, pull_secrets};
use crate::plan::{self, PodPlan, PullPolicy};
use crate::store::Objects;

/// Pulls what the imagePullPolicy of each container asks for, each image once.
pub fn pull<'a>(
    host: &Host,
    pods: impl Iterator<Item = &'a PodPlan>,
    objects: &Objects,
    report: &mut dyn Report,
) -> Result<(), Error> {
    let store = ImageStore::open(&host.layout.images())?;
    let mut wanted: BTreeMap<String, (PullPolicy, &PodPlan)> = BTreeMap::new();
    for pod in pods {
        let Some(spec) = &pod.pod.spec else { continue };
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            let Some(image) = container.image.clone() else { continue };
            let policy = plan::image_pull::policy(container);
            let entry = wanted.entry(image).or_insert((policy, pod));
            // The most eager of those who use it decides.
            if policy == PullPolicy::Always || entry.0 == PullPolicy::Never {
                *entry = (policy, pod);
            }
        }
    }
    for (image, (policy, pod)) in wanted {
        let here = store.find(&image)?.is_some();
        let needed = match policy {
            PullPolicy::Always => true,
            PullPolicy::IfNotPresent => !here,
            PullPolicy::Never if !here => {
                return Err(Error::Failed {
                    object: format!("pod/{}", pod.name()),
                    message: format!("image {image} is not here and imagePullPolicy is Never"),
                });
            }
            PullPolicy::Never => false,
        };
        if !needed {
            continue;
        }
        let (credentials, warnings) = pull_secrets(pod, objects);
        for warning in warnings {
            report.warning(&warning);
        }
        let progress = report.pull(&image);
        let options = PullOptions { credentials, ..PullOptions::default() };
        store.pull(&image, &options, progress.as_ref())?;
    }
    Ok(())
}
