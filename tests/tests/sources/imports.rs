//! Reads the imports between the files of a crate from its sources. Parses as much of Rust as `use` lines and paths
//! need.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{is_of_tests, rust_files};

/// A use of an item of one file in another file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that contains the use, below `src`.
    pub from: String,
    /// The line of the use, from 1.
    pub line: usize,
    /// The file that contains the item.
    pub to: String,
}

/// The product code of one crate, without comments, strings and unit tests.
pub struct Crate {
    /// The code per file, by path below `src`.
    files: BTreeMap<String, String>,
    /// The file of each module, by the module's path.
    modules: BTreeMap<Vec<String>, String>,
    /// The re-exports of a module: their names and the paths that they name.
    exports: BTreeMap<(Vec<String>, String), Vec<String>>,
}

/// One path of a `use` line: `a::b as c`.
struct Use {
    /// The offset at which the line begins.
    at: usize,
    path: Vec<String>,
    /// The name that the line gives it.
    name: String,
    is_public: bool,
}

impl Crate {
    /// Reads the files below a `src` folder.
    pub fn read(src: &Path) -> Self {
        let files = rust_files(src);
        let files = files.iter().filter(|file| !is_of_tests(file.strip_prefix(src).unwrap()));
        let name = |file: &Path| file.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
        Self::of(files.map(|file| (name(file), fs::read_to_string(file).unwrap())).collect())
    }

    /// Creates a crate of these files.
    pub fn of(files: BTreeMap<String, String>) -> Self {
        let mut files: BTreeMap<String, String> =
            files.into_iter().map(|(file, text)| (file, without_tests(&code_of(&text)))).collect();
        let for_tests: Vec<String> = files.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
        files.retain(|file, _| {
            !for_tests.iter().any(|module| {
                file.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
        });
        let modules = files.keys().map(|file| (module_of(file), file.clone())).collect();
        let mut krate = Self { files, modules, exports: BTreeMap::new() };
        for (file, text) in &krate.files {
            let module = module_of(file);
            for one in uses(text).into_iter().filter(|one| one.is_public) {
                if let Some(path) = krate.absolute(&module, &one.path) {
                    krate.exports.insert((module.clone(), one.name), path);
                }
            }
        }
        krate
    }

    /// Returns every import, by file and line.
    pub fn imports(&self) -> Vec<Import> {
        let mut found = Vec::new();
        for (file, text) in &self.files {
            let module = module_of(file);
            let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut add = |at: usize, path: &[String]| {
                let line = text[..at].matches('\n').count() + 1;
                if let Some(to) = self.file_of(path, 0).filter(|to| to != file) {
                    found.push(Import { from: file.clone(), line, to });
                }
            };
            for one in uses(text) {
                let Some(path) = self.absolute(&module, &one.path) else { continue };
                names.insert(one.name.clone(), path.clone());
                // A re-export of an item in the module's own folder does not count as a use.
                if !(one.is_public && path.starts_with(&module) && one.path[0] != "crate") {
                    add(one.at, &path);
                }
            }
            for (at, path) in paths(&without_uses(text)) {
                let path = match names.get(&path[0]) {
                    Some(start) => [start.as_slice(), &path[1..]].concat(),
                    None => match self.absolute(&module, &path) {
                        Some(path) => path,
                        None => continue,
                    },
                };
                add(at, &path);
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Returns the path from the root of the crate for a path that is written in `module`, or `None` if that leads
    /// out of the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = module.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [module, &[first.to_owned()]].concat();
                self.modules.contains_key(&child).then_some(())?;
            }
        }
        Some([base.as_slice(), rest].concat())
    }

    /// Returns the file that contains the item that a path names.
    fn file_of(&self, path: &[String], depth: usize) -> Option<String> {
        let length = (0..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        if let Some(first) = rest.first()
            && depth < 5
            && let Some(leads_to) = self.exports.get(&(module.to_vec(), first.clone()))
        {
            return self.file_of(&[leads_to.as_slice(), &rest[1..]].concat(), depth + 1);
        }
        self.modules.get(module).cloned()
    }
}

/// Returns the path of the module that a file contains.
fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the text with comments, strings and characters replaced by spaces; line numbers stay the same.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n),
            ('/', Some('*')) => {
                let rest: String = chars[at..].iter().collect();
                at + rest.split("*/").next().unwrap().chars().count() + 2
            }
            ('r', Some('"' | '#')) if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                if chars.get(at + 1 + hashes) == Some(&'"') {
                    let close: Vec<char> =
                        std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    let body = at + 2 + hashes;
                    let length = chars[body..].windows(close.len()).position(|w| w == close).unwrap();
                    body + length + close.len()
                } else {
                    at
                }
            }
            ('"', _) => {
                let mut end = at + 1;
                while chars[end] != '"' {
                    end += if chars[end] == '\\' { 2 } else { 1 };
                }
                end + 1
            }
            ('\'', Some('\\')) => at + 4 + chars[at + 3..].iter().position(|c| *c == '\'').unwrap(),
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end.min(chars.len())].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Returns the code without modules that are for tests only.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(begin) = code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
        let item = code[*at..].trim_start_matches("#[cfg(test)]").trim_start();
        item.starts_with("mod ") && item.find('{') < item.find(';').or(Some(usize::MAX)) && item.contains('{')
    }) {
        let mut depth = 0;
        let open = begin + code[begin..].find('{').unwrap();
        let length = code[open..].char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        });
        let end = open + length.unwrap() + 1;
        let blank: String = code[begin..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(begin..end, &blank);
    }
    code
}

/// Returns the files, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(file: &str, code: &str) -> Vec<String> {
    let folder = module_of(file).join("/");
    let declared = code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let name =
            after.trim_start().trim_start_matches("pub(crate) ").strip_prefix("mod ")?.split(';').next()?;
        name.chars().all(is_word).then(|| name.to_owned())
    });
    declared.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

/// Returns where `use` lines begin and end, from the word `use` to the semicolon.
fn use_lines(code: &str) -> Vec<(usize, usize)> {
    let begins = code.match_indices("use ").map(|(at, _)| at);
    begins
        .filter(|at| !code[..*at].ends_with(is_word))
        .filter_map(|at| Some((at, at + code[at..].find(';')?)))
        .collect()
}

fn without_uses(code: &str) -> String {
    let mut code = code.to_owned();
    for (begin, end) in use_lines(&code) {
        let blank: String = code[begin..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(begin..end, &blank);
    }
    code
}

/// Returns all paths of all `use` lines.
fn uses(code: &str) -> Vec<Use> {
    let mut found = Vec::new();
    for (begin, end) in use_lines(code) {
        let before = code[..begin].trim_end();
        let is_public =
            before.ends_with("pub") || (before.ends_with(')') && before.rfind("pub(") > before.rfind(';'));
        expand(&code[begin + "use ".len()..end], &[], &mut |path, name| {
            found.push(Use { at: begin, path, name, is_public });
        });
    }
    found
}

/// Splits a tree of imports, `a::{b, c::d}`, into paths.
fn expand(tree: &str, prefix: &[String], add: &mut dyn FnMut(Vec<String>, String)) {
    let tree = tree.trim();
    let parts = |text: &str| -> Vec<String> {
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let Some(open) = tree.find('{') else {
        let (path, renamed) = match tree.split_once(" as ") {
            Some((path, name)) => (path, Some(name.trim().to_owned())),
            None => (tree, None),
        };
        let mut path = [prefix, &parts(path)].concat();
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if path.last().is_some_and(|last| last == "*") {
            path.pop();
            add(path, "*".to_owned());
        } else if let Some(last) = path.last().cloned() {
            add(path, renamed.unwrap_or(last));
        }
        return;
    };
    let prefix = [prefix, &parts(&tree[..open])].concat();
    let (mut depth, mut begin) = (0, open + 1);
    for (at, c) in tree.char_indices().skip_while(|(at, _)| *at <= open) {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !tree[begin..at].trim().is_empty() {
                    expand(&tree[begin..at], &prefix, add);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns paths of two parts or more, with their offsets.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find(is_word) {
        let begin = at + next;
        let mut end = begin;
        let mut parts = Vec::new();
        loop {
            let length = code[end..].find(|c| !is_word(c)).unwrap_or(code.len() - end);
            parts.push(code[end..end + length].to_owned());
            end += length;
            match code[end..].strip_prefix("::") {
                Some(rest) if rest.starts_with(is_word) => end += 2,
                _ => break,
            }
        }
        if parts.len() > 1 && !code[..begin].ends_with([':', '.']) {
            found.push((begin, parts));
        }
        at = end.max(begin + 1);
    }
    found
}
