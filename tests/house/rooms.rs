//! What only one room may do, as far as plain text shows it. Comments and tests may name
//! anything; what is looked for is code that is built into a crate.

use crate::repository::{Source, none, sources};

/// Everything that the rules of the architecture are made of.
const CORE: [&str; 8] = [
    "smmu-arch",
    "smmu-bus",
    "smmu-tables",
    "smmu-cache",
    "smmu-device",
    "smmu-master",
    "smmu-check",
    "smmu-kernel",
];

/// Code that stands only where it belongs.
struct Rule {
    /// The rule, as a failure shows it.
    says: &'static str,
    /// Words of code. A word ends where an identifier ends, if it begins or ends with one.
    words: &'static [&'static str],
    /// Rooms that the rule is about.
    rooms: &'static [&'static str],
    /// Files of these rooms in which the words may stand.
    home: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        says: "an event record is made in the event queue alone, so that none is made twice",
        words: &["Event::from_fault", "Data::Record", "EventWriter {"],
        rooms: &["smmu-device"],
        home: &["crates/smmu-device/src/event_queue.rs"],
    },
    Rule {
        says: "CMDQ_CONS.ERR and GERROR.CMDQ_ERR are set by the command queue alone",
        words: &["set_command_error(", "activate(GlobalError::CommandQueue"],
        rooms: &["smmu-device"],
        home: &[
            "crates/smmu-device/src/command_queue.rs",
            "crates/smmu-device/src/registers/errors.rs",
            "crates/smmu-device/src/registers/queues.rs",
        ],
    },
    Rule {
        says: "only smmu-timing knows cycles",
        words: &["cycles", "_cycles"],
        rooms: &CORE,
        home: &[],
    },
    Rule {
        says: "the core has no clock: time is passed in",
        words: &["std::time", "Instant::now", "SystemTime", "thread::sleep"],
        rooms: &CORE,
        home: &[],
    },
    Rule {
        says: "the core has no randomness: a seed is passed in, and no map has an order of its own",
        words: &["rand::", "RandomState", "collections::HashMap", "collections::HashSet"],
        rooms: &CORE,
        home: &[],
    },
    Rule {
        says: "the core does no input or output",
        words: &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "println!",
            "eprintln!",
            "dbg!",
        ],
        rooms: &CORE,
        home: &[],
    },
    Rule {
        says: "encodings have no behaviour: no memory, no lock, no thread in smmu-arch",
        words: &["std::sync", "parking_lot", "crossbeam", "std::thread", "RefCell", "UnsafeCell"],
        rooms: &["smmu-arch"],
        home: &[],
    },
    Rule { says: "unsafe stands in the edges alone", words: &["unsafe"], rooms: &CORE, home: &[] },
];

impl Rule {
    fn is_about(&self, source: &Source) -> bool {
        source.is_product()
            && self.rooms.contains(&source.room())
            && !self.home.contains(&&*source.path)
    }

    fn broken_in<'a>(&self, source: &'a Source) -> impl Iterator<Item = (usize, &'a str)> {
        source.code().filter(|(_, line)| self.words.iter().any(|word| has_word(line, word)))
    }
}

/// `word` stands in `line`, and is no part of a longer identifier.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let open = |edge: Option<char>, beyond: Option<char>| {
        !(edge.is_some_and(is_name) && beyond.is_some_and(is_name))
    };
    line.match_indices(word).any(|(at, _)| {
        let (before, after) =
            (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        // A word that begins with `_` is the end of longer names.
        (word.starts_with('_') || open(word.chars().next(), before))
            && open(word.chars().next_back(), after)
    })
}

#[test]
fn what_belongs_to_one_room_stands_there_alone() {
    let sources = sources(&[".rs"]);
    for rule in RULES {
        let about = sources.iter().filter(|source| rule.is_about(source));
        let broken = about.flat_map(|source| {
            rule.broken_in(source)
                .map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
        });
        none(rule.says, broken);
    }
}

/// A rule whose words are gone from their home guards nothing: a name was changed.
#[test]
fn the_homes_still_use_the_words_that_are_theirs() {
    let sources = sources(&[".rs"]);
    for rule in RULES.iter().filter(|rule| !rule.home.is_empty()) {
        for word in rule.words {
            let mut homes = sources.iter().filter(|source| rule.home.contains(&&*source.path));
            let lives = homes.any(|home| home.code().any(|(_, line)| has_word(line, word)));
            assert!(lives, "{}: no home has `{word}` any more; mend the rule", rule.says);
        }
    }
}

#[test]
fn a_word_is_found_as_a_word_only() {
    let source = Source::new(
        "crates/smmu-cache/src/x.rs",
        "// cycles\nlet walk_cycles = 1;\nlet recycles = 2; // cycles\nuse std::timer;",
    );
    let broken = |at: usize| {
        let rule = &RULES[at];
        assert!(rule.is_about(&source));
        rule.broken_in(&source).map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(broken(2), [2]);
    assert!(broken(3).is_empty());
}
