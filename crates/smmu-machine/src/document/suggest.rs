//! What was meant: the nearest of the names that would have been right.

/// How alike two names must be (Jaro-Winkler, 0 to 1) before one is offered for the other.
const ALIKE: f64 = 0.75;

/// The name nearest to `given`, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .min_by(|a, b| b.0.total_cmp(&a.0)) // of equals the first
        .map(|(_, name)| name)
}

/// A remedy for an unknown name: the nearest one, or all of them.
#[must_use]
pub fn remedy<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(given, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there are none to choose from".to_owned(),
        None => format!("choose one of {}", list(&names)),
    }
}

/// At most this many names are listed in a remedy.
const LISTED: usize = 24;

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > LISTED { ", …" } else { "" };
    format!("{}{more}", quoted.join(", "))
}

/// What to do about a message of the TOML reader, which names the unknown and the known in
/// backquotes ("unknown field `a`, expected one of `b`, `c`") and says what it expected.
pub(super) fn from_message(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown ") {
        let given = quoted.next()?;
        return Some(remedy(given, quoted));
    }
    if message.starts_with("missing field ") {
        return Some(format!("add `{} = …`", quoted.next()?));
    }
    if message.starts_with("wanted exactly 1 element") {
        return Some("one key only: begin another table for the next".to_owned());
    }
    let of_size = ["is no size", "a size is not negative", "is beyond 2^64"];
    let expected = match of_size.iter().any(|end| message.trim().ends_with(end)) {
        true => "a size",
        false => message.rsplit_once("expected ")?.1.trim(),
    };
    EXPECTED.iter().find(|(start, _)| expected.starts_with(start)).map(|(_, help)| help.to_string())
}

/// How what the reader expected is written.
const EXPECTED: [(&str, &str); 10] = [
    ("u8", "give a whole number from 0 to 255"),
    ("u16", "give a whole number from 0 to 65535"),
    ("u32", "give a whole number from 0 to 4294967295"),
    ("u64", "give a whole number, 0 or more"),
    ("a boolean", "give `true` or `false`"),
    ("a string", "give a text in quotes"),
    ("a sequence", "give a list: `[…, …]`, or an array of tables: `[[…]]`"),
    ("a map", "give a table: `{ key = value }`"),
    ("struct", "give a table: `{ key = value }`"),
    ("a size", "give an integer, or a text like \"64KiB\""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_a_stranger_is_not() {
        assert_eq!(nearest("devcies", ["name", "devices"]), Some("devices"));
        assert_eq!(nearest("colour", ["name", "devices"]), None);
    }

    #[test]
    fn the_remedy_comes_from_the_message_of_the_reader() {
        let message = "unknown field `wais`, expected one of `entries`, `ways`";
        assert_eq!(from_message(message).as_deref(), Some("did you mean `ways`?"));
        let message = "unknown field `q`, expected `entries` or `ways`";
        assert_eq!(from_message(message).as_deref(), Some("choose one of `entries`, `ways`"));
        let message = "invalid type: string \"x\", expected u32";
        assert!(from_message(message).is_some_and(|help| help.contains("4294967295")));
        let message = "missing field `name`";
        assert_eq!(from_message(message).as_deref(), Some("add `name = …`"));
        assert_eq!(from_message("invalid type: string"), None);
    }
}
