//! Adds a layer from a stream: hashes the blob, decompresses it, hashes the archive, unpacks it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Chain, Cursor, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::unpack::{Limits, UnpackError, Unpacked, unpack};
use crate::manifest::image::{Digest, Hasher};

/// How a blob is compressed, detected by its first bytes because media types are not always right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Returns the OCI media type of a layer compressed in this way.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// The record of an unpacked layer (`layer.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerRecord {
    /// Total size of its files in bytes.
    pub size: u64,
    /// Size of its uncompressed archive in bytes.
    pub tar_size: u64,
    /// Whether the archive has an entry for the root directory and so defines its mode and owner.
    pub root_entry: bool,
    /// Whether the layer hides all layers below it.
    pub opaque_root: bool,
    /// Directories without an entry in the archive: their mode and owner are those of a lower layer. A path is bytes,
    /// which need not be text; `layer.json` has it as text where it is. Empty for layers that earlier versions
    /// unpacked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied: Vec<ImpliedPath>,
}

/// The path of a directory in a layer, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ImpliedPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Vec<u8>> for ImpliedPath {
    fn from(path: Vec<u8>) -> Self {
        String::from_utf8(path).map_or_else(|e| Self::Bytes(e.into_bytes()), Self::Text)
    }
}

impl ImpliedPath {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A layer that was read to its end.
#[derive(Debug, Clone)]
pub(super) struct Ingested {
    /// Digest of the blob as received.
    pub blob: Digest,
    /// Size of the blob in bytes.
    pub blob_size: u64,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    pub compression: Compression,
    pub record: LayerRecord,
    pub notes: Vec<String>,
}

impl Ingested {
    /// Fails if the blob or the archive in it does not have its expected digest.
    pub(super) fn check(&self, blob: Option<&Digest>, diff_id: Option<&Digest>) -> Result<(), UnpackError> {
        for (what, expected, actual) in
            [("the layer's digest", blob, &self.blob), ("the layer's diff id", diff_id, &self.diff_id)]
        {
            if let Some(expected) = expected.filter(|expected| *expected != actual) {
                let (expected, actual) = (expected.to_string(), actual.to_string());
                return Err(UnpackError::Digest { what, expected, actual });
            }
        }
        Ok(())
    }
}

/// Where the parts of a layer are written while it is read.
pub(super) struct Destination<'a> {
    /// The file that the blob is copied to.
    pub blob: Option<&'a Path>,
    /// The directory to unpack to: `diff` and `trash` are created in it.
    pub layer: Option<&'a Path>,
    /// The expected digest of the blob. A blob with another digest fails with that error, and not with what gzip or tar
    /// report about the wrong bytes.
    pub expected: Option<&'a Digest>,
}

/// Reads `source` to its end. On an error the caller removes the partial files.
pub(super) fn ingest(
    source: &mut dyn Read,
    destination: &Destination<'_>,
    limits: &Limits,
) -> Result<Ingested, UnpackError> {
    let read = Cell::new(0u64);
    let copy = destination.blob.map(File::create_new).transpose()?.map(BufWriter::new);
    let mut tee = Tee { source, hasher: Hasher::default(), copy, read: &read };
    let taken = take_apart(&mut tee, &read, destination, limits);
    let rest = match &taken {
        // The rest is not read after a decompression bomb, nor when files cannot be written.
        Err(UnpackError::Limit { .. } | UnpackError::Entry { .. } | UnpackError::Escape { .. }) => Ok(0),
        _ => io::copy(&mut tee, &mut io::sink()),
    };
    let (compression, diff_id, tar_size, unpacked) = match (taken, destination.expected) {
        (Ok(taken), _) => {
            rest?;
            taken
        }
        (Err(error @ (UnpackError::Malformed(_) | UnpackError::Io(_))), Some(expected)) if rest.is_ok() => {
            let actual = std::mem::take(&mut tee.hasher).finish();
            if actual == *expected {
                return Err(error);
            }
            let (expected, actual) = (expected.to_string(), actual.to_string());
            return Err(UnpackError::Digest { what: "the layer's digest", expected, actual });
        }
        (Err(error), _) => return Err(error),
    };
    if let Some(copy) = tee.copy.take() {
        copy.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    }
    let blob_size = tee.hasher.bytes();
    Ok(Ingested {
        blob: tee.hasher.finish(),
        blob_size,
        diff_id,
        compression,
        record: LayerRecord {
            size: unpacked.size,
            tar_size,
            root_entry: unpacked.root_entry,
            opaque_root: unpacked.opaque_root,
            implied: unpacked.implied.into_iter().map(ImpliedPath::from).collect(),
        },
        notes: unpacked.notes,
    })
}

/// Compression, diff id, size of the archive, and the result of unpacking.
type Taken = (Compression, Digest, u64, Unpacked);

fn take_apart(
    tee: &mut Tee<'_>,
    read: &Cell<u64>,
    destination: &Destination<'_>,
    limits: &Limits,
) -> Result<Taken, UnpackError> {
    let (compression, decoder) = decoder(tee)?;
    let mut archive = Archive { decoder, hasher: Hasher::default(), compressed: read, limits };
    let unpacked = match destination.layer {
        Some(dir) => {
            std::fs::create_dir(dir)?;
            let (diff, trash) = (dir.join("diff"), dir.join("trash"));
            std::fs::create_dir(&diff)?;
            std::fs::create_dir(&trash)?;
            let (diff, trash) = (File::open(diff)?, File::open(trash)?);
            unpack(&mut archive, diff.as_fd(), trash.as_fd(), limits).map_err(|e| archive.explain(e))?
        }
        None => Unpacked::default(),
    };
    // The diff id also covers the bytes after the end of the archive.
    io::copy(&mut archive, &mut io::sink()).map_err(|e| archive.explain(e.into()))?;
    let tar_size = archive.hasher.bytes();
    Ok((compression, archive.hasher.finish(), tar_size, unpacked))
}

/// Detects how `source` is compressed and returns a reader of the decompressed data.
pub(super) fn decoder<'a>(
    mut source: impl Read + 'a,
) -> Result<(Compression, Box<dyn Read + 'a>), UnpackError> {
    let mut magic = Vec::new();
    (&mut source).take(6).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A zstd frame, or a skippable frame before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            return Err(UnpackError::Unsupported("xz compression".to_owned()));
        }
        [b'B', b'Z', b'h', ..] => return Err(UnpackError::Unsupported("bzip2 compression".to_owned())),
        _ => Compression::None,
    };
    let source: Chain<Cursor<Vec<u8>>, _> = Cursor::new(magic).chain(source);
    let decoder: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => {
            Box::new(Gzip { decoder: MultiGzDecoder::new(BufReader::with_capacity(64 << 10, source)) })
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(source)?;
            // 128 MiB is zstd's own default limit. It bounds the memory that a frame can make us allocate.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    };
    Ok((compression, decoder))
}

/// A gzip reader whose error says more than "deflate stream" if the data is damaged.
struct Gzip<R> {
    decoder: MultiGzDecoder<R>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::new(io::ErrorKind::InvalidData, format!("the gzip data is damaged ({e})"))
            }
            io::ErrorKind::UnexpectedEof => io::Error::new(e.kind(), "the gzip data is cut short"),
            _ => e,
        })
    }
}

/// A reader that hashes the blob and writes it to a file.
struct Tee<'a> {
    source: &'a mut dyn Read,
    hasher: Hasher,
    copy: Option<BufWriter<File>>,
    read: &'a Cell<u64>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        self.hasher.update(bytes);
        self.read.set(self.hasher.bytes());
        if let Some(copy) = &mut self.copy {
            copy.write_all(bytes)?;
        }
        Ok(n)
    }
}

/// A reader that hashes the archive and stops decompression bombs.
struct Archive<'a> {
    decoder: Box<dyn Read + 'a>,
    hasher: Hasher,
    compressed: &'a Cell<u64>,
    limits: &'a Limits,
}

impl Archive<'_> {
    fn over(&self) -> Option<UnpackError> {
        let bytes = self.hasher.bytes();
        if bytes > self.limits.bytes {
            return Some(UnpackError::Limit { what: "the unpacked size in bytes", limit: self.limits.bytes });
        }
        let most = self.compressed.get().saturating_mul(self.limits.ratio).max(self.limits.ratio_floor);
        if bytes > most {
            Some(UnpackError::Limit { what: "the compression ratio", limit: self.limits.ratio })
        } else {
            None
        }
    }

    /// Restores the limit error, which surfaces as an I/O error in the middle of reading.
    fn explain(&self, error: UnpackError) -> UnpackError {
        self.over().unwrap_or(error)
    }
}

impl Read for Archive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        match self.over() {
            Some(error) => Err(io::Error::other(error)),
            None => Ok(n),
        }
    }
}
