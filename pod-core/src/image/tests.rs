//! Images: pulled, imported, loaded, stored, mounted and removed; layers from hostile sources.

mod archives;
mod hostile;
mod implied;
mod pull;
mod pull_hostile;
mod pull_secrets;
mod store;
pub(super) mod unpack;
