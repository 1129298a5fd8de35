//! Words as they are copied out of a log.

use thiserror::Error;

use super::Structure;

/// Words that are no structure, and how they would be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BadWords {
    /// Not a hexadecimal number of at most 64 bits.
    #[error("`{0}` is no hexadecimal number of at most 64 bits")]
    NoNumber(String),
    /// Neither as many 64-bit words as the structure has nor twice as many of 32 bits.
    #[error("{} given, which is not {}", words_given(*given), .structure.with_article())]
    Count {
        /// What they were to be.
        structure: Structure,
        /// How many there are.
        given: usize,
    },
    /// As many words as the structure has of 32 bits, but this one has more.
    #[error("`{0}` does not fit 32 bits")]
    TooWide(String),
}

fn words_given(given: usize) -> String {
    match given {
        1 => "1 word is".to_owned(),
        given => format!("{given} words are"),
    }
}

impl BadWords {
    /// What would be right.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoNumber(_) => "write hexadecimal digits, with or without 0x".to_owned(),
            Self::Count { structure, .. } => {
                let count = structure.word_count();
                format!("give {count} words of 64 bits or {} of 32 bits, lowest first", count * 2)
            }
            Self::TooWide(_) => "with this many words each has 32 bits".to_owned(),
        }
    }
}

/// Reads hexadecimal words, lowest first: 64-bit ones, or twice as many of 32 bits. Commas,
/// colons and underscores are allowed, as logs have them.
///
/// # Errors
///
/// What is no number, or a wrong number of words.
pub fn words(structure: Structure, texts: &[String]) -> Result<Vec<u64>, BadWords> {
    let parts = || {
        let split = |text: &str| {
            let parts = text.split([',', ' ', '\t', '\n', '[', ']']).map(str::to_owned);
            parts.collect::<Vec<_>>()
        };
        texts.iter().flat_map(move |text| split(text)).filter(|part| !part.is_empty())
    };
    let numbers = parts().map(|part| number(&part)).collect::<Result<Vec<_>, _>>()?;
    let count = structure.word_count();
    if numbers.len() == count {
        return Ok(numbers);
    }
    if numbers.len() != 2 * count {
        return Err(BadWords::Count { structure, given: numbers.len() });
    }
    match parts().zip(&numbers).find(|(_, number)| **number >> 32 != 0) {
        Some((part, _)) => Err(BadWords::TooWide(part)),
        None => Ok(numbers.chunks_exact(2).map(|pair| pair[0] | pair[1] << 32).collect()),
    }
}

fn number(text: &str) -> Result<u64, BadWords> {
    let digits = text.trim_start_matches("0x").trim_start_matches("0X").replace('_', "");
    u64::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| !digits.starts_with('+'))
        .ok_or_else(|| BadWords::NoNumber(text.to_owned()))
}
