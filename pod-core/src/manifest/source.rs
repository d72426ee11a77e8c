//! Reads manifests from files, folders and standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Source, escape};

/// Maximum size of a source in bytes.
pub const MAX_SOURCE: u64 = 64 << 20;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file or folder cannot be opened or read.
    #[error("{}: {error}", escape(&path.to_string_lossy()))]
    Io {
        /// The path as given.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A folder without manifests.
    #[error("{}: the folder has no *.yaml, *.yml or *.json file", escape(&path.to_string_lossy()))]
    NoManifests {
        /// The folder.
        path: PathBuf,
    },
    /// Longer than [`MAX_SOURCE`].
    #[error("{}: longer than {} MiB", escape(name), MAX_SOURCE >> 20)]
    TooLong {
        /// The source's name in messages.
        name: String,
    },
    /// Not UTF-8 text.
    #[error("{}: {}", escape(name), encoding(*utf16, *offset))]
    NotUtf8 {
        /// The source's name in messages.
        name: String,
        /// The offset of the first invalid byte, from 0.
        offset: usize,
        /// Whether it looks like UTF-16.
        utf16: bool,
    },
}

fn encoding(utf16: bool, offset: usize) -> String {
    if utf16 {
        "the text is UTF-16: save it as UTF-8".to_owned()
    } else {
        format!("not UTF-8 text (at byte {offset})")
    }
}

/// Reads what a command line names: a file, a folder (its `*.yaml`, `*.yml` and `*.json` files sorted by name, without
/// subfolders, like kubectl), or `-` for standard input. URLs are fetched by the caller.
pub fn read_sources(name: &str) -> Result<Vec<Source>, ReadError> {
    if name == "-" {
        let dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        return Ok(vec![read(name.to_owned(), dir, Path::new("-"), io::stdin().lock())?]);
    }
    let path = Path::new(name);
    let io_error = |error| ReadError::Io { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(io_error)?.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error)? {
        let file = entry.map_err(io_error)?.path();
        let known = file.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
        if known
            && fs::metadata(&file).map_err(|error| ReadError::Io { path: file.clone(), error })?.is_file()
        {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(ReadError::NoManifests { path: path.to_owned() });
    }
    files.sort();
    files.iter().map(|file| read_file(file)).collect()
}

fn read_file(path: &Path) -> Result<Source, ReadError> {
    let io_error = |error| ReadError::Io { path: path.to_owned(), error };
    let file = fs::File::open(path).map_err(io_error)?;
    // Absolute, because a supervisor has another working directory.
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let dir = fs::canonicalize(dir).map_err(io_error)?;
    read(path.to_string_lossy().into_owned(), dir, path, file)
}

fn read(name: String, dir: PathBuf, path: &Path, from: impl Read) -> Result<Source, ReadError> {
    let mut bytes = Vec::new();
    from.take(MAX_SOURCE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ReadError::Io { path: path.to_owned(), error })?;
    source(name, dir, bytes)
}

/// Creates a source from bytes of any origin, e.g. a URL.
pub fn source(name: String, dir: PathBuf, bytes: Vec<u8>) -> Result<Source, ReadError> {
    if bytes.len() as u64 > MAX_SOURCE {
        return Err(ReadError::TooLong { name });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, dir, text }),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
            Err(ReadError::NotUtf8 { name, offset, utf16 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_manifests_in_order_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yml", "b"), ("a.yaml", "a"), ("c.json", "{}"), ("d.txt", "d")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("e.yaml")).unwrap();
        let sources = read_sources(dir.path().to_str().unwrap()).unwrap();
        let texts: Vec<&str> = sources.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "{}"]);
        assert_eq!(sources[0].dir, fs::canonicalize(dir.path()).unwrap());
        assert!(sources[0].name.ends_with("/a.yaml"));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().to_str().unwrap().to_owned();
        assert!(matches!(read_sources(&empty), Err(ReadError::NoManifests { .. })));
        let error = read_sources("/no/such/file.yaml").unwrap_err().to_string();
        assert!(error.starts_with("/no/such/file.yaml: "), "{error}");
        let bad = |bytes: &[u8]| source("x".into(), PathBuf::new(), bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(bad(b"a: \xff"), "x: not UTF-8 text (at byte 3)");
        assert_eq!(bad(b"\xff\xfea\0"), "x: the text is UTF-16: save it as UTF-8");
    }
}
