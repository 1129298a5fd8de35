//! Text that was right before somebody edited it.

use crate::draw::Draw;

/// What people type into a file at the wrong place.
const TYPED: [&str; 16] = [
    "0",
    "-1",
    "18446744073709551615",
    "0x",
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    "\n",
    "#",
    "é",
];

/// `text` after the edits that `bytes` describe: pieces taken out, doubled, or typed in.
#[must_use]
pub fn edited(text: &str, bytes: &[u8]) -> String {
    let mut draw = Draw::new(bytes);
    let mut text = text.to_owned();
    while !draw.is_empty() {
        let at = place(&text, &mut draw);
        let end = place(&text[at..], &mut Draw::new(&[0, draw.byte() % 24])) + at;
        match draw.byte() % 3 {
            0 => text.replace_range(at..end, ""),
            1 => {
                let piece = text[at..end].to_owned();
                text.insert_str(at, &piece);
            }
            _ => text.insert_str(at, draw.pick(&TYPED)),
        }
    }
    text
}

/// A place between two characters.
fn place(text: &str, draw: &mut Draw) -> usize {
    let wanted = u16::from_be_bytes([draw.byte(), draw.byte()]);
    let mut at = usize::from(wanted) % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
