//! Bodies of the fuzz targets (tests/fuzz): each takes any bytes and panics if a property that users rely on does not
//! hold. An ordinary test runs each body over its corpus.

pub use crate::image::fuzz::{auth_file, layer, reference};
pub use crate::log::fuzz::cri_log;
pub use crate::manifest::fuzz::manifest;

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn over_its_corpus(name: &str, body: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name);
        let mut inputs: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} has no inputs", dir.display());
        for input in inputs {
            // The output is shown if the test fails.
            println!("{}", input.display());
            body(&std::fs::read(input).unwrap());
        }
    }

    #[test]
    fn manifests() {
        over_its_corpus("manifest", super::manifest);
    }

    #[test]
    fn references() {
        over_its_corpus("reference", super::reference);
    }

    #[test]
    fn layers() {
        ::tests::need_root!();
        over_its_corpus("layer", super::layer);
    }

    #[test]
    fn auth_files() {
        over_its_corpus("auth_file", super::auth_file);
    }

    #[test]
    fn cri_logs() {
        over_its_corpus("cri_log", super::cri_log);
    }
}
