//! Fields by their bit positions in a whole structure, as the specification draws them.

/// Bits `msb`..=`lsb` of a structure of 64-bit words. The field lies inside one word.
pub(super) fn bits(words: &[u64; 8], msb: u32, lsb: u32) -> u64 {
    let word = words[(lsb / 64) as usize] >> (lsb % 64);
    word & (u64::MAX >> (63 - (msb - lsb)))
}

/// Whether bit `at` of a structure is set.
pub(super) fn bit(words: &[u64; 8], at: u32) -> bool {
    bits(words, at, at) == 1
}

/// An address field whose bits keep their places inside the word; bits 55:52 are RES0.
pub(super) fn address(words: &[u64; 8], word: usize, lsb: u32) -> u64 {
    words[word] & 0x000f_ffff_ffff_ffff & !0 << lsb
}

/// Address size codes of IDR5.OAS, CD.IPS and STE.S2PS.
pub(super) const fn size_bits(code: u64) -> u8 {
    match code {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        6 => 52,
        _ => 56,
    }
}
