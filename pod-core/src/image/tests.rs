//! Images: pull, import, load, store, mount and removal; layers from hostile sources.

mod archives;
mod hostile;
mod implied;
pub(super) mod layers;
mod pull;
mod pull_hostile;
mod pull_secrets;
mod registry;
mod store;
mod unpack;

use super::{ImageName, Reference};

fn named(name: impl AsRef<str>) -> ImageName {
    ImageName::parse(name.as_ref()).unwrap()
}

fn reference(name: impl AsRef<str>) -> Reference {
    Reference::parse(name.as_ref()).unwrap()
}
