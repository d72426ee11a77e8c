use std::path::Path;

use super::Error;

/// Returns the id of this boot of the host, from `/proc/sys/kernel/random/boot_id` (see random(4)).
pub fn boot_id() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path).map(|s| s.trim().to_owned()).map_err(Error::io("read", path))
}
