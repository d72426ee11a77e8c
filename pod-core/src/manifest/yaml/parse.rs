//! Builds a tree from parser events, within limits.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::indent::Moved;
use super::node::{Data, Entry, Node, Scalar, Value};
use super::{Chunk, scalar};
use crate::manifest::{Position, escape};

/// Maximum nesting of lists and mappings, with aliases expanded. Kubernetes' own types need about 25.
pub(crate) const MAX_DEPTH: usize = 100;
/// Maximum number of values in one document, with aliases expanded.
pub(crate) const MAX_NODES: usize = 500_000;
/// Maximum number of values that anchors and aliases of one document may copy.
const MAX_COPIED: usize = 100_000;
/// Maximum number of bytes of text that they may copy.
const MAX_COPIED_BYTES: usize = 8 << 20;

const TABS: &str = "YAML is indented with spaces, not with tabs";

/// A problem of the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub position: Position,
    pub message: String,
    pub hint: Option<String>,
    /// False for a warning.
    pub fatal: bool,
}

impl Problem {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), hint: None, fatal: true }
    }
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The result of parsing a chunk.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// Its documents that are not empty; usually one.
    pub documents: Vec<Node>,
    /// The problems. A document with a fatal problem may still be in `documents`, so that further problems can be found
    /// in it.
    pub problems: Vec<Problem>,
}

/// Parses one chunk.
pub(crate) fn parse(chunk: Chunk<'_>) -> Parsed {
    if let Some(problem) = unreadable(chunk) {
        return Parsed { documents: Vec::new(), problems: vec![problem] };
    }
    let text = if chunk.json { join_surrogates(chunk.text) } else { Cow::Borrowed(chunk.text) };
    let mut moved = Moved::new(&text);
    let mut first = None;
    loop {
        match read(chunk, &mut moved) {
            Ok(parsed) if moved.is_valid() || parsed.problems.iter().any(|problem| problem.fatal) => {
                return parsed;
            }
            // The repair moved lines that must not be moved: the original text and its error are used.
            Ok(parsed) => return first.unwrap_or(parsed),
            Err((mut parsed, error)) => {
                parsed.problems.push(syntax_error(chunk, &moved, &error));
                if !moved.repair(&error) {
                    return parsed;
                }
                first.get_or_insert(parsed);
            }
        }
    }
}

/// Parses the chunk with its moved lines. Invalid values are reported in the result; an error is a syntax error at
/// which the parser stops.
fn read(chunk: Chunk<'_>, moved: &mut Moved<'_>) -> Result<Parsed, (Parsed, ScanError)> {
    let mut parsed = Parsed::default();
    let mut builder = Builder::new(chunk);
    let text = moved.text.clone();
    let mut parser = Parser::new_from_str(&text);
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Err(error)) => {
                parsed.problems.append(&mut builder.problems);
                return Err((parsed, error));
            }
            Some(Ok((Event::DocumentStart(_), _))) => builder = Builder::new(chunk).with(builder.problems),
            Some(Ok((Event::DocumentEnd, _))) => parsed.documents.extend(builder.root.take()),
            Some(Ok((event, span))) => {
                moved.note(&event, span);
                let line = span.start.line();
                let position = place(chunk, line, moved.column(line, span.start.col()));
                if let Err(problem) = builder.event(event, position, span.is_empty()) {
                    parsed.problems.append(&mut builder.problems);
                    parsed.problems.push(problem);
                    return Ok(parsed);
                }
            }
        }
    }
    parsed.problems.append(&mut builder.problems);
    parsed.documents.retain(|node| !node.is_null());
    Ok(parsed)
}

/// Replaces the two escapes by which JSON writes a character beyond U+FFFF by that character, because YAML does not
/// know them.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix("\\u")?;
        (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        out.push_str(before);
        let pair = escaped.get(..6).and_then(unit).zip(escaped.get(6..12).and_then(unit));
        let joined = pair.and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        let length = match joined.filter(|joined| u32::from(*joined) > 0xffff) {
            Some(joined) => {
                out.push(joined);
                12
            }
            None => {
                let length = 1 + escaped.chars().nth(1).map_or(0, char::len_utf8);
                out.push_str(escaped.get(..length).unwrap_or_default());
                length
            }
        };
        rest = escaped.get(length..).unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reports characters that YAML does not allow in a stream. The parser would even end at a NUL without an error.
fn unreadable(chunk: Chunk<'_>) -> Option<Problem> {
    let bad = |c: char| {
        !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
            || c == '\u{feff}'
    };
    // Fast path: nearly every manifest is plain ASCII.
    if chunk.text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
        return None;
    }
    let (at, found) = chunk.text.char_indices().find(|&(_, c)| bad(c))?;
    let before = chunk.text.get(..at).unwrap_or_default();
    let line = before.bytes().filter(|&b| b == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let position = place(chunk, line + 1, column);
    let name = match found {
        '\u{feff}' => "a byte order mark".to_owned(),
        other => format!("the control character {}", other.escape_unicode()),
    };
    let problem = Problem::new(position, format!("{name} is not allowed in YAML"));
    Some(problem.hint("remove it, or write it as an escape in a double-quoted string"))
}

fn place(chunk: Chunk<'_>, line: usize, column: usize) -> Position {
    let columns_before = if line <= 1 { chunk.columns_before } else { 0 };
    Position { line: chunk.lines_before + line.max(1), column: columns_before + column + 1 }
}

fn syntax_error(chunk: Chunk<'_>, moved: &Moved<'_>, error: &ScanError) -> Problem {
    let marker = error.marker();
    let problem = Problem::new(
        place(chunk, marker.line(), moved.column(marker.line(), marker.col())),
        format!("not valid YAML: {}", escape(error.info())),
    );
    let line = chunk.text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    if error.info().contains("tab") || line.get(..indentation).is_some_and(|blank| blank.contains('\t')) {
        return problem.hint(TABS);
    }
    let hint = match error.info() {
        info if info.contains("mapping values are not allowed") || info.contains("simple key") => {
            "look for a missing space after `:`, a wrong indentation, or text with `: ` in it that needs quotes"
        }
        info if info.contains("unknown anchor") => "an alias (*name) needs an anchor (&name) before it",
        info if info.contains("did not find expected") || info.contains("invalid indentation") => {
            "look at the indentation of this line and the ones above it, and for a bracket or a quote left open"
        }
        info if info.contains("expected ',' or") || info.contains("end of stream") => {
            "a bracket or a quote is left open"
        }
        info if info.contains("unexpected character") => "put text that begins with this character in quotes",
        info if info.contains("escape") => "in double quotes a backslash begins an escape: use single quotes",
        _ => return problem,
    };
    problem.hint(hint)
}

fn tabbed_lines(chunk: Chunk<'_>) -> Vec<usize> {
    if !chunk.text.contains('\t') {
        return Vec::new();
    }
    let indented = |line: &str| line.trim_start_matches(' ').starts_with('\t');
    let lines = chunk.text.lines().enumerate().filter(|(_, line)| indented(line));
    lines.map(|(index, _)| chunk.lines_before + index + 1).collect()
}

enum Key {
    Text(String),
    Merge,
    /// A key that was refused already.
    Bad,
}

enum Frame {
    Sequence {
        position: Position,
        anchor: usize,
        items: Vec<Node>,
    },
    Mapping {
        position: Position,
        anchor: usize,
        entries: Vec<Entry>,
        merges: Vec<Entry>,
        key: Option<(Key, Position)>,
        block: bool,
    },
}

struct Anchored {
    node: Node,
    size: Size,
}

/// The size of a tree.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    height: usize,
    /// Bytes of text.
    bytes: usize,
}

struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    nodes: usize,
    copied: Size,
    problems: Vec<Problem>,
    /// Lines that are indented by a tab, in order.
    tabbed: Vec<usize>,
}

/// Returns the name of a core tag of YAML: `!!str`, or written out as `!<tag:yaml.org,2002:str>`.
fn core_name(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        return Some(&tag.suffix);
    }
    tag.handle.is_empty().then(|| tag.suffix.strip_prefix("tag:yaml.org,2002:")).flatten()
}

fn measure(node: &Node) -> Size {
    let children: Vec<Size> = match &node.data {
        Data::Scalar(scalar) => return Size { nodes: 1, height: 0, bytes: scalar.text.len() },
        Data::Sequence(items) => items.iter().map(measure).collect(),
        Data::Mapping(entries) => {
            let entry = |entry: &Entry| {
                let size = measure(&entry.value);
                Size { bytes: size.bytes + entry.key.len(), ..size }
            };
            entries.iter().map(entry).collect()
        }
    };
    children.iter().fold(Size { nodes: 1, height: 1, bytes: 0 }, |all, child| Size {
        nodes: all.nodes + child.nodes,
        height: all.height.max(child.height + 1),
        bytes: all.bytes + child.bytes,
    })
}

/// Counts what anchors and aliases copy; fails if it exceeds the limit.
fn copy(copied: &mut Size, size: Size, what: &str, position: Position) -> Result<(), Problem> {
    copied.nodes += size.nodes;
    copied.bytes += size.bytes;
    let most = if copied.nodes > MAX_COPIED {
        format!("{MAX_COPIED} values")
    } else if copied.bytes > MAX_COPIED_BYTES {
        format!("{} MiB of text", MAX_COPIED_BYTES >> 20)
    } else {
        return Ok(());
    };
    Err(Problem::new(position, format!("the {what} of this document stand for more than {most}")))
}

impl Builder {
    fn new(chunk: Chunk<'_>) -> Self {
        Self {
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            nodes: 0,
            copied: Size::default(),
            problems: Vec::new(),
            tabbed: tabbed_lines(chunk),
        }
    }

    fn with(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    /// Processes an event. `block` is true for a collection in block style, which begins without a character of its
    /// own.
    fn event(&mut self, event: Event<'_>, position: Position, block: bool) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(position, format!("a document of more than {MAX_NODES} values")));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text.into_owned(), style, tag.as_deref(), position);
                let merges = style == ScalarStyle::Plain && tag.is_none() && node.as_str() == Some("<<");
                self.add(node, anchor, merges)
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", position);
                self.push(position, Frame::Sequence { position, anchor, items: Vec::new() })
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", position);
                let (entries, merges) = (Vec::new(), Vec::new());
                self.push(position, Frame::Mapping { position, anchor, entries, merges, key: None, block })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::Sequence { position, anchor, items }) => {
                    self.add(Node { position, data: Data::Sequence(items) }, anchor, false)
                }
                Some(Frame::Mapping { position, anchor, entries, merges, .. }) => {
                    let entries = self.mapping(entries, merges);
                    self.add(Node { position, data: Data::Mapping(entries) }, anchor, false)
                }
                None => Ok(()),
            },
            Event::Alias(id) => self.alias(id, position),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn push(&mut self, position: Position, frame: Frame) -> Result<(), Problem> {
        self.stack.push(frame);
        if self.stack.len() > MAX_DEPTH {
            return Err(Problem::new(position, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, position: Position) -> Result<(), Problem> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Problem::new(position, "an alias stands inside of what it refers to"));
        };
        let size = anchored.size;
        self.nodes += size.nodes;
        if self.stack.len() + size.height > MAX_DEPTH {
            return Err(Problem::new(position, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        copy(&mut self.copied, size, "aliases", position)?;
        let node = anchored.node.clone();
        self.add(node, 0, false)
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Node {
        let resolved = match tag {
            None if style == ScalarStyle::Plain => Ok(Scalar { value: scalar::resolve(&text), text }),
            None => Ok(Scalar { text, value: Value::String }),
            Some(tag) if core_name(tag).is_some() => {
                scalar::resolve_tagged(core_name(tag).unwrap_or_default(), text)
            }
            // `!` alone means: not resolved.
            Some(tag)
                if tag.handle.is_empty() && tag.suffix == "!"
                    || tag.handle == "!" && tag.suffix.is_empty() =>
            {
                Ok(Scalar { text, value: Value::String })
            }
            Some(tag) => Err(scalar::TagError::Unknown(tag.to_string())),
        };
        let scalar = resolved.unwrap_or_else(|error| {
            self.problems.push(Problem::new(position, error.to_string()));
            Scalar { text: String::new(), value: Value::Null }
        });
        Node { position, data: Data::Scalar(scalar) }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, expected: &str, position: Position) {
        let Some(tag) = tag else { return };
        if core_name(tag) != Some(expected) {
            let message =
                format!("the tag {} is not one that Kubernetes knows here", escape(&tag.to_string()));
            self.problems.push(Problem::new(position, message));
        }
    }

    /// Adds a finished node to its parent.
    fn add(&mut self, node: Node, anchor: usize, merges: bool) -> Result<(), Problem> {
        if anchor != 0 {
            let size = measure(&node);
            copy(&mut self.copied, size, "anchors", node.position)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, merges: merged, key, block, .. }) => match key.take() {
                None if *block && self.tabbed.binary_search(&node.position.line).is_ok() => {
                    return Err(Problem::new(node.position, "a tab indents this line").hint(TABS));
                }
                None if merges => *key = Some((Key::Merge, node.position)),
                None => {
                    let position = node.position;
                    *key = Some((key_of(node, &mut self.problems), position));
                }
                Some((Key::Text(key), position)) => entries.push(Entry { key, position, value: node }),
                Some((Key::Merge, position)) => {
                    merged.push(Entry { key: String::new(), position, value: node });
                }
                Some((Key::Bad, _)) => {}
            },
        }
        Ok(())
    }

    /// Refuses duplicate keys and resolves merge keys: a mapping's own keys take precedence, then the first merged
    /// mapping.
    fn mapping(&mut self, entries: Vec<Entry>, merges: Vec<Entry>) -> Vec<Entry> {
        let mut known: HashMap<String, Position> = HashMap::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        // Few keys, the usual case, are compared with each other; many are hashed.
        let few = entries.len() <= 16;
        for entry in entries {
            let before = if few {
                kept.iter().find(|other| other.key == entry.key).map(|other| other.position)
            } else {
                known.insert(entry.key.clone(), entry.position)
            };
            let Some(before) = before else {
                kept.push(entry);
                continue;
            };
            if !few {
                known.insert(entry.key.clone(), before);
            }
            let message = format!(
                "the key {} is given twice; the first is at {}:{}",
                escape(&entry.key),
                before.line,
                before.column
            );
            self.problems.push(Problem::new(entry.position, message).hint("keep one of them"));
        }
        for Entry { position, value, .. } in merges {
            let sources = match value.data {
                Data::Mapping(entries) => vec![entries],
                Data::Sequence(items) if items.iter().all(|item| matches!(item.data, Data::Mapping(_))) => {
                    items
                        .into_iter()
                        .filter_map(|item| match item.data {
                            Data::Mapping(entries) => Some(entries),
                            _ => None,
                        })
                        .collect()
                }
                _ => {
                    let message = "a merge key (<<) takes a mapping or a list of mappings";
                    self.problems.push(Problem::new(position, message));
                    continue;
                }
            };
            let mut have: std::collections::HashSet<String> =
                kept.iter().map(|entry| entry.key.clone()).collect();
            for entry in sources.into_iter().flatten() {
                if have.insert(entry.key.clone()) {
                    kept.push(entry);
                }
            }
        }
        kept
    }
}

/// Converts a key to text, as JSON requires. The unquoted key `yes` becomes `true`, as in Kubernetes.
fn key_of(node: Node, problems: &mut Vec<Problem>) -> Key {
    let Data::Scalar(scalar) = node.data else {
        problems.push(Problem::new(node.position, "a key must be text, not a list or a mapping"));
        return Key::Bad;
    };
    let text = match scalar.value {
        Value::String => return Key::Text(scalar.text),
        Value::Null => {
            let hint = "write the key before the `:`, in quotes if it is the word null";
            problems.push(Problem::new(node.position, "a key must be text, not null").hint(hint));
            return Key::Bad;
        }
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
    };
    if text != scalar.text {
        let written = escape(&scalar.text);
        problems.push(Problem {
            position: node.position,
            message: format!("Kubernetes reads the unquoted key {written} as {text}"),
            hint: Some(format!("write \"{written}\"")),
            fatal: false,
        });
    }
    Key::Text(text)
}
