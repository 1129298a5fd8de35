//! HTML's own needs: filling a template, escaping, tables.

use serde::Serialize;
use std::fmt::Write;

/// The template with each `{{name}}` replaced. A value is never searched for names, so nobody's
/// text can pull in another part.
pub(super) fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        let value = parts.iter().find(|(part, _)| *part == name);
        debug_assert!(value.is_some(), "the template asks for an unknown part `{name}`");
        out.push_str(value.map_or("", |(_, value)| value));
        out.push_str(rest);
    }
    out
}

/// Text as content of an element or of a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // HTML has no way to write it.
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// JSON as content of a `script` element. A `<` can stand only in its strings; written as an
/// escape it can neither end the element nor open a comment.
pub(super) fn json(value: &impl Serialize) -> String {
    // The values here have string keys and finite numbers: nothing that JSON lacks.
    serde_json::to_string(value).unwrap_or_default().replace('<', "\\u003c")
}

/// A count with its digits in groups of three.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A part of a hundred.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// A table whose first columns are words and whose others are numbers.
pub(super) struct Sheet {
    caption: String,
    header: Vec<String>,
    words: usize,
    body: String,
}

impl Sheet {
    /// An empty table, of which the first `words` columns are words.
    pub(super) fn new(caption: &str, header: &[&str], words: usize) -> Self {
        let header = header.iter().map(|&title| title.to_owned()).collect();
        Self { caption: caption.to_owned(), header, words, body: String::new() }
    }

    /// Adds a row; its first cell names it.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.push("<tr>", cells);
    }

    /// Adds a row that sums up those before it.
    pub(super) fn total(&mut self, cells: &[String]) {
        self.push("<tr class=\"total\">", cells);
    }

    fn push(&mut self, open: &str, cells: &[String]) {
        self.body.push_str(open);
        for (column, cell) in cells.iter().enumerate() {
            let (tag, scope) = if column == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
            let class = self.class(column);
            let _ = write!(self.body, "<{tag}{scope}{class}>{}</{tag}>", escape(cell));
        }
        self.body.push_str("</tr>\n");
    }

    const fn class(&self, column: usize) -> &'static str {
        if column < self.words { " class=\"text\"" } else { "" }
    }

    /// The `table` element, in a box that scrolls where it is wider than the page.
    pub(super) fn html(&self) -> String {
        let mut head = String::new();
        for (column, title) in self.header.iter().enumerate() {
            let class = self.class(column);
            let _ = write!(head, "<th scope=\"col\"{class}>{}</th>", escape(title));
        }
        format!(
            "<div class=\"scroll\"><table>\n<caption>{}</caption>\n<thead><tr>{head}</tr></thead>\n\
             <tbody>\n{}</tbody>\n</table></div>\n",
            escape(&self.caption),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{count, escape, fill, json};

    #[test]
    fn a_value_is_not_searched_for_names() {
        assert_eq!(fill("<{{a}}|{{b}}>", &[("a", "{{b}}"), ("b", "2")]), "<{{b}}|2>");
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape("<a b=\"c\">'&\0"), "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\u{fffd}");
    }

    #[test]
    fn json_cannot_end_its_element() {
        let text = "</script><!--";
        let written = json(&text);
        assert_eq!(written, "\"\\u003c/script>\\u003c!--\"");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
