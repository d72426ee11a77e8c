//! Decides whether an object was played from a given source.

use std::path::Path;

/// Returns whether `recorded` and `given` are the same source, or whether the file `recorded` is in the folder `given`.
pub fn same_source(recorded: &str, given: &str) -> bool {
    if recorded == given {
        // A pipe cannot be read a second time, so its name does not identify a source.
        let is_stream = std::fs::metadata(given).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        return given != "-" && !is_stream;
    }
    if recorded == "-"
        || given == "-"
        || crate::input::sources::is_url(recorded)
        || crate::input::sources::is_url(given)
    {
        return false;
    }
    // A file that is gone cannot be canonicalised, but its folder can.
    let canonical = |path: &str| {
        let path = std::path::absolute(path).ok()?;
        let dir = path.parent().and_then(|dir| dir.canonicalize().ok());
        Some(match (dir, path.file_name()) {
            (Some(dir), Some(name)) => dir.join(name),
            _ => path,
        })
    };
    // A recorded relative path cannot be resolved: the working directory of that play is not recorded.
    if !Path::new(recorded).is_absolute() {
        return false;
    }
    match (canonical(recorded), canonical(given)) {
        (Some(recorded), Some(given)) => recorded == given || recorded.parent() == Some(&given),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_by_its_place() {
        assert!(same_source("/nowhere/web.yaml", "/nowhere/web.yaml"));
        assert!(same_source("/nowhere/web.yaml", "/nowhere/"));
        assert!(!same_source("/nowhere/web.yaml", "/elsewhere/web.yaml"));
        assert!(!same_source("-", "-"), "two different pipes");
        assert!(!same_source("/dev/null", "/dev/null"), "no file that could be read again");
        assert!(same_source("http://a/b.yaml", "http://a/b.yaml"));
        let here = std::env::current_dir().unwrap().join("web.yaml");
        assert!(same_source(&here.display().to_string(), "web.yaml"));
    }
}
