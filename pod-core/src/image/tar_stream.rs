//! Reads a tar archive as a stream: v7, ustar, GNU and pax, with GNU and pax sparse files. The input is untrusted:
//! everything is bounded, and names are bytes.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};

use super::unpack::UnpackError;

const BLOCK: usize = 512;
/// Maximum size of a pax header or GNU long name, which is read into memory. The value of one xattr has at most 64 KiB.
const MAX_EXTENSION: u64 = 2 << 20;
/// Maximum number of data segments of a sparse file.
const MAX_SEGMENTS: usize = 1 << 18;

/// The kind of file that an entry creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    HardLink,
    Character,
    Block,
    Fifo,
}

/// One member of the archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub path: Vec<u8>,
    /// Target of a symlink or hard link.
    pub link: Vec<u8>,
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Modification time: seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Number of data bytes in the archive.
    pub size: u64,
    /// The map of a sparse file.
    pub sparse: Option<Sparse>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes in archive order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The position of a sparse file's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Size of the file including its holes.
    pub real_size: u64,
    /// Offset and length of each segment of data, ascending.
    pub segments: Vec<(u64, u64)>,
}

/// Reads the entries of an archive one after the other. Implements `Read` for the data of the current one.
pub(super) struct TarStream<R> {
    inner: R,
    /// Unread bytes of the current entry's data.
    left: u64,
    /// Bytes of padding after the data.
    padding: u64,
    global: Pax,
    longest_path: usize,
}

fn malformed(what: &str) -> UnpackError {
    UnpackError::Malformed(what.to_owned())
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(inner: R, longest_path: usize) -> Self {
        Self { inner, left: 0, padding: 0, global: Pax::default(), longest_path }
    }

    /// Returns the next entry, or `None` at the end of the archive. Skips unread data of the previous one.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackError> {
        self.skip()?;
        let mut pax: Option<Pax> = None;
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.read_block()? else {
                return if pax.is_none() && long_name.is_none() && long_link.is_none() {
                    Ok(None)
                } else {
                    Err(malformed("it ends after an extension header"))
                };
            };
            let header = Header(&block);
            if block.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            header.verify_checksum()?;
            match header.type_flag() {
                b'x' | b'X' => pax = Some(Pax::parse(&self.extension(&header)?)?),
                b'g' => {
                    let records = Pax::parse(&self.extension(&header)?)?;
                    self.global.merge(records);
                }
                b'L' => long_name = Some(until_nul(&self.extension(&header)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(&header)?).to_vec()),
                b'V' => {
                    self.extension(&header)?;
                }
                _ => {
                    let mut records = self.global.clone();
                    records.merge(pax.take().unwrap_or_default());
                    return self.entry(&header, &records, long_name.take(), long_link.take()).map(Some);
                }
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        pax: &Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, UnpackError> {
        let flag = header.type_flag();
        let mut path = long_name.unwrap_or_else(|| header.path());
        if let Some(value) = pax.get("path") {
            path = value.to_vec();
        }
        let mut link = long_link.unwrap_or_else(|| until_nul(header.link()).to_vec());
        if let Some(value) = pax.get("linkpath") {
            link = value.to_vec();
        }
        let mut size = match pax.number("size")? {
            Some(size) => size,
            None => unsigned(header.size(), "size")?,
        };
        let mut kind = match flag {
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Character,
            b'4' => EntryKind::Block,
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                return Err(UnpackError::Unsupported(format!("a tar entry of type {:?}", char::from(other))));
            }
        };
        // v7 archives mark a directory only by a trailing slash.
        if kind == EntryKind::File && matches!(flag, 0 | b'0') && path.ends_with(b"/") {
            kind = EntryKind::Directory;
        }
        let data_kind = kind == EntryKind::File || flag == b'D';
        if !data_kind {
            size = 0;
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;

        let sparse = match (flag, kind) {
            (b'S', _) => Some(self.gnu_sparse(header)?),
            (_, EntryKind::File) => self.pax_sparse(pax, &mut path)?,
            _ => None,
        };
        if let Some(sparse) = &sparse {
            sparse.check(self.left)?;
        }
        if path.len() > self.longest_path || link.len() > self.longest_path {
            return Err(UnpackError::Limit { what: "the length of a path", limit: self.longest_path as u64 });
        }
        let mtime = match pax.get("mtime") {
            Some(value) => parse_time(value).ok_or_else(|| malformed("a pax mtime is not a number"))?,
            None => (number(header.mtime())?, 0),
        };
        let id = |key: &str, field: &[u8]| -> Result<u32, UnpackError> {
            let id = match pax.number(key)? {
                Some(id) => id,
                None => unsigned(field, key)?,
            };
            // For chown(2) the highest value means "do not change".
            match u32::try_from(id) {
                Ok(id) if id != u32::MAX => Ok(id),
                _ => Err(malformed("a uid or gid is out of range")),
            }
        };
        let device = |key: &str, field: &[u8]| -> Result<u32, UnpackError> {
            let value = match pax.number(key)? {
                Some(value) => value,
                None => unsigned(field, "device number")?,
            };
            u32::try_from(value).map_err(|_| malformed("a device number is out of range"))
        };
        let device = match kind {
            EntryKind::Character | EntryKind::Block => {
                (device("SCHILY.devmajor", header.major())?, device("SCHILY.devminor", header.minor())?)
            }
            _ => (0, 0),
        };
        Ok(Entry {
            uid: id("uid", header.uid())?,
            gid: id("gid", header.gid())?,
            mode: u32::try_from(unsigned(header.mode(), "mode")? & 0o7777).unwrap_or(0),
            xattrs: pax.xattrs(),
            size: self.left,
            path,
            link,
            kind,
            mtime,
            sparse,
            device,
        })
    }

    /// Reads a map in the old GNU format: segments in the header and in the blocks after it.
    fn gnu_sparse(&mut self, header: &Header<'_>) -> Result<Sparse, UnpackError> {
        let mut segments = Vec::new();
        let mut take = |area: &[u8]| -> Result<(), UnpackError> {
            for cell in area.chunks_exact(24) {
                let (offset, length) = cell.split_at(12);
                if offset.first() == Some(&0) {
                    break;
                }
                segments.push((unsigned(offset, "sparse offset")?, unsigned(length, "sparse length")?));
            }
            if segments.len() > MAX_SEGMENTS {
                Err(malformed("a sparse file has too many segments"))
            } else {
                Ok(())
            }
        };
        take(&header.0[386..482])?;
        let mut extended = header.0[482] != 0;
        while extended {
            let block = self.read_block()?.ok_or_else(|| malformed("a sparse header is cut short"))?;
            take(&block[..504])?;
            extended = block[504] != 0;
        }
        Ok(Sparse { real_size: unsigned(&header.0[483..495], "sparse size")?, segments })
    }

    /// Reads a map in the pax formats 0.0 and 0.1 (map in the header) and 1.0 (map before the data).
    fn pax_sparse(&mut self, pax: &Pax, path: &mut Vec<u8>) -> Result<Option<Sparse>, UnpackError> {
        let major = pax.number("GNU.sparse.major")?;
        let real_size = match pax.number("GNU.sparse.realsize")? {
            Some(size) => Some(size),
            None => pax.number("GNU.sparse.size")?,
        };
        let Some(real_size) = real_size else { return Ok(None) };
        if let Some(name) = pax.get("GNU.sparse.name") {
            *path = name.to_vec();
        }
        let mut numbers: Vec<u64> = Vec::new();
        if major == Some(1) {
            let before = self.left;
            let count = self.map_line()?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > MAX_SEGMENTS {
                return Err(malformed("a sparse file has too many segments"));
            }
            for _ in 0..count * 2 {
                numbers.push(self.map_line()?);
            }
            // The map is padded to a whole block.
            let used = before - self.left;
            let pad = used.next_multiple_of(BLOCK as u64) - used;
            self.discard(pad)?;
        } else if let Some(map) = pax.get("GNU.sparse.map") {
            for text in map.split(|b| *b == b',').filter(|t| !t.is_empty()) {
                numbers.push(decimal(text).ok_or_else(|| malformed("a sparse map is not made of numbers"))?);
            }
        } else {
            numbers.clone_from(&pax.sparse);
        }
        if numbers.len() > MAX_SEGMENTS * 2 || !numbers.len().is_multiple_of(2) {
            return Err(malformed("a sparse map has too many or an odd number of numbers"));
        }
        let segments = numbers.chunks_exact(2).filter_map(|c| match c {
            [offset, length] => Some((*offset, *length)),
            _ => None,
        });
        Ok(Some(Sparse { real_size, segments: segments.collect() }))
    }

    /// Reads one decimal line of a sparse map 1.0.
    fn map_line(&mut self) -> Result<u64, UnpackError> {
        let mut text = Vec::new();
        loop {
            let mut byte = [0u8];
            if self.read(&mut byte)? == 0 || text.len() > 20 {
                return Err(malformed("a sparse map is cut short"));
            }
            match byte {
                [b'\n'] => {
                    return decimal(&text).ok_or_else(|| malformed("a sparse map is not made of numbers"));
                }
                [digit] => text.push(digit),
            }
        }
    }

    /// Reads the whole data of an extension header.
    fn extension(&mut self, header: &Header<'_>) -> Result<Vec<u8>, UnpackError> {
        let size = unsigned(header.size(), "size")?;
        if size > MAX_EXTENSION {
            return Err(UnpackError::Limit { what: "the size of an extension header", limit: MAX_EXTENSION });
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        self.skip()?;
        Ok(data)
    }

    fn skip(&mut self) -> Result<(), UnpackError> {
        let rest = self.left;
        self.discard(rest)?;
        self.left = std::mem::take(&mut self.padding);
        let rest = self.left;
        self.discard(rest)
    }

    fn discard(&mut self, bytes: u64) -> Result<(), UnpackError> {
        io::copy(&mut Read::take(&mut *self, bytes), &mut io::sink())?;
        Ok(())
    }

    /// Reads a block; `None` if the input ends at a block boundary.
    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, UnpackError> {
        let mut block = [0u8; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(malformed("it is cut short")),
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Some(block))
    }
}

impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|b| !b.is_empty()) else { return Ok(0) };
        let n = self.inner.read(buffer)?;
        if n == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the archive is cut short"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

impl Sparse {
    /// Checks that segments ascend, do not overlap, end within the file, and have as many bytes as the archive.
    fn check(&self, stored: u64) -> Result<(), UnpackError> {
        let mut end = 0u64;
        let mut sum = 0u64;
        for (offset, length) in &self.segments {
            let next = offset.checked_add(*length);
            match next {
                Some(next) if *offset >= end && next <= self.real_size => end = next,
                _ => return Err(malformed("a sparse map overlaps or leaves its file")),
            }
            sum += length;
        }
        if sum == stored && i64::try_from(self.real_size).is_ok() {
            Ok(())
        } else {
            Err(malformed("a sparse map does not fit its data"))
        }
    }
}

/// The fields of a header block (POSIX ustar).
struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    fn mode(&self) -> &[u8] {
        &self.0[100..108]
    }
    fn uid(&self) -> &[u8] {
        &self.0[108..116]
    }
    fn gid(&self) -> &[u8] {
        &self.0[116..124]
    }
    fn size(&self) -> &[u8] {
        &self.0[124..136]
    }
    fn mtime(&self) -> &[u8] {
        &self.0[136..148]
    }
    fn type_flag(&self) -> u8 {
        self.0[156]
    }
    fn link(&self) -> &[u8] {
        &self.0[157..257]
    }
    fn major(&self) -> &[u8] {
        &self.0[329..337]
    }
    fn minor(&self) -> &[u8] {
        &self.0[337..345]
    }

    /// Returns the name, with ustar's prefix. GNU archives use the prefix field for other data.
    fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[0..100]);
        let prefix = until_nul(&self.0[345..500]);
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    /// Verifies the sum of all bytes with the checksum field as blanks. Some old archives summed signed bytes.
    fn verify_checksum(&self) -> Result<(), UnpackError> {
        let stored = number(&self.0[148..156])?;
        let (mut plain, mut signed) = (0i64, 0i64);
        for (i, byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&i) { b' ' } else { *byte };
            plain += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored == plain || stored == signed {
            Ok(())
        } else {
            Err(malformed("a header's checksum is wrong, so this is no tar archive or it is damaged"))
        }
    }
}

/// Pax records; an empty value deletes a record.
#[derive(Debug, Clone, Default)]
struct Pax {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Offsets and lengths of sparse format 0.0, whose records repeat.
    sparse: Vec<u64>,
}

impl Pax {
    fn parse(mut data: &[u8]) -> Result<Self, UnpackError> {
        let bad = || malformed("a pax header is damaged");
        let mut pax = Self::default();
        while !data.is_empty() && data.iter().any(|b| *b != 0) {
            let blank = data.iter().position(|b| *b == b' ').ok_or_else(bad)?;
            let (digits, _) = data.split_at_checked(blank).ok_or_else(bad)?;
            let length = decimal(digits).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
            let (record, rest) = data.split_at_checked(length).ok_or_else(bad)?;
            data = rest;
            let record = record.get(blank + 1..).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(bad)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let (key, value) = record.split_at_checked(equals).ok_or_else(bad)?;
            let value = value.get(1..).unwrap_or_default();
            if key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes" {
                pax.sparse.push(decimal(value).ok_or_else(bad)?);
            }
            if matches!(key, b"path" | b"linkpath") && value.contains(&0) {
                return Err(bad());
            }
            pax.records.insert(key.to_vec(), value.to_vec());
        }
        Ok(pax)
    }

    fn merge(&mut self, later: Self) {
        self.records.extend(later.records);
        if !later.sparse.is_empty() {
            self.sparse = later.sparse;
        }
    }

    fn get(&self, key: &str) -> Option<&[u8]> {
        self.records.get(key.as_bytes()).map(Vec::as_slice).filter(|v| !v.is_empty())
    }

    fn number(&self, key: &str) -> Result<Option<u64>, UnpackError> {
        self.get(key)
            .map(|v| decimal(v).ok_or_else(|| UnpackError::Malformed(format!("pax {key} is not a number"))))
            .transpose()
    }

    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        const PREFIX: &[u8] = b"SCHILY.xattr.";
        self.records
            .range(PREFIX.to_vec()..)
            .map_while(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_vec(), value.clone())))
            .filter(|(name, _)| !name.is_empty() && !name.contains(&0))
            .collect()
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.iter().all(u8::is_ascii_digit) { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Parses `[-]SECONDS[.FRACTION]` into seconds and nanoseconds.
fn parse_time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut nanos = 0u32;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    for i in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(i).map_or(0, |b| u32::from(b - b'0'));
    }
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos))
    } else {
        Some((seconds, nanos))
    }
}

/// Parses a numeric field: octal digits between blanks and NULs, or GNU's base 256.
fn number(field: &[u8]) -> Result<i64, UnpackError> {
    let bad = || malformed("a header holds a number that cannot be read");
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (i, byte) in field.iter().enumerate() {
                let byte = if i == 0 && !negative { byte & 0x7f } else { *byte };
                value = (value << 8) | i128::from(byte);
            }
            i64::try_from(value).map_err(|_| bad())
        }
        _ => {
            let text = until_nul(field).trim_ascii();
            text.iter().try_fold(0i64, |n, b| match b {
                b'0'..=b'7' => {
                    n.checked_mul(8).and_then(|n| n.checked_add(i64::from(b - b'0'))).ok_or_else(bad)
                }
                _ => Err(bad()),
            })
        }
    }
}

fn unsigned(field: &[u8], what: &str) -> Result<u64, UnpackError> {
    u64::try_from(number(field)?).map_err(|_| UnpackError::Malformed(format!("{what} is negative")))
}
