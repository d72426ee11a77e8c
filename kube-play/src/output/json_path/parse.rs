//! Reads templates and expressions.

use serde_json::{Value, json};

use super::{Filter, Operator, Part, Problem, Slice, Step, SyntaxError, Template};

/// The characters of an expression, with the column of the first one.
struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    /// The column of `chars[0]`, from 1.
    column: usize,
}

/// Parses a template.
pub(super) fn template(text: &str) -> Result<Template, SyntaxError> {
    let chars: Vec<char> = text.chars().collect();
    // The parts of each open range, with its expression and the column of its brace; the template itself is the first.
    let mut open: Vec<(Vec<Step>, usize, Vec<Part>)> = vec![(Vec::new(), 0, Vec::new())];
    let mut at = 0;
    while at < chars.len() {
        let rest = chars.get(at..).unwrap_or_default();
        let length = rest.iter().position(|c| *c == '{').unwrap_or(rest.len());
        if length > 0 {
            push(&mut open, Part::Text(rest.iter().take(length).collect()));
            at += length;
            continue;
        }
        let brace = at + 1;
        let inner = closing_brace(rest)
            .and_then(|end| rest.get(1..end))
            .ok_or(SyntaxError { column: brace, problem: Problem::Unclosed("brace") })?;
        at += inner.len() + 2;
        let mut parser = Parser { chars: inner, at: 0, column: brace + 1 };
        match parser.keyword().as_deref() {
            Some("range") => open.push((parser.steps()?, brace, Vec::new())),
            Some("end") => {
                parser.nothing_left()?;
                match open.pop() {
                    Some((over, _, body)) if !open.is_empty() => push(&mut open, Part::Range(over, body)),
                    _ => return Err(SyntaxError { column: brace, problem: Problem::EndWithoutRange }),
                }
            }
            _ => push(&mut open, Part::Expression(parser.steps()?)),
        }
    }
    match open.pop() {
        Some((_, _, parts)) if open.is_empty() => Ok(Template(parts)),
        Some((_, column, _)) => Err(SyntaxError { column, problem: Problem::Unclosed("{range}") }),
        None => Ok(Template(Vec::new())),
    }
}

/// Parses an expression without braces.
pub(super) fn expression(text: &str) -> Result<Vec<Step>, SyntaxError> {
    let chars: Vec<char> = text.chars().collect();
    Parser { chars: &chars, at: 0, column: 1 }.steps()
}

fn push(open: &mut [(Vec<Step>, usize, Vec<Part>)], part: Part) {
    if let Some((_, _, parts)) = open.last_mut() {
        parts.push(part);
    }
}

/// Returns the place of the brace that ends the expression at the beginning of `chars`; braces in quotes do not count.
fn closing_brace(chars: &[char]) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in chars.iter().enumerate() {
        match quote {
            _ if std::mem::take(&mut escaped) => {}
            _ if *c == '\\' => escaped = true,
            Some(open) if *c == open => quote = None,
            Some(_) => {}
            None if *c == '"' || *c == '\'' => quote = Some(*c),
            None if *c == '}' => return Some(at),
            None => {}
        }
    }
    None
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn error(&self, at: usize, problem: Problem) -> SyntaxError {
        SyntaxError { column: self.column + at, problem }
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Reads `range` or `end` at the beginning of an expression.
    fn keyword(&mut self) -> Option<String> {
        self.skip_spaces();
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
        if word != "range" && word != "end" {
            return None;
        }
        self.at += word.len();
        Some(word)
    }

    fn nothing_left(&mut self) -> Result<(), SyntaxError> {
        self.skip_spaces();
        match self.peek() {
            None => Ok(()),
            Some(c) => Err(self.error(self.at, Problem::Character(c))),
        }
    }

    /// Parses all steps.
    fn steps(&mut self) -> Result<Vec<Step>, SyntaxError> {
        let mut steps = Vec::new();
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                c if c.is_whitespace() => self.at += 1,
                // The current object, where every expression begins.
                '@' | '$' => self.at += 1,
                '.' if self.chars.get(self.at + 1) == Some(&'.') => {
                    if steps.last() == Some(&Step::Recursive) {
                        return Err(self.error(start, Problem::TwoDescents));
                    }
                    self.at += 2;
                    steps.push(Step::Recursive);
                    if self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '*') {
                        steps.push(self.field()?);
                    }
                }
                '.' => {
                    self.at += 1;
                    // `{.}` is the object itself.
                    if self.chars.len() == self.at && steps.is_empty() {
                        break;
                    }
                    steps.push(self.field()?);
                }
                '[' => steps.extend(self.brackets()?),
                '"' | '\'' => steps.push(Step::Literal(json!(self.quoted(c)?))),
                c if c == '+' || c == '-' || c.is_ascii_digit() => steps.push(self.number()?),
                c if c.is_alphanumeric() || c == '_' => steps.push(self.word()?),
                c => return Err(self.error(start, Problem::Character(c))),
            }
        }
        Ok(steps)
    }

    /// Parses the name of a field, up to a character that cannot be part of one; a backslash escapes the next one.
    fn field(&mut self) -> Result<Step, SyntaxError> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}') {
                break;
            }
            self.at += 1;
            if c != '\\' {
                name.push(c);
            } else if let Some(escaped) = self.peek() {
                name.push(escaped);
                self.at += 1;
            }
        }
        match name.as_str() {
            "" => Err(self.error(start, Problem::NoField)),
            "*" => Ok(Step::Wildcard),
            _ => Ok(Step::Field(name)),
        }
    }

    fn word(&mut self) -> Result<Step, SyntaxError> {
        let start = self.at;
        let rest = self.chars.get(start..).unwrap_or_default();
        let ends =
            |c: &char| c.is_whitespace() || matches!(c, '.' | ',' | '[' | ']' | '$' | '@' | '"' | '\'');
        let word: String = rest.iter().take_while(|c| !ends(c)).collect();
        self.at += word.chars().count();
        match word.as_str() {
            "true" => Ok(Step::Literal(json!(true))),
            "false" => Ok(Step::Literal(json!(false))),
            _ => Err(self.error(start, Problem::Word(word))),
        }
    }

    fn number(&mut self) -> Result<Step, SyntaxError> {
        let start = self.at;
        let rest = self.chars.get(start..).unwrap_or_default();
        let is_part = |(at, c): &(usize, &char)| {
            c.is_ascii_digit() || **c == '.' || (*at == 0 && matches!(c, '+' | '-'))
        };
        let text: String = rest.iter().enumerate().take_while(is_part).map(|(_, c)| *c).collect();
        self.at += text.len();
        let unsigned = text.strip_prefix('+').unwrap_or(&text);
        let number = unsigned.parse::<i64>().map(Value::from);
        let number = number.or_else(|_| unsigned.parse::<f64>().map(Value::from));
        number.map(Step::Literal).map_err(|_| self.error(start, Problem::Number(text)))
    }

    /// Parses a text in quotes, with the escapes of Go (the Go specification, "Rune literals").
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or_else(|| self.error(start, Problem::Unclosed("quote")))?;
            self.at += 1;
            match c {
                c if c == quote => return Ok(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let start = self.at;
        let c = self.peek().ok_or_else(|| self.error(start, Problem::Unclosed("quote")))?;
        self.at += 1;
        let plain = match c {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '\'' | '"' => c,
            'x' => return self.code(start, 2, 16),
            'u' => return self.code(start, 4, 16),
            'U' => return self.code(start, 8, 16),
            '0'..='7' => {
                self.at = start;
                return self.code(start, 3, 8);
            }
            other => return Err(self.error(start, Problem::Escape(other))),
        };
        Ok(plain)
    }

    fn code(&mut self, start: usize, digits: usize, radix: u32) -> Result<char, SyntaxError> {
        let text: String = self.chars.iter().skip(self.at).take(digits).collect();
        self.at += digits;
        let code = u32::from_str_radix(&text, radix).ok().filter(|_| text.len() == digits);
        let kind = self.chars.get(start).copied().unwrap_or('x');
        code.and_then(char::from_u32).ok_or_else(|| self.error(start, Problem::Escape(kind)))
    }

    /// Parses `[...]`.
    fn brackets(&mut self) -> Result<Vec<Step>, SyntaxError> {
        let start = self.at;
        let rest = self.chars.get(start..).unwrap_or_default();
        let is_filter = rest.starts_with(&['[', '?', '(']);
        let end = match is_filter {
            true => end_of_filter(rest),
            false => closing_bracket(rest),
        };
        let what = if is_filter { "filter" } else { "bracket" };
        let end = end.ok_or_else(|| self.error(start, Problem::Unclosed(what)))?;
        self.at += end + 1;
        if is_filter {
            // Without `[?(` and `)]`.
            let inner = rest.get(3..end - 1).unwrap_or_default();
            return Ok(vec![Step::Filter(self.filter(inner, start + 3)?)]);
        }
        let inner = rest.get(1..end).unwrap_or_default();
        let mut parts = Vec::new();
        let mut offset = start + 1;
        for part in split_outside_quotes(inner) {
            parts.push(self.index(part, offset)?);
            offset += part.len() + 1;
        }
        if parts.len() == 1 {
            return Ok(parts.pop().unwrap_or_default());
        }
        Ok(vec![Step::Union(parts)])
    }

    /// Parses what is between brackets: an index, a slice, `*`, or a path in quotes.
    fn index(&self, part: &[char], offset: usize) -> Result<Vec<Step>, SyntaxError> {
        let spaces = part.iter().take_while(|c| c.is_whitespace()).count();
        let text: String = part.iter().collect();
        let text = text.trim();
        let wrong = || self.error(offset + spaces, Problem::Index(text.to_owned()));
        if text == "*" {
            return Ok(vec![Step::Slice(Slice::default())]);
        }
        for quote in ['"', '\''] {
            if let Some(path) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
                let chars: Vec<char> = std::iter::once('.').chain(path.chars()).collect();
                let column = self.column + offset + spaces;
                return Parser { chars: &chars, at: 0, column }.steps();
            }
        }
        let number = |text: &str| match text {
            "" => Ok(None),
            text => text.parse::<i64>().map(Some).map_err(|_| wrong()),
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [index] => Ok(vec![Step::Index(number(index)?.ok_or_else(wrong)?)]),
            [start, end] => {
                Ok(vec![Step::Slice(Slice { start: number(start)?, end: number(end)?, step: None })])
            }
            [start, end, step] => {
                let step = number(step)?;
                if step.is_some_and(|step| step <= 0) {
                    return Err(self.error(offset + spaces, Problem::Step));
                }
                Ok(vec![Step::Slice(Slice { start: number(start)?, end: number(end)?, step })])
            }
            _ => Err(wrong()),
        }
    }

    /// Parses the condition of a filter.
    fn filter(&self, inner: &[char], offset: usize) -> Result<Filter, SyntaxError> {
        let sub = |chars: &[char], from: usize| {
            Parser { chars, at: 0, column: self.column + offset + from }.steps()
        };
        if inner.iter().all(|c| c.is_whitespace()) {
            return Err(self.error(offset, Problem::EmptyFilter));
        }
        let is_operator = |c: &char| matches!(c, '!' | '<' | '>' | '=' | '~');
        let Some(at) = position_outside_quotes(inner, is_operator) else {
            return Ok(Filter::Exists(sub(inner, 0)?));
        };
        let (left, rest) = inner.split_at(at);
        let operator: String = rest.iter().take_while(|c| is_operator(c)).collect();
        let right = rest.get(operator.len()..).unwrap_or_default();
        let found = Operator::ALL.iter().find(|(text, _)| *text == operator);
        let Some((_, known)) = found else {
            return Err(self.error(offset + at, Problem::Operator(operator)));
        };
        let is_empty = |side: &[char]| side.iter().all(|c| c.is_whitespace());
        if is_empty(left) || is_empty(right) {
            return Err(self.error(offset + at, Problem::EmptyFilter));
        }
        Ok(Filter::Compare(sub(left, 0)?, *known, sub(right, at + operator.len())?))
    }
}

/// Returns the first character outside of quotes that is meant; an escaped one does not count.
fn position_outside_quotes(chars: &[char], is_meant: impl Fn(&char) -> bool) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in chars.iter().enumerate() {
        match quote {
            _ if std::mem::take(&mut escaped) => {}
            _ if *c == '\\' => escaped = true,
            Some(open) if *c == open => quote = None,
            Some(_) => {}
            None if is_meant(c) => return Some(at),
            None if *c == '"' || *c == '\'' => quote = Some(*c),
            None => {}
        }
    }
    None
}

fn closing_bracket(chars: &[char]) -> Option<usize> {
    position_outside_quotes(chars, |c| *c == ']')
}

/// Returns the place of the `]` of the filter at the beginning of `chars`, which follows the `)` that closes it.
fn end_of_filter(chars: &[char]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = chars.get(from..)?;
        let at = position_outside_quotes(rest, |c| *c == ')')? + from;
        if chars.get(at + 1) == Some(&']') {
            return Some(at + 1);
        }
        from = at + 1;
    }
}

fn split_outside_quotes(chars: &[char]) -> Vec<&[char]> {
    let mut parts = Vec::new();
    let mut rest = chars;
    while let Some(at) = position_outside_quotes(rest, |c| *c == ',') {
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after.get(1..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}
