//! Checks before anything is stopped or created: every container can be resolved from its image, ConfigMaps and
//! Secrets. A play that fails here has changed nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::Error;
use super::images::Names;
use crate::controller::{Identity, random_identity};
use crate::image::{Image, ImageStore};
use crate::plan::{self, PodPlan, PodTemplate, references};
use crate::runtime::host::Host;
use crate::runtime::{app_armor, cdi, cgroup, user_namespace};
use crate::store::Objects;

/// Returns a pod of a template, to check what pods of it need. The pod itself is never created.
pub fn sample_pod(template: &PodTemplate) -> PodPlan {
    let Identity { uid, suffix } = random_identity();
    template.instantiate(&uid, &suffix, jiff::Timestamp::now())
}

/// Returns the error of the first container that could not be created. `pods` come with the name of their workload,
/// which errors name, because the name of a sample pod may end in a random suffix that no real pod will have.
pub fn check(
    instance: &super::Instance,
    pods: &[(String, PodPlan)],
    objects: &Objects,
    names: &Names,
) -> Result<(), Error> {
    if pods.is_empty() {
        return Ok(());
    }
    let store = ImageStore::open(&instance.layout.images())?;
    let node = plan::node::node_with_storage(&instance.layout.root);
    for (object, pod) in pods {
        let failed = |message: String| Error::Failed { object: object.clone(), message };
        let Some(spec) = &pod.pod.spec else { continue };
        if pod.has_user_namespace() {
            user_namespace::check(&instance.layout.images()).map_err(|e| failed(e.to_string()))?;
        }
        let missing = references::missing(pod, objects);
        if !missing.is_empty() {
            return Err(failed(missing.join("; ")));
        }
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            let Some(name) = names.get(container.image.as_deref().unwrap_or_default()) else { continue };
            let Some(image) = store.find(name)? else { continue };
            let (passwd, group) = (read(&store, &image, "/etc/passwd")?, read(&store, &image, "/etc/group")?);
            // The addresses are not known yet. Any address will do to check everything else.
            let ips = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
            let inputs = plan::Inputs {
                pod,
                container: &container.name,
                image: &image.config,
                passwd: &passwd,
                group: &group,
                objects,
                ips: &ips,
                node: &node,
                files: None,
            };
            let resolved = plan::container::resolve(&inputs)
                .map_err(|e| failed(format!("container {}: {e}", container.name)))?;
            cdi::resolve(&cdi::load(), &resolved.cdi)
                .map_err(|e| failed(format!("container {}: {e}", container.name)))?;
            app_armor::check(&resolved.app_armor)
                .map_err(|e| failed(format!("container {}: {e}", container.name)))?;
        }
    }
    Ok(())
}

fn read(store: &ImageStore, image: &Image, path: &str) -> Result<String, Error> {
    Ok(store.read_file(image, path, 1 << 20)?.unwrap_or_default())
}

/// Returns warnings about what pods ask for and this host cannot provide. The pods run without it.
pub fn lacking(pods: &[(String, PodPlan)]) -> BTreeSet<String> {
    let host = Host::get();
    let mut warnings = BTreeSet::new();
    for (_, pod) in pods {
        warnings.extend(cgroup::missing(&host.cgroups, &plan::resources::pod_resources(&pod.pod)));
        if host.selinux.is_none() && plan::selinux::is_asked_for(&pod.pod) {
            warnings.insert("this host has no SELinux: seLinuxOptions do nothing".to_owned());
        }
        let Some(spec) = &pod.pod.spec else { continue };
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            warnings.extend(cgroup::missing(
                &host.cgroups,
                &plan::resources::container_resources(spec, container),
            ));
            let added = container.security_context.as_ref().and_then(|c| c.capabilities.as_ref());
            for name in added.and_then(|c| c.add.as_ref()).into_iter().flatten() {
                let full = format!("CAP_{}", name.to_uppercase().trim_start_matches("CAP_"));
                if full != "CAP_ALL" && !host.capabilities.contains(&full) {
                    warnings
                        .insert(format!("kube itself lacks {full} here and cannot give it to containers"));
                }
            }
        }
    }
    warnings
}
