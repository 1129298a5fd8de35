//! Words of the language, with their places.

use smmu_machine::Diagnostic;
use std::ops::Range;

/// A word, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a word is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Name(String),
    Number(u64),
    Text(String),
    Symbol(&'static str),
    /// The end of a line, or a semicolon.
    Break,
    End,
}

const SYMBOLS: [&str; 9] = ["->", "[", "]", "{", "}", "=", ",", ".", ":"];

/// Cuts a text into words. Runs of line ends are one.
pub(super) fn tokens(file: &str, text: &str) -> Result<Vec<Token>, Diagnostic> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next().unwrap_or(' ');
        let (kind, length) = match first {
            '\n' | ';' => (Some(Kind::Break), 1),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '"' => quoted(file, text, at)?,
            c if c.is_whitespace() => (None, c.len_utf8()),
            c if c.is_ascii_digit() => number(file, text, at)?,
            c if c.is_ascii_alphabetic() || c == '_' => {
                let length = run(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                (Some(Kind::Name(rest[..length].to_owned())), length)
            }
            c => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (Some(Kind::Symbol(symbol)), symbol.len()),
                None => {
                    let (what, help) = (format!("`{c}` means nothing here"), "take it out");
                    let span = at..at + c.len_utf8();
                    return Err(Diagnostic::at(file, text, span, what, Some(help.to_owned())));
                }
            },
        };
        let repeated =
            kind == Some(Kind::Break) && tokens.last().is_none_or(|last| last.kind == Kind::Break);
        if let Some(kind) = kind.filter(|_| !repeated) {
            tokens.push(Token { kind, span: at..at + length });
        }
        at += length;
    }
    tokens.push(Token { kind: Kind::Break, span: at..at });
    tokens.push(Token { kind: Kind::End, span: at..at });
    Ok(tokens)
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn quoted(file: &str, text: &str, at: usize) -> Result<(Option<Kind>, usize), Diagnostic> {
    let inside = &text[at + 1..];
    match inside.find(['"', '\n']) {
        Some(end) if inside[end..].starts_with('"') => {
            Ok((Some(Kind::Text(inside[..end].to_owned())), end + 2))
        }
        _ => {
            let (what, help) = ("this text does not end", "put a \" at its end, on the same line");
            Err(Diagnostic::at(file, text, at..at + 1, what.to_owned(), Some(help.to_owned())))
        }
    }
}

/// Decimal, or hexadecimal with `0x`; `_` between digits; K, M and G behind a decimal number.
fn number(file: &str, text: &str, at: usize) -> Result<(Option<Kind>, usize), Diagnostic> {
    let length = run(&text[at..], |c| c.is_ascii_alphanumeric() || c == '_');
    let word: String = text[at..at + length].chars().filter(|c| *c != '_').collect();
    let value = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => {
            let unit = word.chars().last().and_then(|unit| match unit {
                'K' => Some(10),
                'M' => Some(20),
                'G' => Some(30),
                _ => None,
            });
            let digits = if unit.is_some() { &word[..word.len() - 1] } else { &word };
            let number = digits.parse::<u64>().ok();
            number.and_then(|number| number.checked_mul(1 << unit.unwrap_or(0)))
        }
    };
    match value {
        Some(value) => Ok((Some(Kind::Number(value)), length)),
        None => {
            let what = format!("`{word}` is no number of 64 bits");
            let help = "write 4096, 0x1000 or 4K".to_owned();
            Err(Diagnostic::at(file, text, at..at + length, what, Some(help)))
        }
    }
}
