//! Repairs continuation lines with too little indentation, so that the parser accepts them.
//!
//! YAML requires every line of a flow collection or of quoted text to be indented deeper than its parent:
//!
//! ```yaml
//! spec:
//!   args: [
//!     --verbose
//!   ]
//! ```
//!
//! Go's yaml.v2, and therefore kubectl, ignores the indentation of such lines, and many manifests close a bracket in
//! its key's column. White space at the beginning of these lines has no meaning: in a flow collection it separates, in
//! quoted text it is folded. Therefore, and only if the parser has refused a text for this reason, blanks are inserted
//! before the lines of that one collection or text, and the parser reads it again. A text that the parser accepts at
//! first is never changed. [`Moved::is_valid`] checks at the end that the parser, too, sees each moved line inside a
//! flow collection or quoted text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Maximum amount of text in bytes that is read again before a text with very many such lines is refused.
const MAX_READ: usize = 16 << 20;
/// Maximum number of blanks inserted before one line, and before all lines together.
const MAX_BLANKS: usize = 1_000;
const MAX_ALL_BLANKS: usize = 1 << 20;

/// A text with blanks inserted before some of its lines.
pub(super) struct Moved<'a> {
    original: &'a str,
    /// The text to parse.
    pub text: Cow<'a, str>,
    /// By line, from 1: the number of blanks that were inserted before it.
    blanks: BTreeMap<usize, usize>,
    read: usize,
    /// Continuation lines of flow collections and quoted text as the parser sees them: after the first line, up to the
    /// second.
    inside: Vec<(usize, usize)>,
    /// Open collections: whether it is a flow collection, and the line where it begins.
    open: Vec<(bool, usize)>,
}

impl<'a> Moved<'a> {
    /// Creates a text without any moved line.
    pub fn new(original: &'a str) -> Self {
        Self {
            original,
            text: Cow::Borrowed(original),
            blanks: BTreeMap::new(),
            read: 0,
            inside: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Returns the column, from 0, that a position had before blanks were inserted.
    pub fn column(&self, line: usize, column: usize) -> usize {
        column.saturating_sub(self.blanks.get(&line).copied().unwrap_or_default())
    }

    /// Moves the lines of the collection or text that `error` was found in. Returns false if the error is of another
    /// kind, or if this cannot help.
    pub fn repair(&mut self, error: &ScanError) -> bool {
        self.inside.clear();
        self.open.clear();
        self.read += self.text.len();
        let about_indentation = ["indentation", "tab"].iter().any(|word| error.info().contains(word));
        if !about_indentation || self.read > MAX_READ {
            return false;
        }
        let starts = line_starts(&self.text);
        let offset = |line: usize, column: usize| {
            let start = *starts.get(line.checked_sub(1)?)?;
            let rest = self.text.get(start..)?;
            rest.char_indices().map(|(at, _)| start + at).chain([self.text.len()]).nth(column)
        };
        let marker = error.marker();
        let Some(at) = offset(marker.line(), marker.col()) else { return false };
        let Some((line, column)) = self.enclosing(at) else { return false };
        let Some(begin) = offset(line, column) else { return false };
        let Some(lines) = lines_inside(&self.text, begin) else { return false };
        // Deeper than any possible parent, because none begins further to the right.
        let wanted = column + 2;
        if wanted > MAX_BLANKS {
            return false;
        }
        let mut changed = false;
        for start in lines {
            let Ok(index) = starts.binary_search(&start) else { continue };
            let own = self.blanks.entry(index + 1).or_default();
            if *own < wanted {
                *own = wanted;
                changed = true;
            }
        }
        changed && self.apply()
    }

    /// Returns line and column where the outermost flow collection, or the quoted text, around `at` begins.
    fn enclosing(&self, at: usize) -> Option<(usize, usize)> {
        let before = self.text.get(..at)?;
        let mut open: Vec<Option<(usize, usize)>> = Vec::new();
        let mut parser = Parser::new_from_str(before);
        let place = |span: Span| (span.start.line(), span.start.col());
        let error = loop {
            match parser.next_event()? {
                Ok((Event::SequenceStart(..) | Event::MappingStart(..), span)) => {
                    open.push((!span.is_empty()).then(|| place(span)));
                }
                Ok((Event::SequenceEnd | Event::MappingEnd, _)) => {
                    open.pop();
                }
                Ok((Event::StreamEnd, _)) => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        if let Some(outermost) = open.into_iter().flatten().next() {
            return Some(outermost);
        }
        // Quoted text that begins here or is not terminated.
        if self.text.get(at..)?.starts_with(['"', '\'']) {
            let line_start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
            let line = line_starts(before).len();
            return Some((line, before.get(line_start..)?.chars().count()));
        }
        let error = error.filter(|error| error.info().contains("quoted scalar"))?;
        Some((error.marker().line(), error.marker().col()))
    }

    fn apply(&mut self) -> bool {
        let all: usize = self.blanks.values().sum();
        if all > MAX_ALL_BLANKS {
            return false;
        }
        let mut text = String::with_capacity(self.original.len() + all);
        let starts = line_starts(self.original);
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(self.original.len());
            let blanks = self.blanks.get(&(index + 1)).copied().unwrap_or_default();
            text.extend(std::iter::repeat_n(' ', blanks));
            text.push_str(self.original.get(*start..end).unwrap_or_default());
        }
        self.text = Cow::Owned(text);
        true
    }

    /// Records an event for [`Moved::is_valid`].
    pub fn note(&mut self, event: &Event<'_>, span: Span) {
        if self.blanks.is_empty() {
            return;
        }
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                self.open.push((!span.is_empty(), span.start.line()));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((true, line)) = self.open.pop() {
                    self.inside.push((line, span.end.line()));
                }
            }
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..) => {
                self.inside.push((span.start.line(), span.end.line()));
            }
            _ => {}
        }
    }

    /// Returns whether every moved line is inside a flow collection or quoted text.
    pub fn is_valid(&self) -> bool {
        let mut inside = self.inside.clone();
        inside.sort_unstable();
        // The last continuation line of all collections and texts that begin before a line.
        let mut last = 0;
        let mut inside = inside.into_iter().peekable();
        self.blanks.keys().all(|line| {
            while let Some((_, end)) = inside.next_if(|(first, _)| first < line) {
                last = last.max(end);
            }
            *line <= last
        })
    }
}

/// Returns the offsets where the lines of a text begin. As in YAML, a carriage return ends a line too.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|&(at, &byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// What precedes the next character inside a flow collection.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// A part may begin here.
    Start,
    /// Unquoted text, which may continue in the next line.
    Plain,
    /// The end of quoted text or of a collection.
    After,
}

/// Returns where the continuation lines of the flow collection or quoted text at `begin` start, without blank lines.
/// `None` if it is not terminated.
fn lines_inside(text: &str, begin: usize) -> Option<Vec<usize>> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let is_blank = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_whitespace());
    let is_flow = |byte: Option<u8>| matches!(byte, Some(b',' | b'[' | b']' | b'{' | b'}'));
    let (mut at, mut depth, mut state) = (begin, 0_usize, State::Start);
    loop {
        let current = byte(at)?;
        match current {
            b if b.is_ascii_whitespace() => {}
            b'#' if is_blank(at.checked_sub(1).and_then(byte)) => {
                while byte(at + 1).is_some_and(|next| !matches!(next, b'\n' | b'\r')) {
                    at += 1;
                }
            }
            b'[' | b'{' => {
                depth += 1;
                state = State::Start;
            }
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                state = State::After;
            }
            b',' => state = State::Start,
            b':' if state == State::After || is_blank(byte(at + 1)) || is_flow(byte(at + 1)) => {
                state = State::Start;
            }
            b'?' if state == State::Start && is_blank(byte(at + 1)) => {}
            b'"' | b'\'' if state == State::Start => {
                at = closing_quote(bytes, at)?;
                state = State::After;
            }
            // A tag may contain characters that are separators elsewhere.
            b'!' if state == State::Start && byte(at + 1) == Some(b'<') => {
                while byte(at)? != b'>' {
                    at += 1;
                }
            }
            b'!' | b'&' | b'*' if state == State::Start => {
                while !is_blank(byte(at + 1)) && !is_flow(byte(at + 1)) {
                    at += 1;
                }
            }
            _ => state = State::Plain,
        }
        at += 1;
        if depth == 0 && state == State::After {
            break;
        }
    }
    let whole = text.get(begin..at)?;
    let not_blank = |start: &usize| {
        let rest = whole.get(*start..).unwrap_or_default().trim_start_matches([' ', '\t']);
        !rest.is_empty() && !rest.starts_with(['\n', '\r'])
    };
    Some(line_starts(whole).into_iter().skip(1).filter(not_blank).map(|start| begin + start).collect())
}

/// Returns the offset of the closing quote of the text that begins at `at`.
fn closing_quote(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = *bytes.get(at)?;
    let mut at = at + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 1,
            byte if byte == quote => {
                if quote == b'"' || bytes.get(at + 1) != Some(&b'\'') {
                    return Some(at);
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
